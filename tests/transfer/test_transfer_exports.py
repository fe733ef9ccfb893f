"""Check exports: how many are in flight, whose are adopted, and what is repeated."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from engine_serving import (
    QUICK,
    Log,
    Serving,
    actions,
    connected,
    error,
    files,
    outcome,
    receipt_head,
    serving,
    until,
)

import asynccvat as ac
from asynccvat.client.internals import ClientInternals
from asynccvat.core.scheduling import admission
from asynccvat.events import (
    ExportFinished,
    ExportRequested,
    ExportStarted,
    TaskDone,
    TransferProgress,
)
from asynccvat.simulator import Fault, SimulatedServer

pytestmark = pytest.mark.anyio

JSON = "application/vnd.cvat+json"


@asynccontextmanager
async def mirroring(
    serve: Serving, data: Path, options: ac.MirrorOptions = QUICK, log: Log | None = None
) -> AsyncIterator[list[ac.RunReport]]:
    """Mirror while the block runs. The report is there afterwards."""
    reports: list[ac.RunReport] = []

    async def run() -> None:
        reports.append(await ac.mirror(serve.client, data, options=options, on_event=log))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        yield reports


def under_way(server: SimulatedServer) -> int:
    return sum(not request.ended for request in server.requests.values())


# --- how many are in flight


async def test_a_fixed_number_of_exports_in_flight_is_obeyed(data: Path) -> None:
    async with serving(12, export_workers=4) as serve:
        log, most = Log(), []
        log.on(ExportRequested, lambda _: most.append(under_way(serve.server)))
        serve.server.pause_exports()
        options = replace(QUICK, concurrency=3)
        async with mirroring(serve, data, options, log):
            await until(lambda: under_way(serve.server) == 3)
            # Polling goes on, and no more exports are requested.
            polled = len(serve.calls("GET", "/api/requests"))
            await until(lambda: len(serve.calls("GET", "/api/requests")) >= polled + 3)
            assert len(serve.calls("POST", "dataset/export")) == 3
            serve.server.release_exports()
        assert max(most) == 3
        assert len(log.of(ExportRequested)) == 12
        assert files(data) == await serve.archives()


async def test_an_unknown_server_gets_few_exports_at_first(data: Path) -> None:
    async with serving(40, export_workers=4) as serve:
        serve.server.pause_exports()
        log, most = Log(), []
        log.on(ExportRequested, lambda _: most.append(under_way(serve.server)))
        async with mirroring(serve, data, log=log):
            await until(lambda: under_way(serve.server) == admission.FIRST_LIMIT)
            serve.server.release_exports()
        assert max(most) <= admission.MOST_IN_FLIGHT
        assert len(log.of(TaskDone)) == 40


async def test_no_more_archives_are_read_at_once_than_there_are_transfers(data: Path) -> None:
    async with serving(9) as serve:
        reading: set[int] = set()
        most = 0
        real = ClientInternals.open_result

        @asynccontextmanager
        async def watched(self: ClientInternals, url: str, **more: Any) -> AsyncIterator[Any]:
            nonlocal most
            reading.add(more["task_id"])
            # No transfer goes on before others had time to begin, if they are allowed to.
            await until(lambda: most > 1 or len(reading) > 1)
            for _ in range(50):
                await anyio.lowlevel.checkpoint()
            most = max(most, len(reading))
            try:
                async with real(self, url, **more) as stream:
                    yield stream
            finally:
                reading.discard(more["task_id"])

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ClientInternals, "open_result", watched)
            options = replace(QUICK, transfers=2, concurrency=9)
            report = await ac.mirror(serve.client, data, options=options)
        assert report.ok
        assert most == 2


async def test_waiting_in_the_queue_takes_no_transfer(data: Path, log: Log) -> None:
    async with serving(3) as serve:
        # The first result vanishes at the download, so its task waits in the queue again.
        serve.server.faults.add(
            Fault(path="dataset/download", task_id=1, expire=True),
            Fault(export="stick", task_id=1, nth=2),
        )
        options = replace(QUICK, transfers=1)
        async with mirroring(serve, data, options, log):
            await until(lambda: {event.outcome.task_id for event in log.of(TaskDone)} == {2, 3})
            await until(lambda: len(serve.calls("POST", "tasks/1/dataset/export")) == 2)
            await serve.stuck(1)
            serve.server.release_exports()
        assert files(data) == await serve.archives()


async def test_one_login_serves_the_whole_run(data: Path) -> None:
    async with serving(10) as serve:
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert len(serve.calls("/api/auth/login")) == 1
        assert serve.calls("logout") == []


# --- polling


async def test_predicted_results_are_fetched_without_polls(data: Path) -> None:
    async with serving(60) as serve:
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert len(serve.calls("GET", "dataset/download")) >= 60
        assert len(serve.calls("GET", "/api/requests")) < 40


async def test_a_poll_that_fails_for_one_request_fails_one_task(data: Path) -> None:
    async with serving(4) as serve:
        serve.server.faults.add(
            Fault(
                path=r"^/api/requests\?",
                status=200,
                body='{"count": 0, "next": null, "previous": null, "results": []}',
                content_type=JSON,
                times=None,
            ),
            Fault(path="^/api/requests/.*target_id=2&", status=403, times=None),
        )
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert isinstance(error(report, 2), ac.PermissionDeniedError)
        assert report.count(ac.Action.FETCHED) == 3


# --- whose exports are adopted


@asynccontextmanager
async def somebody_else(serve: Serving) -> AsyncIterator[ac.CvatClient]:
    """Another process of the same user."""
    async with connected(serve.server, token=serve.server.token) as other:
        yield other


async def test_an_export_begun_before_the_listing_is_not_adopted(data: Path, log: Log) -> None:
    async with serving(1) as serve, somebody_else(serve) as other:
        serve.server.faults.add(Fault(export="stick"))
        old = await other.request_export(1, ac.ExportSpec())
        await until(lambda: serve.server.requests[old.rq_id].status == "started")
        # This export holds the old state. The listing will show the new one.
        task = serve.server.edit_task(1)
        async with mirroring(serve, data, log=log) as reports:
            await until(lambda: len(log.of(ExportRequested)) == 1)
            serve.server.release_exports()
        assert reports[0].ok
        assert [event.created for event in log.of(ExportRequested)] == [False, True]
        assert log.retries("export") == 1
        assert files(data) == await serve.archives()
        assert receipt_head(data, 1)["updated_date"].startswith(
            task.updated_date.strftime("%Y-%m-%dT%H:%M:%S")
        )


async def test_a_queued_export_of_another_client_is_adopted(data: Path, log: Log) -> None:
    async with serving(1) as serve, somebody_else(serve) as other:
        serve.server.pause_exports()
        await other.request_export(1, ac.ExportSpec())
        serve.server.edit_task(1)
        async with mirroring(serve, data, log=log) as reports:
            await until(
                lambda: any(call.status == 200 for call in serve.calls("GET", "/api/requests"))
            )
            serve.server.release_exports()
        assert reports[0].ok
        assert [event.created for event in log.of(ExportRequested)] == [False]
        assert len(serve.calls("POST", "dataset/export")) == 2
        assert files(data) == await serve.archives()


async def test_an_export_begun_well_after_the_listing_is_adopted(
    data: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(1) as serve, somebody_else(serve) as other:
        real = ac.CvatClient.tasks

        async def earlier(self: ac.CvatClient, *args: Any) -> ac.models.TaskListing:
            """List the tasks, as if the listing were old when the exports begin."""
            listing = await real(self, *args)
            assert listing.read_at is not None
            serve.server.faults.add(Fault(export="stick"))
            await other.request_export(1, ac.ExportSpec())
            (request,) = serve.server.requests.values()
            await until(lambda: request.status == "started")
            return replace(listing, read_at=listing.read_at - timedelta(seconds=5))

        monkeypatch.setattr(ac.CvatClient, "tasks", earlier)
        async with mirroring(serve, data, log=log) as reports:
            await until(lambda: len(log.of(ExportRequested)) == 1)
            serve.server.release_exports()
        assert reports[0].ok
        assert [event.created for event in log.of(ExportRequested)] == [False]


async def test_exports_that_another_client_keeps_replacing_are_given_up(data: Path) -> None:
    async with serving(1) as serve:
        started = serve.server.export_queue
        serve.server.faults.add(
            Fault(
                method="POST",
                path="dataset/export",
                status=409,
                body='{"rq_id": "somebody-elses"}',
                content_type=JSON,
                times=None,
            ),
            Fault(
                path="^/api/requests/somebody-elses",
                status=200,
                body=json.dumps(
                    {
                        "id": "somebody-elses",
                        "status": "finished",
                        "operation": {},
                        "started_date": "2020-01-01T00:00:00Z",
                        "finished_date": "2020-01-01T00:00:00.01Z",
                        "result_url": f"{serve.server.url}/api/tasks/1/dataset/download?rq_id=x",
                    }
                ),
                content_type=JSON,
                times=None,
            ),
        )
        report = await ac.mirror(serve.client, data, options=replace(QUICK, retries=2))
        assert isinstance(error(report, 1), ac.errors.ExportError)
        assert "another client of the same user" in str(error(report, 1))
        assert len(serve.calls("POST", "dataset/export")) == 3
        assert started.requests == {}


async def test_a_collision_in_plain_text_is_found_by_listing(data: Path, log: Log) -> None:
    async with serving(1) as serve, somebody_else(serve) as other:
        serve.server.pause_exports()
        await other.request_export(1, ac.ExportSpec())
        serve.server.faults.add(Fault(path="dataset/export", plain_conflict=True, times=None))
        async with mirroring(serve, data, log=log) as reports:
            await until(lambda: len(log.of(ExportRequested)) == 1)
            await until(
                lambda: any(call.status == 200 for call in serve.calls("GET", "/api/requests/"))
            )
            serve.server.release_exports()
        assert reports[0].ok
        assert [event.created for event in log.of(ExportRequested)] == [False]


async def test_two_mirrors_of_one_user_on_the_same_tasks_both_end_whole(data: Path) -> None:
    async with serving(6) as serve, somebody_else(serve) as other:
        reports = {}

        async def run(client: ac.CvatClient, name: str) -> None:
            reports[name] = await ac.mirror(client, data / name, options=replace(QUICK, retries=20))

        async with anyio.create_task_group() as group:
            group.start_soon(run, serve.client, "a")
            group.start_soon(run, other, "b")
        assert reports["a"].ok, reports["a"].failures
        assert reports["b"].ok, reports["b"].failures
        held = files(data / "a")
        assert held.keys() == files(data / "b").keys() == (await serve.archives()).keys()


# --- what is exported again


async def test_a_queue_that_was_lost_is_filled_again(data: Path, log: Log) -> None:
    async with serving(4) as serve:
        serve.server.pause_exports()
        async with mirroring(serve, data, log=log) as reports:
            await until(lambda: len(log.of(ExportRequested)) == 4)
            serve.server.forget_requests()
            serve.server.release_exports()
        assert reports[0].ok
        assert log.retries("export") == 4
        assert files(data) == await serve.archives()


async def test_a_queue_that_is_lost_again_and_again_is_an_expired_export(
    data: Path, log: Log
) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(path="^/api/requests", lose_queue=True, times=None))
        options = replace(QUICK, retries=3)
        report = await ac.mirror(serve.client, data, options=options, on_event=log)
        assert isinstance(error(report, 1), ac.errors.ExportExpiredError)
        assert len(serve.calls("POST", "dataset/export")) == 4
        assert log.retries("export") == 3


async def test_a_result_that_expired_is_exported_again(data: Path, log: Log) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(Fault(path="dataset/download", task_id=2, expire=True))
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert log.retries("download") == 1
        assert files(data) == await serve.archives()


async def test_a_result_that_always_expires_is_given_up(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(Fault(path="dataset/download", task_id=2, expire=True, times=None))
        report = await ac.mirror(serve.client, data, options=replace(QUICK, retries=2))
        assert isinstance(error(report, 2), ac.errors.ExportExpiredError)
        assert actions(report)[1] == ("fetched", "new")
        assert len(serve.calls("POST", "tasks/2/dataset/export")) == 3


NOT_FINISHED = Fault(
    path="dataset/download",
    task_id=2,
    status=400,
    body="The export process is not finished",
)


async def test_a_result_that_is_not_finished_is_waited_for(data: Path, log: Log) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(NOT_FINISHED)
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert log.retries("download") == 1


async def test_a_result_that_is_never_finished_is_given_up(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(replace(NOT_FINISHED, times=None))
        report = await ac.mirror(serve.client, data, options=replace(QUICK, retries=2))
        assert isinstance(error(report, 2), ac.errors.ExportExpiredError)
        assert error(report, 2).task_id == 2
        assert len(serve.calls("POST", "tasks/2/dataset/export")) == 3
        assert actions(report)[1] == ("fetched", "new")


async def test_an_export_that_another_client_requests_during_the_download_is_waited_for(
    data: Path, log: Log
) -> None:
    async with serving(1) as serve, somebody_else(serve) as other:
        spec = ac.ExportSpec()

        async def meanwhile() -> None:
            await until(lambda: len(log.of(ExportFinished)) == 1)
            await other.request_export(1, spec)

        serve.server.faults.add(replace(NOT_FINISHED, task_id=1))
        async with anyio.create_task_group() as group:
            group.start_soon(meanwhile)
            report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert files(data) == await serve.archives()


async def test_an_export_that_goes_back_to_the_queue_is_waited_for(data: Path, log: Log) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(export="requeue"), Fault(export="stick", nth=2))
        async with mirroring(serve, data, log=log) as reports:
            (request,) = await _requests(serve)
            await until(lambda: request.requeued and request.status == "started")
            serve.server.release_exports()
        assert reports[0].ok
        assert len(serve.calls("POST", "dataset/export")) == 1


async def _requests(serve: Serving) -> tuple[Any, ...]:
    await until(lambda: len(serve.server.requests) > 0)
    return tuple(serve.server.requests.values())


@pytest.mark.parametrize("count", [1, 3])
async def test_finished_exports_without_dates_count(data: Path, log: Log, count: int) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(Fault(export="null_dates", count=count, times=None))
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert any(event.seconds is None for event in log.of(ExportFinished))
        assert len(serve.calls("POST", "dataset/export")) == 3


# --- how long


async def test_the_timeout_counts_from_the_start_and_not_from_the_queue(
    data: Path, log: Log
) -> None:
    async with serving(1) as serve:
        serve.server.pause_exports()
        options = replace(QUICK, export_timeout=0.15)
        async with mirroring(serve, data, options, log) as reports:
            (request,) = await _requests(serve)
            clock = anyio.current_time
            queued_until = clock() + 0.3
            # Twice the timeout has to pass in the queue, since that time does not count.
            await until(lambda: clock() > queued_until)
            assert reports == []
            serve.server.release_exports()
            await until(lambda: request.ended)
        assert reports[0].ok


async def test_an_export_that_runs_for_too_long_is_given_up(data: Path, log: Log) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(Fault(export="stick", task_id=2))
        options = replace(QUICK, export_timeout=0.05)
        report = await ac.mirror(serve.client, data, options=options, on_event=log)
        assert isinstance(error(report, 2), ac.errors.ExportTimeoutError)
        assert "--export-timeout" in str(error(report, 2))
        assert error(report, 2).task_id == 2
        assert report.count(ac.Action.FETCHED) == 2
        assert 2 in [event.task_id for event in log.of(ExportStarted)]
        assert serve.calls("POST", "cancel") == []


async def test_progress_adds_up_to_what_was_transferred(data: Path, log: Log) -> None:
    async with serving(3, frame_bytes=200_000) as serve:
        spec = ac.ExportSpec(images=True)
        report = await ac.mirror(serve.client, data, spec=spec, options=QUICK, on_event=log)
        for task_id in (1, 2, 3):
            came = sum(e.transferred for e in log.of(TransferProgress) if e.task_id == task_id)
            assert came == outcome(report, task_id).transferred
        assert sum(one.transferred for one in report.outcomes) == report.transferred


async def test_results_that_a_restarted_server_forgot_are_exported_again(data: Path) -> None:
    async with serving(40) as serve:
        log = Log()
        forgot: list[int] = []

        def forget(_event: TaskDone) -> None:
            if len(log.of(TaskDone)) in (12, 25):
                forgot.append(1)
                serve.server.forget_requests()

        log.on(TaskDone, forget)
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert len(forgot) == 2
        assert report.ok, report.failures
        assert files(data) == await serve.archives()
