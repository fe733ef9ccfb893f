"""A real file system that fills up during a command, at a random moment.

Another program really fills it, right before one of the command's effects. From there on the kernel
refuses whatever no longer fits: the next member, the middle of one, a receipt, the lock, a folder,
the report. Later there is room again, and the same command ends as if there always had been.
"""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from commands import requests_by_status
from failing_disk import hurry
from mirror_processes import (
    Tree,
    check_end,
    check_parts,
    job,
    mirror,
    read_folders,
    read_receipts,
    read_tree,
)
from small_disks import (
    Moment,
    OtherProgram,
    Shell,
    check_refused,
    command_line,
    mounted,
    name_server,
)

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess

pytestmark = pytest.mark.proof("Full disks")

TASKS = 6
FORMAT = ("--format", "COCO 1.0")
RUNS = 10
THOROUGH_RUNS = 150


@dataclass(frozen=True)
class Places:
    """Where everything is; made once.

    Attributes:
        server: A server whose tasks were edited, deleted and added after `before` was made.
        before: A mirror of what it had.
        after: A mirror of what it has.
    """

    server: ServerProcess
    before: Path
    after: Path


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    folder = tmp_path_factory.mktemp("mirrors")
    options = SimulatorOptions(tasks=TASKS, frames=4, frame_bytes=90_000)
    with ServerProcess(options) as server:
        before, after = folder / "before", folder / "after"
        mirror(job(server, before))
        for task_id in (2, 3, 4):
            server.do("edit_task", task_id=task_id)
        server.do("add_task", frames=9)
        server.do("delete_task", task_id=TASKS)
        shutil.copytree(before, after, copy_function=shutil.copy2)
        mirror(job(server, after, options={"prune": True, "max_delete": "100%"}))
        yield Places(server, before, after)


@pytest.fixture(scope="module")
def tmpfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted(tmp_path_factory.mktemp("tmpfs"), "tmpfs") as place:
        yield place


@pytest.fixture(scope="module")
def ext4(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted(tmp_path_factory.mktemp("ext4"), "ext4") as place:
        yield place


@pytest.fixture
def shell(
    places: Places, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Shell:
    server = places.server
    name_server(monkeypatch, server.url, server.username, server.password)
    hurry(monkeypatch)
    return command_line(capsys)


@dataclass(frozen=True)
class Shape:
    """One kind of command on a small disk.

    Attributes:
        name: What it is.
        arguments: The command, given the folder.
        begins: What is there before.
        check_left: Holds what a full disk left against what may be there.
        check_end: Holds what is there at last against what has to be.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    begins: Callable[[Path, Places], None]
    check_left: Callable[[Path, Places], None]
    check_end: Callable[[Path, Places], None]


FEW = ("--concurrency", "2", "--transfers", "1")


def _mirror(*options: str) -> Callable[[Path], list[str]]:
    return lambda disk: ["mirror", str(disk / "m"), *FORMAT, "--images", *FEW, *options]


def _nothing(disk: Path, places: Places) -> None:
    """Begin with an empty disk."""


def _mirrored(disk: Path, places: Places) -> None:
    shutil.copytree(places.before, disk / "m", copy_function=shutil.copy2)


def _parts(disk: Path, places: Places) -> None:
    check_parts(read_folders(disk / "m"), read_folders(places.before), read_folders(places.after))


def _old_or_new(disk: Path, places: Places) -> None:
    _parts(disk, places)
    assert read_folders(disk / "m").keys() >= {f"task{n}" for n in range(1, TASKS)}, "one is lost"


def _as_after(disk: Path, places: Places) -> None:
    assert read_folders(disk / "m") == read_folders(places.after)
    check_end(disk / "m", places.after)


def _with_archives(disk: Path, places: Places) -> None:
    archives = disk / "m/.asynccvat/archives"
    assert len(list(archives.iterdir())) == len(read_folders(places.after))
    _as_after(disk, places)


def _with_report(disk: Path, places: Places) -> None:
    assert json.loads((disk / "report.json").read_text())["ok"]
    assert (disk / "events.json").read_text().splitlines()
    _as_after(disk, places)


def _downloaded(disk: Path) -> dict[str, Tree]:
    place = disk / "d"
    return {
        path.name: read_tree(path)
        for path in (place.iterdir() if place.is_dir() else ())
        if not path.name.startswith(".")
    }


def _some_downloaded(disk: Path, places: Places) -> None:
    check_parts(_downloaded(disk), read_folders(places.after))


def _all_downloaded(disk: Path, places: Places) -> None:
    wanted = read_folders(places.after)
    assert _downloaded(disk) == {f"task{n}": wanted[f"task{n}"] for n in (1, 2, 3)}
    assert sorted(path.name for path in (disk / "d").iterdir()) == ["task1", "task2", "task3"]


def _zips(disk: Path) -> list[str]:
    """The tasks with a backup that has a receipt; each of those is a whole archive."""
    found = []
    for path in sorted((disk / "b").glob("*/*.zip")):
        receipt = disk / "b/.asynccvat/backups" / path.parent.name / f"{path.stem}.json"
        if receipt.exists():
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None, path
            found.append(path.parent.name)
    return found


def _some_zips(disk: Path, places: Places) -> None:
    assert set(_zips(disk)) <= set(read_folders(places.after))


def _all_zips(disk: Path, places: Places) -> None:
    assert _zips(disk) == sorted(read_folders(places.after))
    assert list((disk / "b/.asynccvat/staging").iterdir()) == []


SHAPES = (
    Shape(
        "backups",
        lambda disk: ["backup", str(disk / "b"), *FEW],
        _nothing,
        _some_zips,
        _all_zips,
    ),
    Shape("fresh", _mirror(), _nothing, _parts, _as_after),
    Shape(
        "updated",
        _mirror("--prune", "--max-delete", "100%"),
        _mirrored,
        _old_or_new,
        _as_after,
    ),
    Shape("with archives", _mirror("--keep-archive"), _nothing, _parts, _with_archives),
    Shape(
        "with its report there",
        lambda disk: [
            *_mirror()(disk),
            *("--report-json", str(disk / "report.json"), "--log-json", str(disk / "events.json")),
        ],
        _nothing,
        _parts,
        _with_report,
    ),
    Shape(
        "downloads",
        lambda disk: [
            *("download", "-t", "1", "-t", "2", "-t", "3", "-o", str(disk / "d")),
            *("--images", *FORMAT),
        ],
        _nothing,
        _some_downloaded,
        _all_downloaded,
    ),
)


def fill_up(
    disk: Path, places: Places, shape: Shape, *, shell: Shell, moment: Moment, chance: random.Random
) -> bool:
    """One run on a disk that is full from some moment on, and one with room again.

    Returns:
        Whether the command met the full disk.
    """
    for path in disk.iterdir():
        if path.name != "lost+found":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shape.begins(disk, places)
    other = OtherProgram(disk)
    inodes = chance.random() < 0.3
    left = chance.choice([0, 1, 3, 8] if inodes else [0, 0, 1000, 5000, 40_000, 200_000])
    # Most effects are those of single tasks; the first ones make the folders and the lock.
    at = chance.choice([chance.randint(1, 40), chance.randint(41, 260)])
    moment.set(at, partial(other.fill, left=left, inodes=inodes))
    arguments = shape.arguments(disk)
    try:
        ended = shell(arguments)
        moment.set(None)
        check_refused(ended)
        assert "queued" not in requests_by_status(places.server)
        shape.check_left(disk, places)
    except BaseException as error:
        error.add_note(f"{shape.name}: full before effect {at}, {left} left, inodes: {inodes}")
        raise
    finally:
        other.free()
    again = shell(arguments)
    assert again.code == 0, again
    shape.check_end(disk, places)
    return ended.code != 0


def test_a_disk_that_fills_up_at_any_moment_ends_the_command_with_one_line(
    tmpfs: Path,
    places: Places,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    runs = THOROUGH_RUNS if thorough else RUNS
    met = _fill_up_often(tmpfs, places, shell, monkeypatch, runs)
    assert met >= runs // 2, "the disk was hardly ever full"
    count_cases(runs)


@pytest.mark.thorough
def test_so_it_does_where_the_file_system_is_ext4(
    ext4: Path,
    places: Places,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    count_cases: Callable[[int], None],
) -> None:
    _fill_up_often(ext4, places, shell, monkeypatch, THOROUGH_RUNS // 3)
    count_cases(THOROUGH_RUNS // 3)


def _fill_up_often(
    disk: Path, places: Places, shell: Shell, monkeypatch: pytest.MonkeyPatch, runs: int
) -> int:
    moment = Moment(monkeypatch)
    chance = random.Random(2054)
    return sum(
        fill_up(
            disk,
            places,
            SHAPES[number % len(SHAPES)],
            shell=shell,
            moment=moment,
            chance=chance,
        )
        for number in range(runs)
    )


def test_an_upload_onto_a_disk_that_fills_up_is_refused_or_done_and_its_receipt_stays_whole(
    tmpfs: Path,
    places: Places,
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    moment = Moment(monkeypatch)
    dest = tmpfs / "m"
    arguments = ["upload", "-i", str(dest), "-t", "1", "--lossy", "--overwrite", "--json"]
    _begin_upload(tmpfs, places)
    assert shell(arguments).code == 0
    effects = moment.seen
    warned = 0
    moments = range(1, effects + 1) if thorough else range(2, effects + 1, 11)
    for at in moments:
        _begin_upload(tmpfs, places)
        receipts = read_receipts(dest)
        other = OtherProgram(tmpfs)
        moment.set(at, partial(other.fill, left=0, inodes=False))
        try:
            ended = shell(arguments)
        finally:
            moment.set(None)
            other.free()
        if ended.code != 0:
            # Refused before anything was imported.
            assert len(ended.errors) == 1, ended
            assert "Free some space" in ended.errors[0]
            assert read_receipts(dest) == receipts
        else:
            (outcome,) = json.loads(ended.out)["tasks"]
            assert outcome["action"] == "uploaded", outcome
            warned += "warnings" in outcome
            noted = read_receipts(dest)[1].head.uploaded
            assert bool(noted) != ("warnings" in outcome), "the receipt is as is told"
        assert shell(arguments).code == 0
        assert read_receipts(dest)[1].head.uploaded
    assert warned or not thorough
    count_cases(len(moments))


def _begin_upload(disk: Path, places: Places) -> None:
    """A mirror whose first task was edited here."""
    for path in disk.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    _mirrored(disk, places)
    edited = disk / "m/task1/annotations/instances_default.json"
    content = json.loads(edited.read_text())
    content["info"]["description"] = "edited here"
    edited.write_text(json.dumps(content))
