"""Check that a large member goes on where an earlier run was interrupted within it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import QUICK, QUICK_DOWNLOAD, Log, Serving, files, outcome, serving, staged

import asynccvat as ac
from asynccvat.archives import extractor, parts, session
from asynccvat.events import Retrying
from asynccvat.simulator import Fault
from asynccvat.store import loose_folder, mirror_store

pytestmark = pytest.mark.anyio

FRAME = 3_000_000
IMAGES = ac.ExportSpec(images=True)
ONE_BY_ONE = replace(QUICK, retries=0)


@pytest.fixture(autouse=True)
def small_members_have_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parts, extractor):
        monkeypatch.setattr(module, "PART_FROM", 500_000)
    monkeypatch.setattr(mirror_store, "KEEP_ABOVE", 0)


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    """A server of one task with two large images."""
    async with serving(1, frames=2, frame_bytes=FRAME) as started:
        yield started


def parts_in(data: Path) -> dict[str, int]:
    """The kept parts of the task, with their sizes."""
    folder = data / ".asynccvat/staging/1/parts"
    if not folder.is_dir():
        return {}
    return {path.name: path.stat().st_size for path in folder.iterdir()}


async def interrupted(serve: Serving, data: Path, *, after: int = 2_000_000) -> int:
    """Mirror until the connection breaks within each span. Returns the bytes that came."""
    serve.server.faults.add(Fault(path="dataset/download", nth=2, cut_at=after, times=1))
    serve.server.faults.add(Fault(path="dataset/download", nth=3, status=404, times=None))
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=ONE_BY_ONE)
    assert not report.ok
    serve.server.faults.clear()
    return report.transferred


async def check_whole(serve: Serving, data: Path) -> None:
    assert files(data) == await serve.archives(IMAGES)
    assert staged(data) == []


async def test_an_interrupted_member_goes_on_in_the_next_run(serve: Serving, data: Path) -> None:
    await interrupted(serve, data)
    kept = sum(parts_in(data).values())
    assert kept > 1_500_000
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)
    total = 2 * FRAME
    assert report.ok
    assert outcome(report, 1).transferred < total - kept + 300_000 * 2
    await check_whole(serve, data)


async def test_a_member_goes_on_after_its_task_was_exported_anew(
    serve: Serving, data: Path
) -> None:
    await interrupted(serve, data)
    kept = sum(parts_in(data).values())
    # The archive has another ETag and other annotations, and the images are the same.
    serve.server.edit_task(1)
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)
    assert outcome(report, 1).transferred < 2 * FRAME - kept + 600_000
    await check_whole(serve, data)


@pytest.mark.parametrize("damage", ["zeros", "another byte", "longer", "whole but wrong", "empty"])
async def test_a_damaged_part_costs_a_download_and_no_failure(
    serve: Serving, data: Path, log: Log, damage: str
) -> None:
    await interrupted(serve, data)
    for path in (data / ".asynccvat/staging/1/parts").iterdir():
        size = int(path.name.partition("-")[2])
        content = path.read_bytes()
        path.write_bytes(
            {
                # What a power cut can leave of a file whose bytes were not synced.
                "zeros": content[:900_000] + bytes(len(content) - 900_000),
                "another byte": bytes([content[0] ^ 1]) + content[1:],
                "longer": content + bytes(size),
                "whole but wrong": bytes(size),
                "empty": b"",
            }[damage]
        )
    options = replace(QUICK, retries=0)
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=options, on_event=log)
    assert report.ok, report.failures
    told = [event.step for event in log.of(Retrying)]
    assert told == ([] if damage == "empty" else ["extract"] * len(told))
    await check_whole(serve, data)


async def test_a_part_that_is_whole_is_checked_and_published(serve: Serving, data: Path) -> None:
    wanted = await serve.archive(1, IMAGES)
    image = max(wanted.values(), key=len)
    await interrupted(serve, data)
    folder = data / ".asynccvat/staging/1/parts"
    (folder / f"{zlib.crc32(image):08x}-{len(image)}").write_bytes(image)
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)
    assert outcome(report, 1).transferred < FRAME + 600_000
    await check_whole(serve, data)


async def test_an_archive_that_is_damaged_itself_still_fails(serve: Serving, data: Path) -> None:
    await interrupted(serve, data)
    serve.server.faults.add(Fault(path="dataset/download", alter_at=FRAME // 2, times=None))
    serve.server.faults.add(Fault(path="dataset/download", alter_at=3 * FRAME // 2, times=None))
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=ONE_BY_ONE)
    assert isinstance(outcome(report, 1).error, ac.errors.IntegrityError)
    assert staged(data) == []  # nothing of it is kept


async def test_small_members_and_servers_without_ranges_leave_no_parts(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "IN_MEMORY", 1000)
    serve.server.faults.add(Fault(path="dataset/download", ignore_range=True, times=None))
    serve.server.faults.add(Fault(path="dataset/download", cut_at=2_000_000, times=None))
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=ONE_BY_ONE)
    assert not report.ok
    assert parts_in(data) == {}
    serve.server.faults.clear()
    assert (await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)).ok
    await check_whole(serve, data)


async def test_a_cancelled_run_keeps_its_parts(serve: Serving, data: Path) -> None:
    serve.server.faults.add(Fault(path="dataset/download", nth=2, stall_at=2_000_000, times=1))
    run = ac.open_mirror(serve.client, data, spec=IMAGES, options=QUICK)
    async with run:
        async for event in run.events():
            if isinstance(event, ac.events.TransferProgress) and event.transferred > 300_000:
                break
        run.cancel()
    serve.server.faults.clear()
    report = await ac.mirror(serve.client, data, spec=IMAGES, options=QUICK)
    assert report.ok
    await check_whole(serve, data)


async def test_a_download_goes_on_within_a_member_too(
    serve: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loose_folder, "KEEP_ABOVE", 0)
    folder = tmp_path / "task"
    options = replace(QUICK_DOWNLOAD, retries=0)
    serve.server.faults.add(Fault(path="dataset/download", nth=2, cut_at=2_000_000))
    serve.server.faults.add(Fault(path="dataset/download", nth=3, status=404, times=None))
    with pytest.raises(ac.AsyncCvatError):
        await ac.download(serve.client, 1, folder, spec=IMAGES, options=options)
    serve.server.faults.clear()
    outcome_ = await ac.download(serve.client, 1, folder, spec=IMAGES, options=QUICK_DOWNLOAD)
    assert outcome_.transferred < 2 * FRAME - 1_500_000 + 600_000
    assert files(folder) == await serve.archive(1, IMAGES)
