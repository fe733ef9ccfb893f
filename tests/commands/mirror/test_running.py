"""Check runs: outcomes as they come, events, leaving early, cancellation at any moment."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
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
    files,
    serving,
    staged,
    until,
)

import asynccvat as ac
from asynccvat.client import lists
from asynccvat.events import Event, ExportRequested, Planned, RunFinished, TaskDone, to_json
from asynccvat.simulator import Fault
from asynccvat.store import MirrorStore
from asynccvat.transfer import own_requests
from asynccvat.transfer.slots import RequestSlots

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def nothing_stays_behind() -> AsyncIterator[None]:
    """Check that no asyncio task outlives a test, and no thread except anyio's idle workers."""
    before = asyncio.all_tasks()
    yield
    left = {repr(task.get_coro()) for task in asyncio.all_tasks() - before}
    # Fixtures run in a task of the test runner. Calls that faults hold up belong to the server.
    own = ("TestRunner.", "RequestHandler.")
    assert {name for name in left if not any(part in name for part in own)} == set()
    names = {thread.name for thread in threading.enumerate()}
    assert all(name.startswith(("MainThread", "AnyIO worker", "asyncio_")) for name in names), names


async def test_outcomes_are_iterated_as_they_come(data: Path) -> None:
    async with serving(4) as serve:
        serve.server.faults.add(Fault(export="stick", task_id=4))
        met = []
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            async for outcome in run:
                met.append(outcome.task_id)
                assert outcome.path is not None
                assert Path(outcome.path).is_dir()
                if len(met) == 3:
                    # The fourth task goes on only now, so the others did not wait for all.
                    await serve.stuck(4)
                    serve.server.release_exports()
            assert run.plan is not None
            assert run.plan.counts == {"fetch": 4}
        assert sorted(met[:3]) == [1, 2, 3]
        assert met[3] == 4
        assert run.report.ok
        assert [one.task_id for one in run.report.outcomes] == met


async def test_a_slow_reader_does_not_delay_the_run(data: Path) -> None:
    async with serving(5) as serve, ac.open_mirror(serve.client, data, options=QUICK) as run:
        report = await run.wait()
        assert report is run.report
        assert len(report.outcomes) == 5
        assert [one.task_id async for one in run] == [one.task_id for one in report.outcomes]
        assert await run.wait() is report


async def test_leaving_without_waiting_cancels(data: Path) -> None:
    async with serving(3) as serve:
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            assert not run.report.ok
        assert run.report.interrupted
        assert run.report.outcomes == ()


async def test_leaving_early_cancels_only_own_requests(data: Path, log: Log) -> None:
    async with (
        serving(6) as serve,
        connected(serve.server, token=serve.server.token) as other,
    ):
        serve.server.pause_exports()
        spec = ac.ExportSpec()
        # One export that the mirror will find queued, and one of another task.
        adopted = await other.request_export(1, spec)
        foreign = await other.request_export(2, ac.ExportSpec("COCO 1.0"))
        options = replace(QUICK, concurrency=4)
        async with ac.open_mirror(serve.client, data, options=options, on_event=log) as run:
            await until(lambda: len(log.of(ExportRequested)) == 4)
        left = serve.server.requests
        assert set(left) == {adopted.rq_id, foreign.rq_id}
        assert len(serve.calls("POST", "/cancel")) == 3
        assert run.report.interrupted
        assert staged(data) == []
        # The lock is free again, and the next run does the rest.
        serve.server.release_exports()
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
        assert files(data) == await serve.archives()


async def test_exports_that_run_at_the_server_are_not_cancelled(data: Path, log: Log) -> None:
    async with serving(2, export_workers=1) as serve:
        serve.server.faults.add(Fault(export="stick"))
        async with ac.open_mirror(serve.client, data, options=QUICK, on_event=log):
            await until(lambda: "export_started" in log.names and len(log.of(ExportRequested)) == 2)
        assert [call.status for call in serve.calls("POST", "/cancel")] == [200]
        assert [one.status for one in serve.server.requests.values()] == ["started"]
        serve.server.release_exports()


async def test_an_export_whose_request_is_under_way_is_cancelled_too(data: Path) -> None:
    async with serving(1) as serve:
        serve.server.pause_exports()
        serve.server.faults.add(Fault(method="POST", path="dataset/export", delay=0.05))
        async with ac.open_mirror(serve.client, data, options=QUICK):
            await until(lambda: len(serve.calls("POST", "dataset/export")) == 1)
        assert [call.status for call in serve.calls("POST", "/cancel")] == [200]
        assert serve.server.requests == {}


async def test_a_silent_server_delays_an_aborted_run_by_seconds_at_most(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_requests, "_CANCEL_SECONDS", 0.05)
    async with serving(2) as serve:
        serve.server.pause_exports()
        serve.server.faults.add(
            Fault(method="POST", path="tasks/1/dataset/export", delay=2),
            Fault(method="POST", path="cancel", delay=2, times=None),
        )
        async with ac.open_mirror(serve.client, data, options=QUICK):
            await until(lambda: len(serve.calls("POST", "dataset/export")) == 2)
            await until(lambda: len(serve.calls("GET", "/api/requests")) > 0)


async def test_a_server_that_is_down_does_not_delay_an_aborted_run(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.pause_exports()
        serve.server.faults.add(Fault(method="POST", path="cancel", status=500, times=None))
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            await until(lambda: len(serve.server.requests) == 2)
        assert run.report.interrupted


async def test_a_cancellation_while_a_run_fails_leaves_no_listing_behind(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()
    joined = lists._joined

    def slowly(*args: Any) -> Any:
        begun.set()
        release.wait(30)
        return joined(*args)

    async def unreadable(_store: MirrorStore, _among: object) -> Any:
        await until(begun.is_set)
        raise ac.StoreError("the disk is gone")

    monkeypatch.setattr(lists, "_joined", slowly)
    monkeypatch.setattr(MirrorStore, "receipts", unreadable)
    async with serving(1) as serve:
        planning = asyncio.ensure_future(ac.plan_mirror(serve.client, data))
        await until(begun.is_set)
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        planning.cancel()
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert not planning.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await planning


async def test_an_error_in_the_block_ends_the_run_and_passes(data: Path) -> None:
    async with serving(3) as serve:

        async def use(outcomes: ac.Run) -> None:
            async for _ in outcomes:
                raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            async with ac.open_mirror(serve.client, data, options=QUICK) as run:
                await use(run)
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok


async def test_an_error_at_the_beginning_is_raised_by_every_way_to_wait(data: Path) -> None:
    async with serving(1, client={"password": "wrong"}) as serve:
        with pytest.raises(ac.AuthenticationError):
            async with ac.open_mirror(serve.client, data, options=QUICK) as run:
                await run.wait()
        with pytest.raises(ac.AuthenticationError):
            async with ac.open_mirror(serve.client, data, options=QUICK) as run:
                [one async for one in run]
        log = Log()
        with pytest.raises(ac.AuthenticationError):
            async with ac.open_mirror(serve.client, data, options=QUICK, on_event=log) as run:
                await until(lambda: "run_finished" in log.names)
        assert run.report.interrupted
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            with pytest.raises(ac.AuthenticationError):
                await run.wait()
        # It was raised once. Leaving the block does not raise it again.


# Events


async def test_a_callback_that_raises_is_detached_and_logged(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Event] = []

    def listener(event: Event) -> None:
        told.append(event)
        if len(told) == 4:
            raise LookupError("the display is broken")

    async with serving(3) as serve:
        with caplog.at_level(logging.ERROR, "asynccvat"):
            report = await ac.mirror(serve.client, data, options=QUICK, on_event=listener)
        assert report.ok
        assert isinstance(told[-1], Planned)
        assert "the event callback raised and is detached" in caplog.text
        assert "the display is broken" in caplog.text


async def test_every_event_of_a_run_is_json_and_comes_in_its_order(data: Path, log: Log) -> None:
    async with serving(5, tasks_without_data=1) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=2))
        await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        lines = [json.loads(json.dumps(to_json(event))) for event in log.events]
        assert {line["v"] for line in lines} == {1}
        begin = [line["event"] for line in lines[:4]]
        assert begin == ["run_started", "destination_settled", "listing_read", "planned"]
        assert lines[-1]["event"] == "run_finished"
        order = ["task_started", "export_requested", "export_finished", "transfer_progress"]
        order += ["transfer_finished", "task_done"]
        for task_id in (1, 3, 4):
            names = [line["event"] for line in lines if line.get("task_id") == task_id]
            firsts = [names.index(name) for name in order]
            assert firsts == sorted(firsts), names
            assert names[-1] == "task_done"
        started = {line["task_id"]: line["name"] for line in lines if line["event"] == order[0]}
        names_there = {task.id: task.name for task in serve.server.tasks.values()}
        assert started == {number: names_there[number] for number in (1, 2, 3, 4)}
        failed = [line for line in lines if line["event"] == "task_done" and line["task_id"] == 2]
        assert failed[0]["error"]["type"] == "ExportFailedError"


async def test_retries_and_pauses_are_events_of_the_run_that_met_them(data: Path, log: Log) -> None:
    async with serving(2) as serve:
        serve.server.faults.add(
            Fault(path="/api/tasks", status=503, headers={"Retry-After": "0.01"}),
            Fault(path="dataset/export", status=429, headers={"Retry-After": "0"}),
        )
        report = await ac.mirror(serve.client, data, options=QUICK, on_event=log)
        assert report.ok
        assert "retrying" in log.names
        told = len(log.events)
        await serve.client.tasks()
        assert len(log.events) == told


# Cancellation


async def cancelled_at(serve: Serving, data: Path, number: int) -> int:
    """Mirror, and cancel at the event of this number. Returns how many events there were."""
    told = 0

    def listener(_: Event) -> None:
        nonlocal told
        told += 1
        if told == number:
            mirroring.cancel()

    mirroring = asyncio.create_task(ac.mirror(serve.client, data, options=QUICK, on_event=listener))
    with pytest.raises(asyncio.CancelledError):
        await mirroring
    return told


async def test_a_run_cancelled_at_any_event_and_started_again_ends_in_the_same_tree(
    tmp_path: Path,
) -> None:
    async with serving(3) as serve:
        log = Log()
        await ac.mirror(serve.client, tmp_path / "whole", options=QUICK, on_event=log)
        wanted = files(tmp_path / "whole")
        # The last two events are the outcome of the last task and the end of the run.
        for number in range(1, len(log.events) - 1):
            data = tmp_path / f"data{number}"
            serve.server.forget_requests()
            await cancelled_at(serve, data, number)
            assert {one.status for one in serve.server.requests.values()} <= {
                "started",
                "finished",
            }
            held = files(data)
            for task_id in {int(path[4]) for path in held}:
                assert {path for path in wanted if path.startswith(f"task{task_id}/")} == {
                    path for path in held if path.startswith(f"task{task_id}/")
                }
            report = await ac.mirror(serve.client, data, options=QUICK)
            assert report.ok
            assert files(data).keys() == wanted.keys()
            assert staged(data) == []


async def test_updates_cancelled_at_any_event_lose_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(3) as serve:
        await ac.mirror(serve.client, data, options=QUICK)
        for number in (1, 2, 3, 5, 7, 9, 11, 13):
            for task_id in (1, 2, 3):
                serve.server.edit_task(task_id)
            before = files(data)
            await cancelled_at(serve, data, number)
            assert files(data).keys() == before.keys()
        report = await ac.mirror(serve.client, data, options=QUICK)
        assert report.ok
        assert files(data) == await serve.archives()


async def test_the_report_of_a_cancelled_run_tells_what_was_done(data: Path) -> None:
    async with serving(4) as serve:
        serve.server.faults.add(Fault(export="stick", task_id=3))
        log = Log()
        run = ac.open_mirror(serve.client, data, options=QUICK, on_event=log)

        async def reading() -> None:
            async with run:
                await run.wait()

        task = asyncio.create_task(reading())
        await until(lambda: len(log.of(TaskDone)) == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert run.report.interrupted
        assert set(actions(run.report)) == {1, 2, 4}
        (finished,) = log.of(RunFinished)
        assert finished.report is run.report
        assert json.loads(json.dumps(run.report.to_json()))["interrupted"] is True
        serve.server.release_exports()


async def test_a_second_cancellation_does_not_interrupt_the_cleanup(data: Path) -> None:
    async with serving(3) as serve:
        serve.server.pause_exports()
        # A second cancellation comes while the server answers those of the requests.
        serve.server.faults.add(Fault(method="POST", path="cancel", delay=0.05, times=None))
        task = asyncio.create_task(ac.mirror(serve.client, data, options=QUICK))
        await until(lambda: len(serve.server.requests) == 3)
        task.cancel()
        await until(lambda: len(serve.calls("POST", "/cancel")) > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert serve.server.requests == {}
        assert not any(name.get_name() == "asynccvat run" for name in asyncio.all_tasks())


async def test_an_anyio_timeout_around_a_mirror_is_clean(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.pause_exports()
        with anyio.move_on_after(0.1) as scope:
            await ac.mirror(serve.client, data, options=QUICK)
        assert scope.cancelled_caught
        assert serve.server.requests == {}
        await anyio.lowlevel.checkpoint()


async def test_a_bug_passes_to_the_caller_and_the_report_is_written(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise ZeroDivisionError("a bug")

    # It concerns the whole run. One that concerns a task fails that task alone.
    monkeypatch.setattr(RequestSlots, "acquire", broken)
    async with serving(2) as serve:
        with pytest.raises(ZeroDivisionError, match="a bug"):
            async with ac.open_mirror(serve.client, data, options=QUICK) as run:
                await run.wait()
        assert run.report.interrupted
        assert staged(data) == []


# Several at once


async def test_two_mirrors_in_one_loop_are_independent(tmp_path: Path) -> None:
    async with serving(4) as one, serving(3, seed=9) as two:
        reports: dict[str, ac.RunReport] = {}

        async def run(serve: Serving, name: str) -> None:
            reports[name] = await ac.mirror(serve.client, tmp_path / name, options=QUICK)

        async with anyio.create_task_group() as group:
            group.start_soon(run, one, "one")
            group.start_soon(run, two, "two")
        assert reports["one"].ok
        assert reports["two"].ok
        assert files(tmp_path / "one") == await one.archives()
        assert files(tmp_path / "two") == await two.archives()


async def test_two_mirrors_of_one_client_with_different_formats(tmp_path: Path) -> None:
    coco = ac.ExportSpec("COCO 1.0")
    async with serving(4) as serve:
        async with anyio.create_task_group() as group:
            for name, spec in (("cvat", ac.ExportSpec()), ("coco", coco)):
                group.start_soon(
                    lambda name, spec: ac.mirror(
                        serve.client, tmp_path / name, spec=spec, options=QUICK
                    ),
                    name,
                    spec,
                )
        assert files(tmp_path / "cvat") == await serve.archives()
        assert files(tmp_path / "coco") == await serve.archives(coco)


async def test_two_mirrors_on_one_destination_exclude_each_other(data: Path) -> None:
    async with serving(2) as serve:
        serve.server.pause_exports()
        async with ac.open_mirror(serve.client, data, options=QUICK) as first:
            await until(lambda: len(serve.server.requests) == 2)
            with pytest.raises(ac.StoreLockedError):
                await ac.mirror(serve.client, data, options=QUICK)
            # Planning is allowed during the other run.
            assert (await ac.plan_mirror(serve.client, data)).counts == {"fetch": 2}
            serve.server.release_exports()
            assert (await first.wait()).ok
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok
