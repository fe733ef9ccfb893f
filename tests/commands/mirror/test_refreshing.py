"""Check refreshes: annotations are exported alone if a task's images did not change."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import (
    QUICK,
    Log,
    Serving,
    Tree,
    actions,
    files,
    kept,
    outcome,
    receipt_head,
    serving,
    staged,
)

import asynccvat as ac
from asynccvat.core.plans.refresh import REFRESH_FROM
from asynccvat.events import ExportFinished, Retrying
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

FRAMES, FRAME_BYTES = 3, 2_200_000
SPEC = ac.ExportSpec("COCO 1.0", images=True)
REFRESHABLE = [
    "CVAT for images 1.1",
    "CVAT for video 1.1",
    "COCO 1.0",
    "Datumaro 1.0",
    "Ultralytics YOLO Detection 1.0",
]
IMAGE = "images/default/street_0000.jpg"


@pytest.fixture
async def serve(data: Path) -> AsyncIterator[Serving]:
    """A server of two tasks with images large enough for a refresh, mirrored once."""
    async with large() as started:
        report = await ac.mirror(started.client, data, spec=SPEC, options=QUICK)
        assert report.ok
        yield started


def large(**options: Any) -> Any:
    return serving(2, frames=FRAMES, frame_bytes=FRAME_BYTES, **options)


async def again(
    serve: Serving, data: Path, spec: ac.ExportSpec = SPEC, **options: Any
) -> tuple[ac.RunReport, list[bool]]:
    """Mirror again. Also returns for each export whether it had images."""
    since = len(serve.server.calls)
    log = options.pop("log", None)
    chosen = replace(QUICK, **options)
    report = await ac.mirror(serve.client, data, spec=spec, options=chosen, on_event=log)
    assert report.ok, report.failures
    exported = ["save_images=true" in call.query for call in serve.calls("POST", since=since)]
    return report, exported


def without_dates(tree: Tree) -> Tree:
    """CVAT's XML holds the time of its export, which differs each time."""
    dumped = re.compile(rb"<dumped>[^<]*</dumped>")
    return {path: dumped.sub(b"", content) for path, content in tree.items()}


@pytest.mark.parametrize("name", REFRESHABLE)
@pytest.mark.parametrize("subset", ["", "train"], ids=["no subset", "subset"])
async def test_a_refresh_is_equal_to_a_full_export_file_by_file(
    data: Path, tmp_path: Path, name: str, subset: str
) -> None:
    spec = ac.ExportSpec(name, images=True)
    async with large(subsets=(subset,)) as serve:
        assert (await ac.mirror(serve.client, data, spec=spec, options=QUICK)).ok
        before = files(data)
        inodes = {path: path.stat().st_ino for path in data.rglob("*.jpg")}
        serve.server.edit_task(1)
        report, exported = await again(serve, data, spec)
        assert exported == [False]
        assert actions(report) == {1: ("fetched", "changed"), 2: ("kept", "unchanged")}
        fresh = tmp_path / "fresh"
        assert (await ac.mirror(serve.client, fresh, spec=spec, options=QUICK)).ok
        assert without_dates(files(data)) == without_dates(files(fresh))
        assert files(data) != before
        heads = [receipt_head(place, 1) for place in (data, fresh)]
        # The receipt is that of a full export, except for times.
        for head in heads:
            del head["requested_at"], head["committed_at"], head["device"], head["inode"]
        if not name.startswith("CVAT"):
            assert heads[0] == heads[1]
        assert heads[0]["media"] == heads[1]["media"] is not None
        # It can be refreshed again.
        serve.server.edit_task(1)
        _, exported = await again(serve, data, spec)
        assert exported == [False]
    fetched = outcome(report, 1)
    assert fetched.files == len([path for path in files(data) if path.startswith("task1/")])
    assert fetched.transferred < 20_000 < FRAMES * FRAME_BYTES < fetched.bytes
    assert {path: path.stat().st_ino for path in data.rglob("*.jpg")} == inodes
    assert kept(data) == {}
    assert staged(data) == []


async def test_a_format_whose_annotations_depend_on_the_images_is_exported_whole(
    data: Path,
) -> None:
    spec = ac.ExportSpec("PASCAL VOC 1.1", images=True)
    async with large() as serve:
        assert (await ac.mirror(serve.client, data, spec=spec, options=QUICK)).ok
        assert not serve.calls("data/meta")
        serve.server.edit_task(1)
        _, exported = await again(serve, data, spec)
        assert exported == [True]
        assert files(data) == await serve.archives(spec)


async def test_small_images_are_exported_without_a_fingerprint(data: Path) -> None:
    async with serving(1, frames=2, frame_bytes=REFRESH_FROM // 2 - 1) as serve:
        assert (await ac.mirror(serve.client, data, spec=SPEC, options=QUICK)).ok
        serve.server.edit_task(1)
        _, exported = await again(serve, data)
        assert exported == [True]
        assert not serve.calls("data/meta")


async def test_an_export_of_annotations_takes_no_fingerprint(data: Path) -> None:
    async with large() as serve:
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert not serve.calls("data/meta")


@pytest.mark.parametrize("options", [{"refresh": False}, {"reuse": False}, {"keep_archive": True}])
async def test_without_refresh_no_fingerprint_is_taken(
    serve: Serving, data: Path, options: dict[str, bool]
) -> None:
    serve.server.edit_task(1)
    since = len(serve.server.calls)
    _, exported = await again(serve, data, SPEC, **options)
    assert exported == [True]
    assert not serve.calls("data/meta", since=since)
    # Without a fingerprint of its images, this task has to be exported whole once more.
    no_archives = {"keep_archive": False, "change": True}
    serve.server.edit_task(1)
    assert (await again(serve, data, SPEC, **no_archives))[1] == [True]
    serve.server.edit_task(1)
    assert (await again(serve, data))[1] == [False]
    assert files(data) == await serve.archives(SPEC)


async def test_a_download_takes_no_fingerprint(serve: Serving, tmp_path: Path) -> None:
    since = len(serve.server.calls)
    await ac.download(serve.client, 1, tmp_path / "alone", SPEC)
    assert not serve.calls("data/meta", since=since)


def changed_media(serve: Serving) -> None:
    serve.server.change_media(1)


def deleted_frame(serve: Serving) -> None:
    serve.server.change_task(1, deleted_frames=(0,))


def another_subset(serve: Serving) -> None:
    serve.server.change_task(1, subset="validation")


@pytest.mark.parametrize("change", [changed_media, deleted_frame, another_subset])
async def test_what_changes_the_images_is_exported_whole(
    serve: Serving, data: Path, change: Callable[[Serving], None]
) -> None:
    change(serve)
    _, exported = await again(serve, data)
    assert exported == [True]
    assert files(data) == await serve.archives(SPEC)
    assert kept(data) == {}
    # From then on these images are on disk.
    serve.server.edit_task(1)
    _, exported = await again(serve, data)
    assert exported == [False]
    assert files(data) == await serve.archives(SPEC)


@pytest.mark.parametrize("change", [changed_media, deleted_frame])
async def test_images_that_change_while_annotations_are_exported_are_exported_after_all(
    serve: Serving, data: Path, log: Log, change: Callable[[Serving], None]
) -> None:
    serve.server.edit_task(1)
    changes = iter([change])

    def once(_: ExportFinished) -> None:
        for one in changes:
            one(serve)

    log.on(ExportFinished, once)
    report, exported = await again(serve, data, log=log)
    assert exported == [False, True]
    assert [event.step for event in log.of(Retrying)] == ["export"]
    assert files(data) == await serve.archives(SPEC)
    assert outcome(report, 1).transferred < 2 * FRAMES * FRAME_BYTES
    assert kept(data) == {}


async def test_a_fingerprint_is_not_trusted_if_a_frame_was_deleted_during_the_export(
    serve: Serving, data: Path, log: Log
) -> None:
    """A frame that was deleted and restored looks as if it had been there all the time."""
    serve.server.change_task(1, deleted_frames=(0,))
    log.on(ExportFinished, lambda _: serve.server.change_task(1, deleted_frames=()))
    _, exported = await again(serve, data, log=log)
    assert exported == [True]
    assert "task1/" + IMAGE not in files(data)
    assert receipt_head(data, 1)["media"] is None
    _, exported = await again(serve, data)
    assert exported == [True]
    assert files(data) == await serve.archives(SPEC)


async def test_a_damaged_image_causes_a_full_export(serve: Serving, data: Path) -> None:
    image = data / "task1" / IMAGE
    status = image.stat()
    image.write_bytes(bytes(status.st_size))
    serve.server.edit_task(1)
    report, exported = await again(serve, data)
    assert exported == [False, True]
    assert files(data) == await serve.archives(SPEC)
    # The other images are reused.
    assert outcome(report, 1).transferred < FRAME_BYTES * 3 // 2
    assert kept(data) == {Path(IMAGE).name: bytes(status.st_size)}


async def test_edited_annotations_are_moved_to_quarantine(serve: Serving, data: Path) -> None:
    edited = data / "task1/annotations/instances_default.json"
    edited.write_bytes(b"mine")
    serve.server.edit_task(1)
    _, exported = await again(serve, data)
    assert exported == [False]
    assert files(data) == await serve.archives(SPEC)
    assert kept(data) == {edited.name: b"mine"}


async def test_missing_and_forced_tasks_are_exported_whole(serve: Serving, data: Path) -> None:
    (data / "task1" / IMAGE).unlink()
    assert (await again(serve, data))[1] == [True]
    assert (await again(serve, data, force=True))[1] == [True, True]
    assert files(data) == await serve.archives(SPEC)


@pytest.mark.parametrize("body", ["[]", '{"size": null}', '{"size": 3, "storage": "local"}'])
async def test_without_data_about_media_images_are_exported(
    serve: Serving, data: Path, body: str
) -> None:
    serve.server.faults.add(
        Fault(path="data/meta", status=200, body=body, content_type="application/json", times=None)
    )
    serve.server.edit_task(1)
    assert (await again(serve, data))[1] == [True]
    assert receipt_head(data, 1)["media"] is None
    assert files(data) == await serve.archives(SPEC)


async def test_a_refused_call_about_media_is_no_failure(serve: Serving, data: Path) -> None:
    serve.server.faults.add(Fault(path="data/meta", status=403, body="{}", times=None))
    serve.server.edit_task(1)
    assert (await again(serve, data))[1] == [True]
    assert files(data) == await serve.archives(SPEC)


async def test_a_receipt_of_an_earlier_version_does_not_qualify(serve: Serving, data: Path) -> None:
    path = data / ".asynccvat/receipts/1.json"
    first, *rest = path.read_bytes().split(b"\n")
    head = json.loads(first)
    del head["media"]
    path.write_bytes(b"\n".join([json.dumps(head).encode(), *rest]))
    serve.server.edit_task(1)
    assert (await again(serve, data))[1] == [True]
    assert files(data) == await serve.archives(SPEC)


async def test_an_expired_export_of_annotations_is_repeated(serve: Serving, data: Path) -> None:
    serve.server.faults.add(Fault(path="dataset/download", expire=True))
    serve.server.edit_task(1)
    _, exported = await again(serve, data)
    assert exported == [False, False]
    assert files(data) == await serve.archives(SPEC)
