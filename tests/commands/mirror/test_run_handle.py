"""The handle of a run: events, cancellation, wrong use, and what it shows of itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest
from engine_serving import QUICK, QUICK_DOWNLOAD, files, serving, until

import asynccvat as ac
from asynccvat import events
from asynccvat.core.outcomes import Action, RunReport, TaskOutcome
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio


async def test_events_are_iterated_from_the_first_to_the_last(data: Path) -> None:
    async with serving(3) as serve:
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            seen = [event async for event in run.events()]
        assert seen[0] == events.RunStarted(transfers=QUICK.transfers, verb="mirror")
        assert isinstance(seen[1], events.DestinationSettled)
        assert isinstance(seen[-1], events.RunFinished)
        assert seen[-1].report is run.report
        assert sum(isinstance(event, events.TaskDone) for event in seen) == 3


async def test_several_iterators_and_the_callback_see_the_same_events(data: Path) -> None:
    called: list[ac.Event] = []
    async with serving(2) as serve:
        async with ac.open_mirror(serve.client, data, options=QUICK, on_event=called.append) as run:
            first, second = run.events(), run.events()
            outcomes = [outcome.task_id async for outcome in run]
            assert [event async for event in first] == [event async for event in second] == called
        assert sorted(outcomes) == [1, 2]


async def test_an_iterator_of_events_raises_what_kept_the_run_from_beginning(data: Path) -> None:
    seen: list[ac.Event] = []

    async def see(run: ac.Run) -> None:
        async for event in run.events():
            seen.append(event)  # noqa: PERF401 - what came before the error counts

    async with serving(1, client={"password": "wrong"}) as serve:
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            with pytest.raises(ac.AuthenticationError):
                await see(run)
        assert [type(event) for event in seen] == [events.RunStarted, events.RunFinished]


async def test_a_cancelled_run_ends_its_iterators_and_cancels_queued_exports(
    data: Path,
) -> None:
    async with serving(4) as serve:
        serve.server.pause_exports()
        async with ac.open_mirror(serve.client, data, options=QUICK) as run:
            await until(lambda: len(serve.server.requests) == 4)
            assert repr(run) == "<Run, under way>"
            run.cancel()
            assert [outcome async for outcome in run] == []
            report = await run.wait()
        assert report.interrupted
        assert not report.ok
        assert len(serve.calls("POST", "/cancel")) == 4
        serve.server.release_exports()
        assert (await ac.mirror(serve.client, data, options=QUICK)).ok


async def test_a_run_in_a_cancelled_scope_ends_without_turning_the_loop(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop: Any = asyncio.get_running_loop()
    turn, turns = loop._run_once, 0

    def counted() -> None:
        nonlocal turns
        turns += 1
        turn()

    async with serving(4) as serve:
        serve.server.pause_exports()
        serve.server.faults.add(Fault(path="/cancel", delay=0.5, times=None))
        with anyio.CancelScope() as scope:
            async with ac.open_mirror(serve.client, data, options=QUICK):
                await until(lambda: len(serve.server.requests) == 4)
                monkeypatch.setattr(loop, "_run_once", counted)
                scope.cancel()
                await anyio.sleep_forever()
        monkeypatch.undo()
        assert len(serve.calls("POST", "/cancel")) == 4
        assert turns < 1000, "anyio repeats a cancellation at every turn of the loop"


async def test_a_run_that_is_left_at_once_says_that_it_ended(data: Path) -> None:
    called: list[ac.Event] = []
    async with serving(1) as serve:
        async with ac.open_mirror(serve.client, data, options=QUICK, on_event=called.append) as run:
            seen = run.events()
        assert [event async for event in seen] == called == [events.RunFinished(run.report)]
        assert run.report.interrupted
        assert not serve.calls("GET", "/api/tasks")


async def test_a_run_that_was_not_entered_says_how_to_use_it(data: Path) -> None:
    async with serving(1) as serve:
        run = ac.open_mirror(serve.client, data, options=QUICK)
        assert repr(run) == "<Run, not begun>"
        with pytest.raises(RuntimeError, match="'async with"):
            await run.wait()
        with pytest.raises(RuntimeError, match="'async with"):
            run.cancel()
        with pytest.raises(RuntimeError, match="'async with"):
            [outcome async for outcome in run]
        async with run:
            assert (await run.wait()).ok
        with pytest.raises(RuntimeError, match="only once"):
            async with run:
                pass


@pytest.mark.parametrize(
    ("verb", "arguments", "wanted"),
    [
        (ac.open_mirror, ("data",), "MirrorOptions"),
        (ac.open_download, ({1: "data"},), "DownloadOptions"),
        (ac.open_upload, ({1: "data"},), "UploadOptions"),
    ],
)
async def test_options_of_another_verb_are_a_type_error(
    verb: Any, arguments: tuple[Any, ...], wanted: str
) -> None:
    async with serving(1) as serve:
        given = {"MirrorOptions": ac.DownloadOptions()}.get(wanted, ac.MirrorOptions(prune=True))
        with pytest.raises(TypeError, match=f"must be {wanted}, not {type(given).__name__}"):
            verb(serve.client, *arguments, options=given)


async def test_a_format_may_be_given_by_its_name(data: Path, tmp_path: Path) -> None:
    spec = ac.ExportSpec("COCO 1.0")
    async with serving(1) as serve:
        await ac.mirror(serve.client, data, spec="COCO 1.0", options=QUICK)
        assert (await ac.plan_mirror(serve.client, data, spec="COCO 1.0")).counts == {"keep": 1}
        assert files(data) == await serve.archives(spec)
        await ac.download(serve.client, 1, tmp_path / "one", "COCO 1.0", options=QUICK_DOWNLOAD)
        assert files(tmp_path / "one") == await serve.archive(1, spec)
        with pytest.raises(TypeError, match="a format's name, not 7"):
            await ac.mirror(serve.client, data, spec=7)  # type: ignore[arg-type]


async def test_downloads_are_iterated_as_they_end(tmp_path: Path) -> None:
    async with serving(2) as serve:
        paths = {1: tmp_path / "a", 2: tmp_path / "b"}
        async with ac.open_download(serve.client, paths, options=QUICK_DOWNLOAD) as run:
            landed = {outcome.task_id: outcome.path async for outcome in run}
        assert landed == paths


async def test_an_error_of_a_task_keeps_its_traceback(data: Path) -> None:
    async with serving(1) as serve:
        serve.server.faults.add(Fault(export="fail", task_id=1, message="no frames", times=None))
        report = await ac.mirror(serve.client, data, options=QUICK)
        (failed,) = report.failures
        assert failed.error is not None
        assert failed.error.__traceback__ is not None


async def test_a_client_is_opened_and_closed_by_hand(data: Path) -> None:
    async with serving(1) as serve:
        client = ac.CvatClient(serve.server.url, token=serve.server.token)
        with pytest.raises(RuntimeError, match="not open"):
            await client.tasks()
        assert await client.open() is client
        assert (await ac.mirror(client, data, options=QUICK)).ok
        await client.close()
        with pytest.raises(RuntimeError, match="not open"):
            await client.tasks()


def test_a_report_of_ten_thousand_tasks_shows_itself_in_a_line() -> None:
    outcomes = tuple(
        TaskOutcome(task_id=number, action=Action.KEPT, reason="unchanged")
        for number in range(10_000)
    )
    report = RunReport(outcomes=outcomes, seconds=12.34)
    assert repr(report) == "RunReport(ok=True, kept=10000, seconds=12.3)"
    assert report.counts == {Action.KEPT: 10_000}
    assert report.counts[Action.FAILED] == 0
