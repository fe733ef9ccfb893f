"""One task's trouble and an outage of the server, in whole runs."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from engine_serving import QUICK, Log, connected, files, serving, staged, until

import asynccvat as ac
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.events import ExportRequested, Retrying, ServerBack, ServerUnreachable, TaskDone
from asynccvat.simulator import Fault
from asynccvat.transfer import own_requests
from asynccvat.transfer.outages import OutageDetector

pytestmark = [pytest.mark.anyio, pytest.mark.proof("No silent wait")]

AT_ONCE = RetryPolicy(attempts=0)
SHORT = replace(QUICK, wait_for_server=0.2)


async def test_tasks_that_fail_for_ever_stop_no_other_task(data: Path, log: Log) -> None:
    broken = set(range(1, 17))
    async with serving(40, client={"policy": RetryPolicy(attempts=1)}) as serve:
        for task_id in broken:
            serve.server.faults.add(
                Fault(
                    method="POST",
                    path="dataset/export",
                    task_id=task_id,
                    status=500,
                    times=None,
                )
            )
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        probes = serve.calls("/api/server/about")
    assert len(probes) > 1
    assert all(call.authorization for call in probes), "anonymous calls are throttled"
    assert report.stopped_by is None
    assert report.count(ac.Action.FETCHED) == 24
    assert {one.task_id for one in report.failures} == broken
    assert log.of(ServerUnreachable) == []
    done = [event.outcome.task_id for event in log.of(TaskDone)]
    assert set(done[-16:]) == broken, "they are tried once more when all others are done"


async def test_tasks_whose_requests_fail_leave_their_slots_to_healthy_ones(
    data: Path, log: Log
) -> None:
    broken = set(range(1, 11))
    quick = RetryPolicy(attempts=3, base=0.01)
    async with serving(40, client={"policy": quick}) as serve:
        for task_id in broken:
            fault = Fault(method="POST", path="dataset/export", task_id=task_id, status=500)
            serve.server.faults.add(replace(fault, times=None if task_id > 1 else 3))
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        asked = [call.task_id for call in serve.calls("POST", "dataset/export")]
    assert report.stopped_by is None
    assert {one.task_id for one in report.failures} == broken - {1}
    assert log.of(ServerUnreachable) == []
    healthy = set(range(1, 41)) - broken
    last = max(asked.index(task_id) for task_id in healthy)
    early = [task_id for task_id in asked[:last] if task_id in broken]
    assert max(early.count(task_id) for task_id in broken) == 2, "before others had their turn"
    assert asked.count(1) == 4, "its fault passed while it was tried once more"
    # In all, a task is asked for no more often than the two rounds of tries allow.
    assert {asked.count(task_id) for task_id in broken - {1}} == {2 + 1 + quick.attempts}


async def test_uploads_whose_requests_fail_leave_their_slots_to_healthy_ones(
    data: Path, log: Log
) -> None:
    broken = set(range(1, 9))
    async with serving(20) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        for task_id in broken:
            fault = Fault(method="POST", path="/annotations", task_id=task_id, status=500)
            serve.server.faults.add(replace(fault, times=3))
        options = ac.UploadOptions(durable=False, force=True, concurrency=2)
        async with connected(serve.server, policy=RetryPolicy(base=0.01)) as client:
            report = await ac.upload(client, data, options=options, on_event=log)
        assert report.ok, report.failures
        asked = [call.task_id for call in serve.calls("POST", "/annotations")]
    last = max(asked.index(task_id) for task_id in range(9, 21))
    assert all(asked[:last].count(task_id) <= 2 for task_id in broken)
    assert all(asked.count(task_id) == 4 for task_id in broken)


async def test_a_task_that_failed_for_a_passing_reason_gets_a_second_try(
    data: Path, log: Log
) -> None:
    async with serving(6, client={"policy": AT_ONCE}) as serve:
        serve.server.faults.add(
            Fault(method="POST", path="dataset/export", task_id=2, status=502),
            Fault(path="dataset/download", task_id=3, status=500),
        )
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert {event.task_id for event in log.of(Retrying)} == {2, 3}
        for event in log.of(Retrying):
            assert event.error.endswith(". The task is tried once more at the end of the run.")
        assert files(data) == await serve.archives()


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((Fault(drop=True, times=None),), id="no answers"),
        pytest.param((Fault(status=502, times=None),), id="no application"),
        pytest.param(
            # As recorded: versions and lists of tasks are still served.
            (
                Fault(
                    path="^/api/requests",
                    status=503,
                    body='"Redis service is not available"',
                    content_type="application/vnd.cvat+json",
                    times=None,
                ),
                Fault(path="dataset/(export|download)", status=500, times=None),
            ),
            id="no Redis",
        ),
    ],
)
async def test_an_outage_is_outwaited_and_nothing_fails(
    data: Path, log: Log, faults: tuple[Fault, ...]
) -> None:
    async with serving(30) as serve:

        def begin(_: ExportRequested) -> None:
            if len(log.of(ExportRequested)) == 5:
                serve.server.faults.add(*faults)

        log.on(ExportRequested, begin)
        log.on(ServerUnreachable, lambda _: serve.server.faults.clear())
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok, report.failures
        (unreachable,) = log.of(ServerUnreachable)
        assert unreachable.wait == QUICK.wait_for_server
        (back,) = log.of(ServerBack)
        assert back.seconds >= unreachable.seconds
        assert log.events.index(unreachable) < log.events.index(back)
        assert files(data) == await serve.archives()


@pytest.mark.parametrize("call", [r"^/api/requests\?", "^/api/server/about"], ids=["list", "about"])
async def test_a_server_that_refuses_one_call_for_ever_but_exports_is_no_outage(
    data: Path, log: Log, call: str
) -> None:
    async with serving(30, client={"policy": RetryPolicy(attempts=3)}) as serve:
        serve.server.faults.add(
            Fault(path=call, status=500, times=None),
            # Results without dates cannot be predicted, so the poller asks for a list.
            Fault(path="dataset/download", headers={"Last-Modified": None}, times=None),
        )
        for task_id in (20, 21):
            serve.server.faults.add(
                Fault(method="POST", path="dataset/export", task_id=task_id, status=500, times=3)
            )
        report = await ac.mirror(serve.client, data, options=SHORT, on_event=log)
        assert report.ok, report
        assert log.of(ServerUnreachable) == []
        assert [one for one in serve.calls("GET") if one.path == "/api/requests"]
        serve.server.faults.clear()
        assert files(data) == await serve.archives()


async def test_an_outage_while_the_tasks_are_listed_is_outwaited(data: Path, log: Log) -> None:
    async with serving(3) as serve:
        serve.server.faults.add(Fault(status=502, times=None))
        log.on(ServerUnreachable, lambda _: serve.server.faults.clear())
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert len(log.of(ServerBack)) == 1


async def test_a_server_that_stays_away_ends_the_run_once(data: Path, log: Log) -> None:
    async with serving(30) as serve:
        log.on(
            ExportRequested,
            lambda _: serve.server.faults.add(Fault(drop=True, times=None)),
        )
        report = await ac.mirror(serve.client, data, options=SHORT, on_event=log)
        assert isinstance(report.stopped_by, ac.errors.OutageError)
        assert report.stopped_by.task_id is None, "it is no task's fault"
        assert report.failures == ()
        assert report.interrupted
        assert len(log.of(ServerUnreachable)) == 1
        assert staged(data) == []
        serve.server.faults.clear()
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert files(data) == await serve.archives()


async def test_a_run_that_must_not_wait_ends_at_once_when_the_server_goes_away(
    data: Path, log: Log
) -> None:
    async with serving(30) as serve:
        log.on(
            ExportRequested,
            lambda _: serve.server.faults.add(Fault(drop=True, times=None)),
        )
        options = replace(QUICK, wait_for_server=0)
        report = await ac.mirror(serve.client, data, options=options, on_event=log)
        assert isinstance(report.stopped_by, ac.errors.OutageError)
        assert report.failures == ()
        assert log.of(ServerUnreachable) == [], "nothing is waited for"


async def test_exports_that_a_lost_server_may_still_run_are_named(data: Path) -> None:
    async with serving(6) as serve:
        serve.server.pause_exports()
        async with ac.open_mirror(serve.client, data, options=SHORT) as run:
            await until(lambda: len(serve.server.requests) == 4)
            serve.server.faults.add(Fault(drop=True, times=None))
            report = await run.wait()
        assert isinstance(report.stopped_by, ac.errors.OutageError)
        (warning,) = report.warnings
        assert warning == (
            "4 exports may remain queued at the server: it did not confirm the cancellation. "
            "`asynccvat requests cancel --all` removes what still waits."
        )


async def test_an_interrupted_run_says_how_many_exports_it_could_not_cancel(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_requests, "_CANCEL_SECONDS", 1.0)
    async with serving(40) as serve:
        serve.server.pause_exports()
        slow = [
            Fault(path=f"target_id={task_id}&.*/cancel", delay=3600, times=None)
            for task_id in range(1, 8)
        ]
        serve.server.faults.add(*slow)
        options = replace(QUICK, concurrency=40)
        async with ac.open_mirror(serve.client, data, options=options) as run:
            await until(lambda: len(serve.server.requests) == 40)
            run.cancel()
            report = await run.wait()
        (warning,) = report.warnings
        assert warning.startswith("7 exports may remain queued at the server: ")
        assert "`asynccvat requests cancel --all`" in warning
        queued = [one for one in serve.server.requests.values() if one.status == "queued"]
        assert len(queued) == 7


async def test_a_server_that_fails_for_every_task_ends_the_run(data: Path) -> None:
    async with serving(80, client={"policy": AT_ONCE}) as serve:
        serve.server.faults.add(Fault(method="POST", path="dataset/export", status=500, times=None))
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert isinstance(report.stopped_by, ac.errors.ServerError)
        why = "the server fails for every task, though it answers: 64 tasks failed at the same step"
        assert str(report.stopped_by).startswith(why)
        assert len(serve.calls("POST", "dataset/export")) < 80


async def test_two_runs_of_one_client_have_their_own_counts_and_events(tmp_path: Path) -> None:
    logs = {"one": Log(), "two": Log()}
    reports: dict[str, ac.RunReport] = {}
    async with serving(4) as serve:
        serve.server.faults.add(
            Fault(path="tasks/1/dataset/export", status=502),
            Fault(path="tasks/4/dataset/export", status=502),
        )
        before = serve.client.requests_sent

        async def run(name: str, *task_ids: int) -> None:
            reports[name] = await ac.mirror(
                serve.client,
                tmp_path / name,
                selection=ac.Selection(task_ids=task_ids),
                options=QUICK,
                on_event=logs[name],
            )

        async with anyio.create_task_group() as group:
            group.start_soon(run, "one", 1, 2, 3)
            group.start_soon(run, "two", 4)
        sent = serve.client.requests_sent - before
    assert [event.task_id for event in logs["one"].of(Retrying)] == [1]
    assert [event.task_id for event in logs["two"].of(Retrying)] == [4]
    assert reports["one"].requests + reports["two"].requests == sent
    assert reports["one"].requests > reports["two"].requests > 0


async def test_a_run_that_takes_too_long_keeps_what_is_done(data: Path) -> None:
    async with serving(6, export_workers=1) as serve:
        serve.server.faults.add(Fault(export="stick", task_id=3))
        options = replace(QUICK, max_time=2.0)
        report = await ac.mirror(serve.client, data, options=options)
        assert isinstance(report.stopped_by, ac.errors.TimeLimitError)
        assert str(report.stopped_by) == (
            "the run has taken 2s, which --max-time allows. What is done is kept: run the same "
            "command again to continue."
        )
        done = {one.task_id for one in report.outcomes}
        assert done <= {1, 2}
        assert all(one.ok for one in report.outcomes)
        assert {path.name for path in data.glob("task*")} == {f"task{number}" for number in done}
        assert not [one for one in serve.server.requests.values() if one.status == "queued"]
        serve.server.release_exports()
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok


async def test_an_upload_outwaits_an_outage(data: Path, log: Log) -> None:
    async with serving(8) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        serve.server.faults.add(
            Fault(method="POST", path="/annotations", status=502, times=None),
            Fault(path="server/about|/api/requests", status=502, times=None),
        )
        log.on(ServerUnreachable, lambda _: serve.server.faults.clear())
        options = ac.UploadOptions(durable=False, force=True)
        report = await ac.upload(serve.client, data, options=options, on_event=log)
        assert report.ok, report.failures
        assert len(log.of(ServerBack)) == 1


async def test_an_upload_that_failed_for_a_passing_reason_gets_a_second_try(
    data: Path, log: Log
) -> None:
    async with serving(4) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        fault = Fault(method="POST", path="/annotations", task_id=2, status=502)
        serve.server.faults.add(fault)
        options = ac.UploadOptions(durable=False, force=True)
        async with connected(serve.server, policy=AT_ONCE) as client:
            report = await ac.upload(client, data, options=options, on_event=log)
        assert report.ok, report.failures
        assert {event.task_id for event in log.of(Retrying)} == {2}
        uploads = [call.task_id for call in serve.calls("POST", "/annotations")]
        assert sorted(uploads, key=str) == [1, 2, 2, 3, 4]


async def test_an_upload_whose_server_stays_away_ends_once(data: Path, log: Log) -> None:
    async with serving(8) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        serve.server.faults.add(
            Fault(method="POST", path="/annotations", status=502, times=None),
            Fault(path="server/about", status=502, times=None),
        )
        options = ac.UploadOptions(durable=False, force=True, wait_for_server=0.2)
        async with connected(serve.server) as client:
            report = await ac.upload(client, data, options=options, on_event=log)
        assert isinstance(report.stopped_by, ac.errors.OutageError)
        # Imports whose answer was lost are named: they may have happened.
        errors = [type(one.error) for one in report.failures]
        assert set(errors) <= {ac.errors.ImportUncertainError}


def test_locked_folders_do_not_count_against_the_destination() -> None:
    detector = OutageDetector()
    for task_id in range(100):
        locked = ac.StoreLockedError("somebody writes there", task_id=task_id)
        locked.__cause__ = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        assert not detector.is_destination_lost(task_id, locked)


def test_tasks_that_give_way_do_not_end_a_run_before_their_last_retries() -> None:
    detector = OutageDetector()
    error = ac.errors.ServerError("it failed", status=500, step="export")
    early = [task_id for task_id in range(100) if detector.may_give_way(task_id, "export")]
    assert early == list(range(32)), "the others retry in full while none is served"
    assert not any(detector.is_refusing_all(task_id, error) for task_id in early)
    refused = [detector.is_refusing_all(task_id, error) for task_id in range(100)]
    assert refused.index(True) == 63
    detector.note(ExportRequested(100, "a", created=True))
    assert detector.may_give_way(99, "export"), "the server serves others"
