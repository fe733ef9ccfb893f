"""Check that a bug that concerns one task ends no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, Log, error, files, serving

import asynccvat as ac
from asynccvat.archives import ArchiveReader
from asynccvat.client import poller
from asynccvat.core.requests import ServerRequest
from asynccvat.core.scheduling.in_flight import InFlight
from asynccvat.core.scheduling.polling import Poll
from asynccvat.events import ExportRequested
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio

TASKS = 12


async def check_one_failed(report: ac.RunReport, task_id: int) -> None:
    assert report.count(ac.Action.FETCHED) == TASKS - 1
    problem = error(report, task_id)
    assert isinstance(problem, ac.errors.InternalError)
    assert "asynccvat has a bug (KeyError: 'surprise')" in str(problem)
    assert isinstance(problem.__cause__, KeyError)


@pytest.mark.parametrize("unfiltered", [True, False])
async def test_a_bug_in_reading_one_status_ends_one_task(
    data: Path, monkeypatch: pytest.MonkeyPatch, unfiltered: bool
) -> None:
    real = poller._status_answer

    def surprised(request: ServerRequest) -> Any:
        if request.operation.task_id == 2:
            raise KeyError("surprise")
        return real(request)

    monkeypatch.setattr(poller, "_status_answer", surprised)
    async with serving(TASKS) as serve:
        if unfiltered:
            # No result is predicted, so that each is polled.
            serve.server.faults.add(
                Fault(path="dataset/download", headers={"Last-Modified": None}, times=None)
            )
        await check_one_failed(await ac.mirror(serve.client, data, options=QUICK), 2)


async def test_a_bug_in_a_single_call_ends_one_task(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ac.CvatClient.request

    async def surprised(self: ac.CvatClient, rq_id: str) -> ServerRequest:
        if "target_id=1&" in rq_id:
            raise KeyError("surprise")
        return await real(self, rq_id)

    monkeypatch.setattr(ac.CvatClient, "request", surprised)
    async with serving(TASKS) as serve:
        await check_one_failed(await ac.mirror(serve.client, data, options=QUICK), 1)


async def test_a_bug_in_reading_lists_is_gone_round_by_single_calls(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def surprised(_self: ac.CvatClient, **_: Any) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(ac.CvatClient, "requests", surprised)
    async with serving(
        40, costs=True, latency=0.0, login_seconds=0.0, export_seconds=0.01
    ) as serve:
        serve.server.faults.add(
            Fault(path="dataset/download", headers={"Last-Modified": None}, times=None)
        )
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        serve.server.faults.clear()
        assert files(data) == await serve.archives()


async def test_a_bug_in_deciding_the_next_poll_ends_only_the_tasks_in_flight(
    data: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = InFlight.next_poll
    struck: list[int] = []

    def surprised(self: InFlight, demand: Any) -> Poll | None:
        if not struck and len(log.of(ExportRequested)) == 2:
            struck.append(len(log.of(ExportRequested)))
            raise KeyError("surprise")
        return real(self, demand)

    monkeypatch.setattr(InFlight, "next_poll", surprised)
    async with serving(TASKS) as serve:
        serve.server.pause_exports()

        def release(_event: ExportRequested) -> None:
            if struck:
                serve.server.release_exports()

        log.on(ExportRequested, release)
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        failed = [one for one in report.outcomes if one.error is not None]
        assert 1 <= len(failed) <= 4
        assert all(isinstance(one.error, ac.errors.InternalError) for one in failed)
        assert report.count(ac.Action.FETCHED) == TASKS - len(failed)


async def test_a_bug_in_reading_an_archive_ends_one_task(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ArchiveReader.read

    async def surprised(self: ArchiveReader, url: str, staging: Any, **more: Any) -> Any:
        if staging.task_id == 3:
            raise KeyError("surprise")
        return await real(self, url, staging, **more)

    monkeypatch.setattr(ArchiveReader, "read", surprised)
    async with serving(TASKS) as serve:
        await check_one_failed(await ac.mirror(serve.client, data, options=QUICK), 3)
        # The next run, without the bug, completes.
        monkeypatch.setattr(ArchiveReader, "read", real)
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert files(data) == await serve.archives()
