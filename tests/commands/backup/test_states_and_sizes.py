"""What tells of validation frames, and how much memory a large zip takes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_serving import Serving, actions, serving

import asynccvat as ac
from asynccvat.errors import ResponseError
from asynccvat.models import DataMeta, Job
from asynccvat.simulator import ServerProcess, SimulatorOptions

pytestmark = pytest.mark.anyio

QUICK = ac.BackupOptions(durable=False)


@pytest.fixture
async def cvat(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serving]:
    """Two tasks, of which the first has a ground truth job."""
    real = ac.CvatClient.iter_jobs

    async def jobs(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Job]:
        async for job in real(self, *args, **kwargs):
            yield job
            if job.task_id == 1:
                yield msgspec.structs.replace(job, id=job.id + 1000, type="ground_truth")

    monkeypatch.setattr(ac.CvatClient, "iter_jobs", jobs)
    async with serving(2) as running:
        yield running


async def test_media_are_asked_for_only_where_validation_frames_can_be_replaced(
    cvat: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    size = 2

    async def data_meta(self: Any, task_id: int) -> DataMeta:
        del self
        asked.append(task_id)
        return DataMeta(size=size)

    monkeypatch.setattr(ac.CvatClient, "data_meta", data_meta)
    await ac.backup(cvat.client, tmp_path, options=QUICK)
    report = await ac.backup(cvat.client, tmp_path, options=QUICK)
    assert actions(report)[1] == ("kept", "unchanged")
    size = 3
    report = await ac.backup(cvat.client, tmp_path, options=QUICK)

    assert actions(report) == {1: ("backed up", "media"), 2: ("kept", "unchanged")}
    assert set(asked) == {1}


async def test_a_task_whose_media_cannot_be_asked_for_is_backed_up_again(
    cvat: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def data_meta(self: Any, task_id: int) -> DataMeta:
        del self
        raise ResponseError("no", status=500, task_id=task_id)

    monkeypatch.setattr(ac.CvatClient, "data_meta", data_meta)
    await ac.backup(cvat.client, tmp_path, options=QUICK)
    report = await ac.backup(cvat.client, tmp_path, options=QUICK)

    assert actions(report) == {1: ("backed up", "media"), 2: ("kept", "unchanged")}


_BACK_UP = """
import asyncio, resource, sys
import asynccvat as ac

async def main(url, token, dest):
    quick = ac.BackupOptions(durable=False)
    async with ac.CvatClient(url, token=token) as client:
        await ac.backup(client, dest, ac.Selection(task_ids=[1]), options=quick)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        report = await ac.backup(client, dest, options=quick)
        report.raise_for_failures()
        print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the unit of ru_maxrss differs")
def test_memory_does_not_grow_with_the_zip(tmp_path: Path) -> None:
    # The first one is small. Both are read by the same process, in turn.
    options = SimulatorOptions(tasks=1, frames=1, frame_bytes=5_000_000)
    with ServerProcess(options) as server:
        server.do("add_task", frames=6)
        ended = subprocess.run(
            [sys.executable, "-c", _BACK_UP, server.url, server.token, str(tmp_path / "dest")],
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    before, after = map(int, ended.stdout.split())
    sizes = [path.stat().st_size for path in sorted((tmp_path / "dest").glob("*/*.zip"))]
    assert sizes[1] > 30_000_000
    assert after - before < 12 * 1024
