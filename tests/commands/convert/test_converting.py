"""Check conversions of mirrors as JSON: folders, what stays, and what fails alone."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from engine_serving import QUICK, Serving, serving

import asynccvat as ac
from asynccvat import errors
from asynccvat.commands.convert import run
from asynccvat.core.convert.comparable import comparable_xml
from asynccvat.core.selections.id_lists import IdList
from asynccvat.fs import files, system_calls
from asynccvat.models import ConversionReport, TaskConversion

pytestmark = pytest.mark.anyio


@pytest.fixture
async def serve(data: Path) -> AsyncIterator[Serving]:
    """A server of three tasks, mirrored once as JSON."""
    async with serving(3) as started:
        assert (await ac.mirror(started.client, data, spec="json", options=QUICK)).ok
        yield started


def states(report: ConversionReport) -> dict[int, str]:
    return {one.task_id: str(one.state) for one in report.tasks}


def tree(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, those too whose names are hidden."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def damage(data: Path, task: int, name: str = "annotations.json") -> None:
    path = data / f"task{task}" / name
    path.write_bytes(
        path.read_bytes().replace(b'"frame"', b'"frane"').replace(b'"size"', b'"sise"')
    )


async def test_each_task_becomes_what_the_server_exports(
    serve: Serving, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "xml"
    report = await ac.convert(data, out, to="cvat")
    assert states(report) == {1: "converted", 2: "converted", 3: "converted"}
    exports = tmp_path / "exports"
    assert (await ac.mirror(serve.client, exports, options=QUICK)).ok
    for task in (1, 2, 3):
        path = f"task{task}/annotations.xml"
        found, exported = (comparable_xml((one / path).read_bytes()) for one in (out, exports))
        assert found.decode() == exported.decode()


@pytest.mark.usefixtures("serve")
async def test_a_second_conversion_changes_nothing(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "coco"
    first = await ac.convert(data, out, to="coco")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    second = await ac.convert(data, out, to="coco")
    assert set(states(second).values()) == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert [one.bytes for one in second.tasks] == [one.bytes for one in first.tasks]
    assert sorted(path.name for path in out.iterdir()) == ["task1", "task2", "task3"]


@pytest.mark.usefixtures("serve")
async def test_a_folder_with_other_files_stays_unless_it_may_be_replaced(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    await ac.convert(data, out, to="yolo")
    mine = out / "task2" / "mine.txt"
    mine.write_text("mine")
    refused = await ac.convert(data, out, to="yolo")
    assert states(refused) == {1: "unchanged", 2: "failed", 3: "unchanged"}
    assert refused.failed[0].why == (
        "its folder holds other files. Give --overwrite to replace them."
    )
    assert mine.read_text() == "mine"
    replaced = await ac.convert(data, out, to="yolo", overwrite=True)
    assert states(replaced) == {1: "unchanged", 2: "converted", 3: "unchanged"}
    assert not mine.exists()
    assert sorted(path.name for path in out.iterdir()) == ["task1", "task2", "task3"]


@pytest.mark.usefixtures("serve")
async def test_a_changed_file_and_a_link_are_noticed(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    await ac.convert(data, out, to="coco")
    one, two = (out / f"task{task}/annotations/instances_default.json" for task in (1, 2))
    one.write_bytes(one.read_bytes()[:-1] + b" ")
    moved = two.rename(tmp_path / "elsewhere.json")
    two.symlink_to(moved)
    assert states(await ac.convert(data, out, to="coco")) == {
        1: "failed",
        2: "failed",
        3: "unchanged",
    }


@pytest.mark.usefixtures("serve")
async def test_a_task_that_cannot_be_converted_stops_no_other(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    damage(data, 1)
    damage(data, 3, "frames.json")
    told: list[tuple[TaskConversion, int]] = []
    report = await ac.convert(
        data, out, to="coco", on_task=lambda one, total: told.append((one, total))
    )
    assert states(report) == {1: "failed", 2: "converted", 3: "failed"}
    assert "annotations.json is not as expected" in (report.failed[0].why or "")
    assert "frames.json is not as expected" in (report.failed[1].why or "")
    assert sorted(path.name for path in out.iterdir()) == ["task2"]
    assert told == [(one, 3) for one in report.tasks]


@pytest.mark.usefixtures("serve")
async def test_a_name_that_leads_outside_is_refused(data: Path, tmp_path: Path) -> None:
    path = data / "task1" / "frames.json"
    media = json.loads(path.read_bytes())
    media["frames"][0]["name"] = "../../../evil.jpg"
    path.write_text(json.dumps(media))
    report = await ac.convert(data, tmp_path / "out" / "yolo", to="yolo", task_ids=[1])
    assert states(report) == {1: "failed"}
    assert "would lead outside" in (report.failed[0].why or "")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.usefixtures("serve")
async def test_two_images_with_one_file_of_labels_are_refused(data: Path, tmp_path: Path) -> None:
    path = data / "task1" / "frames.json"
    media = json.loads(path.read_bytes())
    for frame, name in zip(media["frames"], ("a.jpg", "a.png"), strict=False):
        frame["name"] = name
    path.write_text(json.dumps(media))
    report = await ac.convert(data, tmp_path / "out", to="yolo", task_ids=[1])
    assert states(report) == {1: "failed"}
    assert "twice" in (report.failed[0].why or "")


@pytest.mark.usefixtures("serve")
async def test_only_the_chosen_tasks_are_converted(data: Path, tmp_path: Path) -> None:
    by_id = await ac.convert(data, tmp_path / "a", to="voc", task_ids=[2])
    by_folder = await ac.convert(data, tmp_path / "b", to="voc", folders=["task[13]"])
    assert (list(states(by_id)), list(states(by_folder))) == ([2], [1, 3])
    with pytest.raises(errors.ConfigError, match="holds no such task as JSON"):
        await ac.convert(data, tmp_path / "c", to="voc", task_ids=[9])
    with pytest.raises(TypeError, match="a list of patterns"):
        await ac.convert(data, tmp_path / "d", to="voc", folders="task1")


async def test_what_cannot_be_converted_at_all_is_refused_at_once(
    serve: Serving, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(errors.ConfigError, match="cannot convert to 'mot'"):
        await ac.convert(data, tmp_path / "out", to="mot")
    for inside in (data, data / "coco"):
        with pytest.raises(errors.ConfigError, match="holds a mirror or backups"):
            await ac.convert(data, inside, to="coco")
    exports = tmp_path / "exports"
    await ac.mirror(serve.client, exports, options=replace(QUICK))
    with pytest.raises(errors.ConfigError, match="holds a mirror or backups"):
        await ac.convert(data, exports, to="coco")
    with pytest.raises(errors.ConfigError, match="it holds no task as JSON"):
        await ac.convert(exports, tmp_path / "out", to="coco")
    with pytest.raises(errors.ConfigError, match="holds neither a mirror nor backups"):
        await ac.convert(tmp_path / "nothing", tmp_path / "out", to="coco")


@pytest.mark.usefixtures("serve")
async def test_a_task_that_is_named_and_not_mirrored_fails_unless_it_is_one_of_a_range(
    data: Path, tmp_path: Path
) -> None:
    named = await ac.convert(data, tmp_path / "a", to="coco", task_ids=[1, 9])
    assert states(named) == {1: "converted", 9: "failed"}
    assert "no mirror here holds it" in (named.failed[0].why or "")
    ranges = IdList.of([1, range(3, 10)])
    assert states(await ac.convert(data, tmp_path / "b", to="coco", task_ids=ranges)) == {
        1: "converted",
        3: "converted",
    }


async def test_a_mirror_without_tasks_is_refused(serve: Serving, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    await ac.mirror(serve.client, empty, ac.Selection(task_ids=[99]), spec="json", options=QUICK)
    with pytest.raises(errors.ConfigError, match="it holds no task yet"):
        await ac.convert(empty, tmp_path / "out", to="coco")


@pytest.mark.usefixtures("serve")
async def test_many_bytes_are_written_in_several_rounds(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "_BYTES_AT_ONCE", 1)
    report = await ac.convert(data, tmp_path / "out", to="coco")
    assert set(states(report).values()) == {"converted"}


@pytest.mark.usefixtures("serve")
async def test_a_full_disk_leaves_no_part_of_a_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "sync_filesystem", full)
        with pytest.raises(errors.DiskFullError, match="Free some space, then run again"):
            await ac.convert(data, tmp_path / "out", to="coco")
    assert tree(tmp_path / "out") == {}
    report = await ac.convert(data, tmp_path / "out", to="coco")
    assert set(states(report).values()) == {"converted"}


@pytest.mark.usefixtures("serve")
async def test_a_report_is_json(data: Path, tmp_path: Path) -> None:
    damage(data, 1)
    report = await ac.convert(data, tmp_path / "out", to="COCO 1.0")
    value = json.loads(json.dumps(report.to_json()))
    assert (value["version"], value["format"]) == (1, "COCO 1.0")
    assert value["counts"] == {"converted": 2, "unchanged": 0, "failed": 1}
    failed, converted, _ = value["tasks"]
    assert (failed["id"], failed["state"], failed["files"]) == (1, "failed", 0)
    assert failed["why"]
    size = sum(map(len, tree(tmp_path / "out" / "task2").values()))
    assert (converted["folder"], converted["bytes"], converted["files"]) == ("task2", size, 1)


def rename_image(data: Path, task: int, name: str) -> None:
    path = data / f"task{task}" / "frames.json"
    media = json.loads(path.read_bytes())
    media["frames"][0]["name"] = name
    path.write_text(json.dumps(media))


@pytest.mark.usefixtures("serve")
async def test_a_name_that_the_disk_cannot_hold_fails_its_task_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    rename_image(data, 1, "n" * 252 + ".jpg")
    rename_image(data, 2, "refused.jpg")
    opened = Path.open

    def refusing(path: Path, *args: Any, **kwargs: Any) -> Any:
        """Open a file as a disk does that allows no such name."""
        if path.name == "refused.txt":
            raise OSError(errno.EINVAL, "Invalid argument")
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refusing)
    report = await ac.convert(data, out, to="yolo")
    assert states(report) == {1: "failed", 2: "failed", 3: "converted"}
    too_long, refused = (one.why or "" for one in report.failed)
    assert "255" in too_long
    assert "task2/obj_train_data/refused.txt': Invalid argument" in refused
    assert [path.name for path in out.iterdir()] == ["task3"]


@pytest.mark.usefixtures("serve")
async def test_a_place_that_cannot_be_read_fails_its_task_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    renamed = Path.rename

    def refusing(path: Path, target: Path) -> Path:
        if target.name == "task2":
            raise OSError(errno.EACCES, "Permission denied")
        return renamed(path, target)

    monkeypatch.setattr(Path, "rename", refusing)
    report = await ac.convert(data, out, to="coco")
    assert states(report) == {1: "converted", 2: "failed", 3: "converted"}
    assert "Permission denied" in (report.failed[0].why or "")


@pytest.mark.usefixtures("serve")
async def test_tasks_that_fit_on_a_disk_before_it_is_full_stay(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    made = Path.mkdir

    def filling(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.name == "2":
            raise OSError(errno.ENOSPC, "No space left on device")
        made(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", filling)
        with pytest.raises(errors.DiskFullError, match="finished tasks stay"):
            await ac.convert(data, out, to="coco")
    assert [path.name for path in out.iterdir()] == ["task1"]
    assert states(await ac.convert(data, out, to="coco"))[1] == "unchanged"


@pytest.mark.usefixtures("serve")
async def test_a_drive_that_fails_stops_all_tasks(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_path: Path, _target: Path) -> Path:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(errors.DriveError):
        await ac.convert(data, tmp_path / "out", to="coco")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("serve")
async def test_a_mirror_in_the_place_of_a_task_is_never_replaced(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    mirror = data.rename(out / "task1")
    before = tree(mirror)
    report = await ac.convert(mirror, out, to="coco", overwrite=True)
    assert states(report) == {1: "failed", 2: "converted", 3: "converted"}
    assert "it holds a mirror, or backups" in (report.failed[0].why or "")
    assert tree(mirror) == before


@pytest.mark.usefixtures("serve")
async def test_without_an_exchange_of_names_a_folder_is_replaced_by_two_renames(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_names: str, **_folders: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    out = tmp_path / "out"
    await ac.convert(data, out, to="coco")
    expected = tree(out)
    path = out / "task2/annotations/instances_default.json"
    path.write_text("mine")
    monkeypatch.setattr(files, "exchange", unsupported)
    renamed = Path.rename

    def refusing(path: Path, target: Path) -> Path:
        if path.name.isdecimal():
            raise OSError(errno.EACCES, "Permission denied")
        return renamed(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", refusing)
        refused = await ac.convert(data, out, to="coco", overwrite=True)
    assert states(refused)[2] == "failed"
    assert path.read_text() == "mine"
    replaced = await ac.convert(data, out, to="coco", overwrite=True)
    assert states(replaced)[2] == "converted"
    assert tree(out) == expected


@pytest.mark.usefixtures("serve")
async def test_each_file_is_synced_if_the_file_system_cannot_be_synced_at_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(system_calls, "can_sync_filesystem", lambda _fd: False)
    monkeypatch.setattr(files, "fsync", synced.append)
    monkeypatch.setattr(files, "sync_filesystem", None)
    report = await ac.convert(data, tmp_path / "out", to="yolo")
    assert len(synced) == sum(one.files for one in report.tasks) > 0


_CONVERT_UNTIL_KILLED = """
import sys
from asynccvat.store.converted_folders import open_converted_folders
from asynccvat.core.convert.files import small_file
from pathlib import Path
with open_converted_folders(Path(sys.argv[1])) as converted:
    converted.stage("task1", iter([small_file("labels/a.txt", "half")]))
    print("staged", flush=True)
    sys.stdin.read()
"""


@pytest.mark.usefixtures("serve")
async def test_what_a_killed_process_left_is_removed_and_what_a_running_one_uses_is_not(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    mine = out / ".converting-notes"
    mine.mkdir(parents=True)
    command = [sys.executable, "-c", _CONVERT_UNTIL_KILLED, str(out)]
    async with await anyio.open_process(command, stderr=None) as other:
        assert other.stdout is not None
        assert (await other.stdout.receive()).strip() == b"staged"
        (left,) = (path for path in out.iterdir() if path != mine)
        await ac.convert(data, out, to="coco", task_ids=[1])
        assert (left / "1" / "labels" / "a.txt").read_text() == "half"
        other.kill()
    assert left.exists()
    await ac.convert(data, out, to="coco")
    assert sorted(path.name for path in out.iterdir()) == [mine.name, "task1", "task2", "task3"]
