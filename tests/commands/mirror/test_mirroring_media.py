"""Check the media of mirrors as JSON: the bytes, the calls that they cost, changes and failures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, Serving, actions, error, files, kept, outcome, serving

import asynccvat as ac
from asynccvat.client import internals
from asynccvat.events import Event, Retrying
from asynccvat.simulator import Fault
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.media import TaskMedia

pytestmark = pytest.mark.anyio

JSON = ac.ExportSpec("CVAT JSON", images=True)
EXPORT = ac.ExportSpec("CVAT for images 1.1", images=True)
CUT_VIDEO: dict[str, Any] = {
    "status": 200,
    "body": "\0\0\0\x10ftypisom",
    "content_type": "video/mp4",
}
JPEG = 20_000
"""Bytes of an image, so that chunks come in several pieces."""


async def mirror(
    serve: Serving,
    data: Path,
    spec: ac.ExportSpec | None = JSON,
    options: ac.MirrorOptions = QUICK,
    **rest: Any,
) -> ac.RunReport:
    return await ac.mirror(serve.client, data, None, spec, options=options, **rest)


@pytest.fixture
async def serve(data: Path) -> AsyncIterator[Serving]:
    """A server of two tasks in chunks of four frames, mirrored once with their images."""
    async with with_images(2) as started:
        report = await mirror(started, data)
        assert report.ok
        yield started


@asynccontextmanager
async def with_images(tasks: int = 1, *, chunk: int = 4, **options: Any) -> AsyncIterator[Serving]:
    given = {"frames": 10, "frame_bytes": JPEG, **options}
    async with serving(tasks, **given) as serve:
        for task_id in serve.server.tasks:
            serve.server.change_task(task_id, data_chunk_size=chunk)
        yield serve


async def exported(serve: Serving) -> dict[str, bytes]:
    """Return the images of all tasks, as exports with images have them."""
    archives = await serve.archives(EXPORT)
    return {name: content for name, content in archives.items() if "/images/" in name}


def images(data: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(data).items() if "/images/" in name}


def asked(serve: Serving, since: int = 0) -> list[str]:
    """Return the parts of media that were asked for, as `chunk 0`."""
    calls = serve.calls("GET", "/data", since=since)
    queries = [dict(one.split("=") for one in call.query.split("&") if one) for call in calls]
    return [f"{one['type']} {one['number']}" for one in queries if "type" in one]


async def media_of(serve: Serving, task_id: int, frames: tuple[Frame, ...], **media: Any) -> None:
    serve.server.world.fill_task(
        task_id, TaskMedia(frames, (), stop_frame=len(frames) - 1, **media), data_chunk_size=2
    )


# The bytes


async def test_images_have_the_bytes_of_an_export(serve: Serving, data: Path) -> None:
    assert images(data) == await exported(serve)
    assert (await ac.verify(data)).ok


async def test_nothing_is_exported(serve: Serving) -> None:
    assert serve.calls("POST", "/export") == []
    assert sorted(asked(serve)) == sorted(["chunk 0", "chunk 1", "chunk 2"] * 2)


async def test_deleted_frames_are_left_out_as_in_exports(data: Path) -> None:
    async with with_images() as serve:
        serve.server.change_task(1, deleted_frames=(0, 5, 8, 9))
        assert (await mirror(serve, data)).ok
        assert images(data) == await exported(serve)
        assert len(images(data)) == 6
        assert sorted(asked(serve)) == ["chunk 0", "chunk 1"]


async def test_a_chunk_that_lost_most_frames_is_fetched_frame_by_frame(data: Path) -> None:
    async with with_images(chunk=10) as serve:
        serve.server.change_task(1, deleted_frames=(0, 1, 2, 4, 5, 6, 7, 8, 9))
        assert (await mirror(serve, data)).ok
        assert images(data) == await exported(serve)
        assert asked(serve) == ["frame 3"]


async def test_a_video_comes_in_the_pieces_that_the_server_makes(data: Path) -> None:
    async with with_images(frames=0, projects=0) as serve:
        frames = tuple(Frame(n, f"frame_{n:06d}.PNG", 64, 48, n, None) for n in range(5))
        await media_of(serve, 1, frames, video="v.mp4")
        serve.server.change_task(1, mode="interpolation")
        report = await mirror(serve, data)
        assert report.ok
        pieces = {name for name in files(data) if name.startswith("task1/video/")}
        assert pieces == {f"task1/video/{number:06d}.mp4" for number in range(3)}
        piece = (data / "task1/video/000001.mp4").read_bytes()
        assert frames[2].data() in piece
        assert frames[3].data() in piece
        assert [one for one in report.warnings if "1 task is a video (1)" in one]
        assert (await ac.verify(data)).ok


async def test_videos_are_counted_in_the_plan(data: Path) -> None:
    async with with_images(3) as serve:
        for task_id in (1, 3):
            serve.server.change_task(task_id, mode="interpolation")
        plan = await ac.plan_mirror(serve.client, data, None, JSON, options=QUICK)
        assert [one for one in plan.warnings if "2 tasks are videos (1, 3)" in one]
        plan = await ac.plan_mirror(serve.client, data, None, "json", options=QUICK)
        assert plan.warnings == ()


async def test_names_that_the_disk_cannot_hold_are_mapped_or_refused(data: Path) -> None:
    async with with_images(frames=0, projects=0) as serve:
        await media_of(serve, 1, (Frame(0, "a\\b.jpg", 8, 8, 0, None),))
        report = await mirror(serve, data)
        assert isinstance(error(report, 1), ac.errors.UnsafePathError)
        report = await mirror(serve, data, options=replace(QUICK, names="map", change=True))
        assert report.ok
        assert list(images(data)) == ["task1/images/a%5Cb.jpg"]
        assert (await ac.verify(data)).ok


async def test_tiff_images_are_told_of(data: Path) -> None:
    async with with_images(frames=0, projects=0) as serve:
        await media_of(serve, 1, (Frame(0, "a.tif", 8, 8, 0, None),))
        report = await mirror(serve, data)
        assert [one for one in outcome(report, 1).warnings if "TIFF" in one]


# What they cost


async def test_where_only_annotations_changed_no_image_is_fetched(
    serve: Serving, data: Path
) -> None:
    held = images(data)
    serve.server.edit_task(2)
    before = len(serve.server.calls)
    report = await mirror(serve, data, None)
    assert actions(report)[2] == ("fetched", "changed")
    assert asked(serve, before) == []
    assert len(serve.calls("/data/meta", since=before)) == 1
    assert images(data) == held
    assert outcome(report, 2).transferred < JPEG


async def test_where_only_a_job_changed_no_image_is_fetched(serve: Serving, data: Path) -> None:
    held = images(data)
    serve.server.change_job(1, state="completed")
    before = len(serve.server.calls)
    report = await mirror(serve, data, None)
    assert actions(report)[1] == ("fetched", "jobs")
    assert asked(serve, before) == []
    serve.server.edit_task(1)
    await mirror(serve, data, None)
    assert asked(serve, before) == []
    assert images(data) == held


async def test_frames_that_were_restored_cost_their_chunk(data: Path) -> None:
    async with with_images() as serve:
        serve.server.change_task(1, deleted_frames=(5,))
        await mirror(serve, data)
        before = len(serve.server.calls)
        serve.server.change_task(1, deleted_frames=())
        serve.server.edit_task(1)
        await mirror(serve, data)
        assert asked(serve, before) == ["chunk 1"]
        assert images(data) == await exported(serve)


async def test_a_damaged_image_is_fetched_alone(data: Path) -> None:
    async with with_images(chunk=10) as serve:
        await mirror(serve, data)
        held = images(data)
        name = sorted(held)[7]
        (data / name).unlink()
        before = len(serve.server.calls)
        report = await ac.verify(data, client=serve.client, repair=True)
        assert report.ok, report
        assert asked(serve, before) == ["frame 7"]
        assert images(data) == held


async def test_changed_media_are_fetched_again(serve: Serving, data: Path) -> None:
    held = images(data)
    before = len(serve.server.calls)
    serve.server.change_media(1)
    assert (await mirror(serve, data, None)).ok
    assert sorted(asked(serve, before)) == ["chunk 0", "chunk 1", "chunk 2"]
    assert images(data) == await exported(serve)
    assert images(data) != held


@pytest.mark.parametrize(("reuse", "chunks"), [(True, 0), (False, 6)])
async def test_force_fetches_images_only_if_files_on_disk_are_not_to_be_reused(
    serve: Serving, data: Path, *, reuse: bool, chunks: int
) -> None:
    before = len(serve.server.calls)
    report = await mirror(serve, data, None, replace(QUICK, force=True, reuse=reuse))
    assert report.count(ac.Action.FETCHED) == 2
    assert len(asked(serve, before)) == chunks
    assert images(data) == await exported(serve)


async def test_an_image_that_turns_out_changed_is_fetched_again(serve: Serving, data: Path) -> None:
    held = images(data)
    name = min(held)
    (data / name).write_bytes(held[name][::-1])
    before = len(serve.server.calls)
    assert (await mirror(serve, data, None, replace(QUICK, force=True))).ok
    assert asked(serve, before) == ["chunk 0"]
    assert images(data) == held


async def test_an_edited_image_goes_to_quarantine(serve: Serving, data: Path) -> None:
    name = min(images(data))
    (data / name).write_bytes(b"mine")
    serve.server.edit_task(1)
    assert (await mirror(serve, data, None)).ok
    assert images(data) == await exported(serve)
    assert b"mine" in kept(data).values()


async def test_images_are_added_and_left_out_on_purpose(data: Path) -> None:
    async with with_images() as serve:
        await mirror(serve, data, ac.ExportSpec("CVAT JSON"))
        assert images(data) == {}
        change = replace(QUICK, change=True)
        assert (await mirror(serve, data, JSON, change)).ok
        assert images(data) == await exported(serve)
        assert (await mirror(serve, data, ac.ExportSpec("CVAT JSON"), change)).ok
        assert images(data) == {}


async def test_a_limited_bandwidth_holds_for_media_too(data: Path) -> None:
    async with with_images() as serve:
        assert (await mirror(serve, data, options=replace(QUICK, bandwidth=10**9))).ok
        assert images(data) == await exported(serve)


# Media that change meanwhile


@pytest.mark.parametrize("path", [r"data\?.*number=1", "data/meta"])
async def test_media_that_change_meanwhile_start_over(data: Path, path: str) -> None:
    async with with_images() as serve:
        retried: list[str] = []

        def note(event: Event) -> None:
            if isinstance(event, Retrying):
                retried.append(event.error)

        nth = 1 if "number" in path else 2
        serve.server.faults.add(Fault(path=path, nth=nth, change_media=1))
        report = await mirror(serve, data, on_event=note)
        assert report.ok
        assert len(retried) == 1
        assert "media changed while they were fetched" in retried[0]
        assert images(data) == await exported(serve)
        before = len(serve.server.calls)
        assert (await mirror(serve, data)).ok
        assert asked(serve, before) == []


async def test_media_that_keep_changing_fail(data: Path) -> None:
    async with with_images() as serve:
        serve.server.faults.add(Fault(path="data/meta", times=None, change_media=1))
        report = await mirror(serve, data)
        assert "they changed 10 times" in str(error(report, 1))
        serve.server.faults.clear()
        assert (await mirror(serve, data)).ok
        assert images(data) == await exported(serve)


# Failures


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_at": 30_000},
        {"alter_at": 30_000},
        {"status": 502},
        {"cut_at": 0},
    ],
    ids=str,
)
async def test_a_chunk_that_breaks_is_fetched_again(data: Path, fault: dict[str, Any]) -> None:
    async with with_images() as serve:
        serve.server.faults.add(Fault(path=r"data\?.*number=1", times=1, **fault))
        report = await mirror(serve, data)
        assert report.ok, report.outcomes
        assert images(data) == await exported(serve)
        assert sorted(asked(serve)) == ["chunk 0", "chunk 1", "chunk 1", "chunk 2"]


async def test_a_frame_that_is_damaged_comes_in_its_chunk(data: Path) -> None:
    async with with_images(chunk=10) as serve:
        serve.server.change_task(1, deleted_frames=tuple(range(1, 10)))
        wrong = Fault(path="type=frame", times=None, status=200, body="x", content_type="image/png")
        serve.server.faults.add(wrong)
        assert (await mirror(serve, data)).ok
        assert images(data) == await exported(serve)
        assert asked(serve)[-1] == "chunk 0"


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (r"data\?.*number=1", "GIF89a", "archive"),
        (r"data\?.*number=1", "", "archive"),
        # Chunks come in any order, and the first that is read fails the task.
        ("data/meta", {"chunk_size": 3}, "files, and should hold the 3 frames"),
        ("data/meta", {"frames": []}, "it names 0 frames of 10"),
    ],
    ids=["no zip", "empty", "other frames", "no names"],
)
async def test_media_that_contradict_each_other_fail_their_task_alone(
    data: Path, path: str, body: str | dict[str, Any], said: str
) -> None:
    async with with_images(2) as serve:
        content_type = "application/zip"
        if isinstance(body, dict):
            told = json.loads(await internals(serve.client).json_calls.data_meta(1))
            content_type, body = "application/json", json.dumps({**told, **body})
        serve.server.faults.add(
            Fault(
                path=f"tasks/1/{path}",
                times=None,
                status=200,
                body=body,
                content_type=content_type,
            )
        )
        report = await mirror(serve, data)
        assert said in str(error(report, 1))
        assert actions(report)[2] == ("fetched", "new")
        serve.server.faults.clear()
        assert (await mirror(serve, data)).ok
        assert images(data) == await exported(serve)


async def test_a_piece_of_a_video_that_is_cut_off_is_refused(data: Path) -> None:
    async with with_images(frames=0, projects=0) as serve:
        frames = tuple(Frame(n, f"frame_{n:06d}.PNG", 64, 48, n, None) for n in range(5))
        await media_of(serve, 1, frames, video="v.mp4")
        serve.server.faults.add(Fault(path=r"data\?.*number=1", times=None, **CUT_VIDEO))
        report = await mirror(serve, data)
        assert "video/000001.mp4" in str(error(report, 1))
        assert not (data / "task1").exists()
