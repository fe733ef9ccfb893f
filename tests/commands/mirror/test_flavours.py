"""Each task is exported in the flavour of CVAT's XML that keeps what it has."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from engine_serving import (
    QUICK,
    QUICK_DOWNLOAD,
    actions,
    data,
    outcome,
    receipt_head,
    serving,
    stack,
)

import asynccvat as ac

__all__ = ["data", "stack"]

pytestmark = pytest.mark.anyio

IMAGES, VIDEO = "CVAT for images 1.1", "CVAT for video 1.1"
UPLOAD = ac.UploadOptions(durable=False)
CVAT = "annotations.xml"


async def test_a_video_keeps_its_tracks_and_the_receipt_names_the_flavour(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(3, video_tasks=1))
    report = await ac.mirror(serve.client, data, options=QUICK)
    assert report.warnings == ()
    formats = {number: receipt_head(data, number)["format"] for number in (1, 2, 3)}
    assert formats == {1: VIDEO, 2: IMAGES, 3: IMAGES}
    assert b"<track" in (data / "task1" / CVAT).read_bytes()
    assert b"<image" in (data / "task2" / CVAT).read_bytes()
    again = await ac.mirror(serve.client, data, options=QUICK)
    assert {action for action, _ in actions(again).values()} == {"kept"}


async def test_an_edited_video_goes_back_with_its_tracks(data: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(1, video_tasks=1, frames=3))
    before = (await serve.client.annotations(1)).counts
    assert (before.tracks, before.shapes) == (2, 0)
    await ac.mirror(serve.client, data, options=QUICK)
    path = data / "task1" / CVAT
    path.write_text(path.read_text().replace('occluded="0"', 'occluded="1"', 1))
    report = await ac.upload(serve.client, data, options=UPLOAD)
    assert outcome(report, 1).ok, outcome(report, 1).failure
    after = (await serve.client.annotations(1)).counts
    assert (after.tracks, after.shapes) == (2, 0)


async def test_a_named_flavour_is_taken_and_warned_of_once(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(8, video_tasks=7))
    plan = await ac.plan_mirror(serve.client, data, None, IMAGES)
    report = await ac.mirror(serve.client, data, None, IMAGES, options=QUICK)
    assert plan.to_json()["warnings"] == list(plan.warnings) == list(report.warnings)
    assert report.warnings == (
        (
            "7 tasks are videos (tasks 1, 2, 3, 4, 5 and 2 more), and 'CVAT for images 1.1' has no "
            "tracks: it holds a shape for each frame instead. Uploads of such a file over tracks "
            "are refused. Use --format CVAT to keep the tracks."
        ),
    )
    assert {receipt_head(data, number)["format"] for number in range(1, 9)} == {IMAGES}
    again = await ac.mirror(serve.client, data, None, IMAGES, options=QUICK)
    assert again.warnings == ()  # nothing is fetched


async def test_a_format_with_tracks_needs_no_warning(data: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(1, video_tasks=1))
    for number, name in enumerate((VIDEO, "COCO 1.0", "Datumaro 1.0")):
        report = await ac.mirror(serve.client, data / str(number), None, name, options=QUICK)
        assert report.warnings == ()


async def test_a_task_that_became_a_video_is_fetched_in_the_other_flavour(
    data: Path, stack: AsyncExitStack
) -> None:
    serve = await stack.enter_async_context(serving(1))
    await ac.mirror(serve.client, data, options=QUICK)
    serve.server.change_task(1, mode="interpolation")
    report = await ac.mirror(serve.client, data, options=QUICK)
    assert actions(report) == {1: ("fetched", "spec")}
    assert receipt_head(data, 1)["format"] == VIDEO


async def test_a_download_takes_the_flavour_of_each_task(data: Path, stack: AsyncExitStack) -> None:
    serve = await stack.enter_async_context(serving(2, video_tasks=1))
    paths = {1: data / "a", 2: data / "b"}
    report = await ac.download_many(serve.client, paths, options=QUICK_DOWNLOAD)
    assert report.ok
    assert b"<track" in (data / "a" / CVAT).read_bytes()
    assert b"<image" in (data / "b" / CVAT).read_bytes()


async def test_a_single_export_is_requested_in_the_flavour_of_its_task(
    stack: AsyncExitStack,
) -> None:
    serve = await stack.enter_async_context(serving(1, video_tasks=1))
    await serve.client.request_export(1, ac.ExportSpec())
    await serve.client.request_export(1, IMAGES)
    formats = [request.operation.format for request in await serve.client.requests()]
    assert sorted(map(str, formats)) == [IMAGES, VIDEO]
    assert len(serve.calls("GET /api/tasks/1")) == 1  # for the first alone
