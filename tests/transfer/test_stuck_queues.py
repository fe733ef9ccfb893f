"""Queues of the server that nothing leaves: what runs say of them, and how they end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from engine_serving import QUICK, Log, serving, until

import asynccvat as ac
from asynccvat.core.scheduling import stalls
from asynccvat.events import QueueStalled
from asynccvat.simulator import Fault

pytestmark = [pytest.mark.anyio, pytest.mark.proof("No silent wait")]


@pytest.fixture(autouse=True)
def said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stalls, "SAY_AFTER", 0.1)


async def test_a_stuck_queue_is_reported_and_ends_the_run_in_time(data: Path, log: Log) -> None:
    async with serving(5, export_workers=2) as serve:
        serve.server.faults.add(*(Fault(export="stick", task_id=number) for number in (1, 2)))
        options = replace(QUICK, concurrency=5, queue_timeout=1.0)
        report = await ac.mirror(serve.client, data, options=options, on_event=log)
        stuck = report.stopped_by
        assert isinstance(stuck, ac.errors.QueueStuckError)
        assert "3 of yours wait behind 2 that run since " in str(stuck)
        assert "longer than --queue-timeout 1s allows" in str(stuck)
        assert report.failures == ()
        stall = log.of(QueueStalled)[-1].stall
        assert (stall.action, stall.waiting, stall.running) == ("export", 3, 2)
        assert not [one for one in serve.server.requests.values() if one.status == "queued"]
        serve.server.release_exports()
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok


async def test_exports_that_take_too_long_fail_and_those_behind_them_end_the_run(
    data: Path,
) -> None:
    async with serving(5, export_workers=2) as serve:
        serve.server.faults.add(*(Fault(export="stick", task_id=number) for number in (1, 2)))
        options = replace(QUICK, concurrency=5, export_timeout=0.3, queue_timeout=1.0)
        report = await ac.mirror(serve.client, data, options=options)
        assert isinstance(report.stopped_by, ac.errors.QueueStuckError)
        assert {one.task_id for one in report.failures} == {1, 2}
        serve.server.release_exports()


async def test_a_run_goes_on_when_its_queue_moves_again(data: Path, log: Log) -> None:
    async with serving(5, export_workers=1) as serve:
        serve.server.faults.add(Fault(export="stick", task_id=2))
        async with ac.open_mirror(serve.client, data, options=QUICK, on_event=log) as run:
            await until(lambda: bool(log.of(QueueStalled)))
            serve.server.release_exports()
            assert (await run.wait()).ok
        assert log.of(QueueStalled)[0].stall.waiting >= 1


async def test_a_stuck_import_queue_ends_an_upload(data: Path, log: Log) -> None:
    async with serving(4, import_workers=1) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        serve.server.faults.add(Fault(importing="stick"))  # whichever is the first
        options = ac.UploadOptions(durable=False, force=True, queue_timeout=1.0)
        report = await ac.upload(serve.client, data, options=options, on_event=log)
        assert isinstance(report.stopped_by, ac.errors.QueueStuckError)
        assert log.of(QueueStalled)[-1].stall.action == "import"
        queued = [one for one in serve.server.requests.values() if one.status == "queued"]
        assert queued == []
