"""Check what the rounds of a watch request, fetch and report."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_serving import QUICK, Serving, files, serving
from watching import QuickClock, rounds, watch

import asynccvat as ac
from asynccvat.core.watching.rounds import FullReason
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import AuthenticationError, TimeLimitError
from asynccvat.events import ServerBack, ServerUnreachable
from asynccvat.fs import files as disk
from asynccvat.simulator import Fault

pytestmark = pytest.mark.anyio


@pytest.fixture
async def serve() -> AsyncIterator[Serving]:
    async with serving(5) as started:
        yield started


async def test_the_first_round_is_a_whole_mirror(serve: Serving, data: Path) -> None:
    (first,) = await rounds(watch(serve, data), 1)
    assert first.ok
    assert first.full_because is FullReason.FIRST
    assert sorted(change.task_id for change in first.changes) == [1, 2, 3, 4, 5]
    assert files(data) == await serve.archives()


async def test_a_quiet_round_is_one_request(serve: Serving, data: Path) -> None:
    _, second, third = await rounds(watch(serve, data), 3)
    assert (second.requests, third.requests) == (1, 1)
    assert second.quiet
    assert third.quiet


async def test_a_round_ends_in_time_and_does_not_ask_to_run_the_command_again(
    serve: Serving, data: Path
) -> None:
    watched = watch(serve, data, options=replace(QUICK, max_time=0.001))
    (first,) = await rounds(watched, 1)
    assert isinstance(first.error, TimeLimitError)
    said = "the round took longer than --max-time allows. What is done is kept."
    assert str(first.error) == watched.status.problem == said


async def test_a_changed_task_is_fetched_in_the_next_round(serve: Serving, data: Path) -> None:
    watched = watch(serve, data)
    await rounds(watched, 2)
    serve.server.edit_task(3)
    (changed,) = await rounds(watched, 1)
    assert [(one.task_id, one.action, one.reason) for one in changed.changes] == [
        (3, ac.Action.FETCHED, "changed")
    ]
    assert changed.changes[0].path == str(data / "task3")
    assert changed.full_because is None
    assert files(data) == await serve.archives()
    assert (await rounds(watched, 1))[0].requests == 1


async def test_a_mirror_as_json_is_kept_current(serve: Serving, data: Path) -> None:
    watched = watch(serve, data, spec="json")
    await rounds(watched, 2)
    held = files(data)
    serve.server.edit_task(3)
    (changed,) = await rounds(watched, 1)
    assert [(one.task_id, one.reason) for one in changed.changes] == [(3, "changed")]
    now = files(data)
    assert {name.partition("/")[0] for name in now if now[name] != held[name]} == {"task3"}
    assert (await rounds(watched, 1))[0].requests == 1


async def test_a_new_task_is_fetched_without_a_list_of_all(serve: Serving, data: Path) -> None:
    watched = watch(serve, data)
    await rounds(watched, 1)
    task = serve.server.add_task()
    (changed,) = await rounds(watched, 1)
    assert [one.task_id for one in changed.changes] == [task.id]
    assert changed.full_because is None


async def test_a_folder_follows_the_new_name_of_its_task_in_the_next_round(
    serve: Serving, data: Path
) -> None:
    await ac.mirror(serve.client, data, options=replace(QUICK, layout="{project}/{id}-{name}"))
    watched = watch(serve, data)
    await rounds(watched, 1)
    exports = len(serve.calls("dataset"))
    serve.server.world.change_task(3, name="left")
    (changed,) = await rounds(watched, 1)
    assert [(one.task_id, one.action, one.path) for one in changed.changes] == [
        (3, ac.Action.MOVED, str(data / "project-1/3-left"))
    ]
    assert len(serve.calls("dataset")) == exports
    assert (await rounds(watched, 1))[0].requests == 1


async def test_a_round_reads_the_receipts_of_the_changed_tasks_alone(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = watch(serve, data)
    await rounds(watched, 1)
    new = serve.server.add_task()
    serve.server.edit_task(3)
    opened: list[str] = []
    look = disk.open_and_look

    def noted(name: str, *, dir_fd: int) -> Any:
        opened.append(name)
        return look(name, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "open_and_look", noted)
        (changed,) = await rounds(watched, 1)
    assert sorted(change.task_id for change in changed.changes) == [3, new.id]
    assert "3.json" in opened
    assert not {"1.json", "2.json", "4.json", "5.json"} & set(opened)


async def test_a_folder_that_is_edited_between_rounds_stays_and_its_edits_are_put_aside(
    serve: Serving, data: Path
) -> None:
    watched = watch(serve, data)
    await rounds(watched, 1)
    edited = next(path for path in (data / "task3").rglob("*") if path.is_file())
    edited.write_bytes(b"mine")
    assert (await rounds(watched, 1))[0].quiet
    assert edited.read_bytes() == b"mine"
    serve.server.edit_task(3)
    (changed,) = await rounds(watched, 1)
    assert [change.task_id for change in changed.changes] == [3]
    aside = (data / ".asynccvat/kept").rglob(edited.name)
    assert [path.read_bytes() for path in aside] == [b"mine"]
    assert files(data) == await serve.archives()


async def test_a_folder_made_by_hand_between_rounds_is_not_replaced(
    serve: Serving, data: Path
) -> None:
    watched = watch(serve, data)
    await rounds(watched, 1)
    task = serve.server.add_task()
    mine = data / f"task{task.id}" / "mine.txt"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    (changed,) = await rounds(watched, 1)
    assert [failure.task_id for failure in changed.failures] == [task.id]
    assert mine.read_bytes() == b"mine"


async def test_a_deleted_task_is_noticed_by_the_number_of_tasks(serve: Serving, data: Path) -> None:
    options = ac.MirrorOptions(durable=False, prune=True)
    watched = watch(serve, data, options=options)
    await rounds(watched, 1)
    serve.server.delete_task(2)
    (changed,) = await rounds(watched, 1)
    assert changed.full_because is FullReason.COUNT
    (change,) = changed.changes
    assert (change.task_id, change.action) == (2, ac.Action.REMOVED)
    assert change.path == str(data / "task2")
    assert not (data / "task2").exists()
    assert (await rounds(watched, 1))[0].requests == 1


async def test_all_tasks_are_listed_now_and_then(serve: Serving, data: Path) -> None:
    watching = ac.WatchOptions(every=300, full_every=3000)
    ended = await rounds(watch(serve, data, watching=watching), 13)
    listed = [one.number for one in ended if one.full_because is FullReason.TIME]
    assert len(listed) == 1
    assert 10 <= listed[0] <= 13


async def test_more_changes_than_a_page_shows_make_a_list_of_all(
    serve: Serving, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.commands.watch.run.PAGE", 2)
    watched = watch(serve, data)
    await rounds(watched, 1)
    for task_id in (1, 2, 3):
        serve.server.edit_task(task_id)
    (changed,) = await rounds(watched, 1)
    assert changed.full_because is FullReason.MANY
    assert sorted(one.task_id for one in changed.changes) == [1, 2, 3]


async def test_a_failed_task_is_tried_again_ever_more_seldom(serve: Serving, data: Path) -> None:
    watched = watch(serve, data, options=ac.MirrorOptions(durable=False, retries=0))
    serve.server.faults.add(Fault(path="/api/tasks/4/dataset/export", status=500, times=None))
    ended = await rounds(watched, 9)
    assert [one.number for one in ended if one.failed] == [1, 2, 4, 8]
    assert ended[4].requests == 1
    assert list(watched.status.failing) == [4]
    assert not watched.status.is_up_to_date
    serve.server.faults.clear()
    later = await rounds(watched, 8)
    assert [change.task_id for one in later for change in one.changes] == [4]
    assert watched.status.is_up_to_date


async def test_an_outage_makes_rounds_rarer_and_ends_nothing(serve: Serving, data: Path) -> None:
    clock = QuickClock()
    watched = watch(serve, data, clock=clock, watching=ac.WatchOptions(every=100))
    await rounds(watched, 2)
    serve.server.faults.add(Fault(path="/api/tasks", status=503, times=None))
    failed = await rounds(watched, 4)
    assert all(one.error is not None for one in failed)
    for wait, doubled in zip(clock.waits[-3:], (200, 400, 800), strict=True):
        assert 0.9 * doubled <= wait <= 1.1 * doubled
    serve.server.faults.clear()
    serve.server.edit_task(1)
    (back,) = await rounds(watched, 1)
    assert [change.task_id for change in back.changes] == [1]
    assert watched.status.errors_in_a_row == 0


@pytest.mark.parametrize("every", [1e12, float("inf")])
async def test_a_wait_beyond_the_calendar_has_no_date(
    serve: Serving, data: Path, every: float
) -> None:
    clock = QuickClock()
    watched = watch(serve, data, clock=clock, watching=ac.WatchOptions(every=every))
    dates = []

    async def note() -> None:
        dates.append(watched.status.next_at)
        watched.wake()

    clock.before_waits = note
    await rounds(watched, 2)
    assert dates == [None]


async def test_a_watch_says_that_it_waits_for_the_server(data: Path) -> None:
    states: list[str] = []

    def on_event(event: ac.Event) -> None:
        if isinstance(event, ServerUnreachable):
            states.append(watched.status.state)
            serve.server.faults.clear()
        elif isinstance(event, ServerBack):
            states.append(watched.status.state)

    async with serving(2, client={"policy": RetryPolicy(attempts=0)}) as serve:
        watched = watch(serve, data, on_event=on_event)
        serve.server.faults.add(Fault(path="^/api/", status=503, times=None))
        (ended,) = await rounds(watched, 1)
    assert ended.ok
    assert states == ["waiting for the server", "mirroring"]


async def test_a_failed_job_is_named_by_its_own_id(data: Path) -> None:
    async with serving(2) as serve:
        options = ac.MirrorOptions(durable=False, retries=0, target="jobs")
        watched = watch(serve, data, options=options)
        serve.server.faults.add(Fault(path="/api/jobs/2/dataset/export", status=500, times=None))
        await rounds(watched, 1)
    status = watched.status.to_json()
    assert status["target"] == "job"
    assert [one["job_id"] for one in status["failing"]] == [2]
    assert status["problem"] == "1 job failed and will be tried again"


async def test_a_full_round_that_an_outage_stops_is_a_full_one_again(
    serve: Serving, data: Path
) -> None:
    options = ac.MirrorOptions(durable=False, prune=True, retries=0, wait_for_server=0)
    watched = watch(serve, data, options=options)
    await rounds(watched, 1)
    serve.server.delete_task(2)
    serve.server.edit_task(3)
    # The lists are answered, the export and what asks whether the server is there are not.
    serve.server.faults.add(
        Fault(path="/dataset/export", drop=True, times=None),
        Fault(path="/api/server/about", drop=True, times=None),
    )
    (stopped,) = await rounds(watched, 1)
    assert stopped.full_because is FullReason.COUNT
    assert stopped.error is not None
    assert (data / "task2").exists()
    serve.server.faults.clear()
    (again,) = await rounds(watched, 1)
    assert again.full_because is FullReason.COUNT
    assert {(one.task_id, one.action) for one in again.changes} == {
        (2, ac.Action.REMOVED),
        (3, ac.Action.FETCHED),
    }


async def test_refused_credentials_end_a_watch(serve: Serving, data: Path) -> None:
    watched = watch(serve, data)
    await rounds(watched, 1)
    serve.server.faults.add(Fault(status=401, times=None))
    with pytest.raises(AuthenticationError):
        await anext(watched)


async def test_a_stopped_watch_has_no_more_rounds(serve: Serving, data: Path) -> None:
    watched = watch(serve, data)
    ended = []
    async for one in watched:
        ended.append(one)
        if len(ended) == 2:
            watched.stop()
    assert len(ended) == 2
    assert watched.status.state == "stopped"


async def test_a_remembered_selection_is_watched(serve: Serving, data: Path) -> None:
    await ac.mirror(serve.client, data, ac.Selection(task_ids=[1, 2]), options=QUICK)
    await ac.mirror(serve.client, data, ac.Selection(name="*"), options=QUICK)
    watched = watch(serve, data)
    await rounds(watched, 1)
    serve.server.edit_task(5)
    (changed,) = await rounds(watched, 1)
    assert [one.task_id for one in changed.changes] == [5]


async def test_tasks_of_other_projects_and_excluded_ones_are_left_alone(data: Path) -> None:
    async with serving(6, projects=2) as serve:
        project = serve.server.projects[2]
        mine = [one.id for one in serve.server.tasks.values() if one.project_id == project.id]
        others = [one.id for one in serve.server.tasks.values() if one.project_id != project.id]
        excluded = serve.server.tasks[mine[-1]].name
        chosen = ac.Selection(projects=[project.name], exclude=[excluded])
        watched = watch(serve, data, selection=chosen)
        first, second = await rounds(watched, 2)
        assert sorted(one.task_id for one in first.changes) == mine[:-1]
        assert second.requests == 1
        for task_id in (others[0], mine[0], mine[-1]):
            serve.server.edit_task(task_id)
        third, fourth = await rounds(watched, 2)
        assert [one.task_id for one in third.changes] == [mine[0]]
        assert third.full_because is None
        assert fourth.requests == 1


async def test_a_mirror_of_jobs_is_listed_in_each_round(serve: Serving, data: Path) -> None:
    options = ac.MirrorOptions(durable=False, target="jobs")
    first, second = await rounds(watch(serve, data, options=options), 2)
    assert first.changed == 5
    assert second.full_because is FullReason.TARGET
    assert not second.changed


async def test_a_watch_refuses_to_force(serve: Serving, data: Path) -> None:
    with pytest.raises(ac.ConfigError, match="--force"):
        watch(serve, data, options=ac.MirrorOptions(force=True))


async def test_a_watch_refuses_to_look_since_the_last_run(serve: Serving, data: Path) -> None:
    with pytest.raises(ac.ConfigError, match="--since-last-run is for a single mirror"):
        watch(serve, data, options=ac.MirrorOptions(since_last_run=True))


async def test_a_watch_refuses_a_limit(serve: Serving, data: Path) -> None:
    with pytest.raises(ac.ConfigError, match="--limit is for a single mirror"):
        watch(serve, data, selection=ac.Selection(limit=3))
