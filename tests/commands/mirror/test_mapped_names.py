"""Check that tasks whose names the disk cannot hold are mirrored under safe names, and go back."""

from __future__ import annotations

import json
import zipfile
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import (
    QUICK,
    Serving,
    Tree,
    actions,
    data,
    error,
    files,
    outcome,
    receipt_head,
    serving,
    stack,
    staged,
)

import asynccvat as ac
from asynccvat.core.paths import NameRules
from asynccvat.simulator.world.content import GeneratedContent
from asynccvat.store import name_probe

__all__ = ["data", "stack"]

pytestmark = pytest.mark.anyio

# As in manifests written on Windows, and as seen of shares and scripts.
NAMES = ("cam1\\0001.jpg", "/data//2.jpg", "tab\there.jpg", "n" * 270 + ".jpg", "cam1%5C0001.jpg")
IMAGES = ac.ExportSpec("CVAT for images 1.1", images=True)
COCO = ac.ExportSpec("COCO 1.0", images=True)
YOLO = ac.ExportSpec("Ultralytics YOLO Detection 1.0", images=True)
MAP = replace(QUICK, names="map")
CONTENT = GeneratedContent(names=NAMES, frame_bytes=20_000)


async def serving_names(stack: AsyncExitStack) -> Serving:
    serve = await stack.enter_async_context(serving(2, frames=len(NAMES)))
    serve.server.change_task(1, content=CONTENT)
    return serve


def originals(place: Path, task_id: int) -> dict[str, str]:
    """Return the name in the export of each file, by the receipt."""
    lines = (place / f".asynccvat/receipts/{task_id}.json").read_bytes().splitlines()[1:]
    return {member[0]: member[-1 if len(member) == 5 else 0] for member in map(json.loads, lines)}


def restored(place: Path, task_id: int) -> Tree:
    """Return the files of a task under their names in the export."""
    names = originals(place, task_id)
    return {names[path]: content for path, content in files(place / f"task{task_id}").items()}


async def test_by_default_such_a_task_is_refused_and_the_message_names_the_option(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await serving_names(stack)
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)
    assert actions(report) == {1: ("failed", "new"), 2: ("fetched", "new")}
    assert str(error(report, 1)).endswith("Use `mirror --names map` to write it under a safe name.")


@pytest.mark.parametrize("spec", [IMAGES, YOLO], ids=["cvat", "yolo"])
async def test_every_file_is_there_under_a_safe_name_and_the_receipt_has_both(
    data: Path, stack: AsyncExitStack, spec: ac.ExportSpec
) -> None:
    serve = await serving_names(stack)
    report = await ac.mirror(serve.client, data, spec=spec, options=MAP)
    assert report.ok
    assert restored(data, 1) == await serve.archive(1, spec)
    assert not any("\\" in path or "\t" in path for path in files(data))
    assert (receipt_head(data, 1)["version"], receipt_head(data, 2)["version"]) == (2, 1)
    assert files(data / "task2") == await serve.archive(2, spec)


async def test_the_safe_names_are_readable(data: Path, stack: AsyncExitStack) -> None:
    serve = await serving_names(stack)
    await ac.mirror(serve.client, data, spec=IMAGES, options=MAP)
    names = sorted(path.removeprefix("images/") for path in files(data / "task1"))
    assert names[0] == "%2Fdata/%2F2.jpg"
    assert names[1:3] == ["annotations.xml", "cam1%5C0001.jpg"]
    # A name that was safe keeps its own, so the mapped one is marked.
    assert originals(data, 1)["images/cam1%5C0001.jpg"] == "images/cam1%5C0001.jpg"
    assert names[3].startswith("cam1%5C0001~")
    assert names[4].startswith("nnn")
    assert names[5] == "tab%09here.jpg"


async def test_a_second_run_finds_everything_unchanged_and_verify_agrees(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await serving_names(stack)
    await ac.mirror(serve.client, data, spec=IMAGES, options=MAP)
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=MAP)
    assert {action for action, _ in actions(report).values()} == {"kept"}
    assert (await ac.verify(data)).ok


async def test_a_destination_remembers_that_names_are_mapped(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await serving_names(stack)
    assert not (await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)).ok
    assert (await ac.mirror(serve.client, data, options=MAP)).ok
    serve.server.edit_task(1)
    assert (await ac.mirror(serve.client, data, options=QUICK)).ok
    assert restored(data, 1) == await serve.archive(1, IMAGES)


async def test_an_update_maps_alike_and_reuses_the_mapped_images(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await serving_names(stack)
    await ac.mirror(serve.client, data, spec=IMAGES, options=MAP)
    before = originals(data, 1)
    inodes = {path: path.stat().st_ino for path in (data / "task1").rglob("*.jpg")}
    serve.server.edit_task(1)
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=MAP)
    assert actions(report)[1] == ("fetched", "changed")
    assert outcome(report, 1).transferred < 20_000
    assert originals(data, 1) == before
    assert {path: path.stat().st_ino for path in (data / "task1").rglob("*.jpg")} == inodes
    assert restored(data, 1) == await serve.archive(1, IMAGES)


async def test_a_refresh_reuses_mapped_images(data: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(1, frames=len(NAMES)))
    serve.server.change_task(1, content=replace(CONTENT, frame_bytes=1_000_000))
    await ac.mirror(serve.client, data, spec=COCO, options=MAP)
    serve.server.edit_task(1)
    report = await ac.mirror(serve.client, data, spec=COCO, options=MAP)
    assert actions(report)[1] == ("fetched", "changed")
    assert "save_images=false" in serve.calls("POST", "dataset/export")[-1].query
    assert restored(data, 1) == await serve.archive(1, COCO)
    assert (await ac.mirror(serve.client, data, spec=COCO, options=MAP)).ok


async def test_a_damaged_mapped_file_is_repaired(data: Path, stack: AsyncExitStack) -> None:
    serve = await serving_names(stack)
    await ac.mirror(serve.client, data, spec=IMAGES, options=MAP)
    (data / "task1/images/cam1%5C0001.jpg").unlink()
    report = await ac.verify(data, client=serve.client, repair=True)
    assert report.ok
    assert restored(data, 1) == await serve.archive(1, IMAGES)


async def test_an_upload_sends_edited_files_under_the_names_of_the_export(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await serving_names(stack)
    await ac.mirror(serve.client, data, spec=YOLO, options=MAP)
    (path,) = [
        data / "task1" / one
        for one, original in originals(data, 1).items()
        if original == "labels/train/cam1\\0001.txt"
    ]
    first, *_ = path.read_text().splitlines()
    path.write_text(f"{first}\n")
    lossy = ac.UploadOptions(durable=False, lossy=True)  # YOLO has neither tags nor polygons
    report = await ac.upload(serve.client, data, options=lossy)
    assert actions(report) == {1: ("uploaded", "edited"), 2: ("skipped", "unchanged")}
    now = await serve.archive(1, YOLO)
    assert now["labels/train/cam1\\0001.txt"].splitlines() == [first.encode()]
    # The receipt still has both names, so a mirror and a second upload find the file.
    assert originals(data, 1)[path.relative_to(data / "task1").as_posix()].endswith(
        "cam1\\0001.txt"
    )
    again = await ac.mirror(serve.client, data, spec=YOLO, options=MAP)
    assert actions(again)[1] == ("fetched", "uploaded")
    assert restored(data, 1) == now
    assert staged(data) == []


async def test_a_kept_archive_has_the_names_of_the_export(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await serving_names(stack)
    kept = replace(MAP, keep_archive=True)
    assert (await ac.mirror(serve.client, data, spec=IMAGES, options=kept)).ok
    assert restored(data, 1) == await serve.archive(1, IMAGES)
    (archive,) = (data / ".asynccvat/archives").glob("1.*")
    with zipfile.ZipFile(archive) as opened:
        assert {one.filename for one in opened.infolist()} == set(originals(data, 1).values())


async def test_names_that_are_one_at_the_destination_are_told_apart(
    data: Path, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = NameRules(case_sensitive=False, windows_names=False)
    monkeypatch.setattr(name_probe, "probe", lambda *_: rules)
    serve = await stack.enter_async_context(serving(1, frames=4))
    names = ("Cam/1.jpg", "cam/1.jpg", "CON.jpg", "a./2.jpg")
    serve.server.change_task(1, content=replace(CONTENT, names=names))
    assert not (await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)).ok
    assert (await ac.mirror(serve.client, data, spec=IMAGES, options=MAP)).ok
    assert restored(data, 1) == await serve.archive(1, IMAGES)
    folded = [path.lower() for path in files(data / "task1")]
    assert len(set(folded)) == len(folded)
    serve.server.edit_task(1)
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=MAP)
    assert outcome(report, 1).transferred < 20_000
    assert restored(data, 1) == await serve.archive(1, IMAGES)
