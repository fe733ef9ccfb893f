"""Progress and messages of a run, from its events and a clock of the test."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from asynccvat import errors, events
from asynccvat.cli.display import BarDisplay, LineDisplay, display
from asynccvat.cli.messages import messages
from asynccvat.cli.progress import Progress
from asynccvat.core.outcomes import Action, RunReport, TaskOutcome
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.core.targets import TargetKind


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def done(task_id: int, action: Action = Action.FETCHED, **rest: Any) -> events.TaskDone:
    return events.TaskDone(TaskOutcome(task_id=task_id, action=action, reason="new", **rest))


def failed(task_id: int, message: str) -> events.TaskDone:
    return done(task_id, Action.FAILED, error=errors.ExportFailedError(message))


def written_to(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)


def pipe() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40, highlight=False)


def test_each_task_is_counted_in_its_stage() -> None:
    progress = Progress(started=0)
    happened: list[events.Event] = [
        events.ListingRead(5, complete=True),
        events.Planned(fetch=3, keep=1, move=1, remove=0, refuse=0, skip=0),
        events.ExportRequested(1, "a", created=True),
        events.ExportRequested(2, "b", created=True),
        events.ExportRequested(3, "c", created=True),
        events.ExportStarted(2),
        events.ExportStarted(3),
        events.ExportFinished(3, 0.2),
        events.TransferStarted(3, 2048, 0),
        events.TransferProgress(3, 2048),
    ]
    for event in happened:
        progress.apply(event)
    assert progress.stages() == "2 at the server, 1 downloading"
    progress.apply(events.TransferFinished(3))
    progress.apply(done(3))
    progress.apply(done(9, Action.KEPT))
    assert progress.done == 1
    assert progress.total == 4
    assert progress.fraction == 0.25
    assert progress.overall(2.0) == "1/4 tasks, 2.0 KiB, 1.0 KiB/s, 0.5 tasks/s, 6.0 s left"
    for later in (failed(1, "no"), done(2), done(4, Action.MOVED)):
        progress.apply(later)
    assert progress.stages().endswith("0 downloading, 1 failed")
    assert progress.fraction == 1.0
    assert "left" not in progress.overall(4.0)


def test_tasks_that_wait_for_a_retry_are_counted() -> None:
    progress = Progress(started=0)
    progress.apply(events.Planned(fetch=3, keep=0, move=0, remove=0, refuse=0, skip=0))
    for task_id in (1, 2, 3):
        progress.apply(events.Retrying(task_id, "export", "502", 0.5))
    progress.apply(events.Retrying(None, "list", "502", 0.5))
    assert progress.stages() == "0 at the server, 0 downloading, 3 retrying"
    progress.apply(events.ExportRequested(1, "a", created=True))
    progress.apply(events.TransferProgress(2, 10))
    progress.apply(failed(3, "no"))
    assert progress.stages() == "1 at the server, 1 downloading, 1 failed"


def test_the_bytes_of_large_tasks_tell_share_rate_and_time_left() -> None:
    mib = 1024 * 1024
    progress = Progress(started=0)
    progress.apply(events.ListingRead(4, complete=True))
    progress.apply(events.Planned(fetch=4, keep=0, move=0, remove=0, refuse=0, skip=0))
    assert progress.overall(5.0) == "0/4 tasks, 0 B"
    for task_id in (1, 2, 3, 4):
        progress.apply(events.TransferStarted(task_id, 260 * mib, reused=30 * mib))
    progress.apply(events.TransferProgress(1, 23 * mib))
    assert progress.fraction == pytest.approx(0.1 / 4)
    # The exports took ten seconds, which are no part of the rate from now on.
    assert progress.overall(10.0).startswith("0/4 tasks, 23.0 MiB, 2.3 MiB/s, ")
    for task_id in (1, 2, 3, 4):
        progress.apply(events.TransferProgress(task_id, 23 * mib))
    left = (4 * 230 - 5 * 23) / 46
    assert progress.overall(12.0) == f"0/4 tasks, 115 MiB, 46.0 MiB/s, {left:.0f} s left"
    assert progress.fraction == pytest.approx(0.5 / 4)
    # What broke off comes again: a task is never more than whole.
    progress.apply(events.TransferProgress(1, 500 * mib))
    assert progress.fraction == pytest.approx((1 + 0.3) / 4)
    progress.apply(done(1))
    assert progress.fraction == pytest.approx((1 + 0.3) / 4)
    # A task that is exported again begins anew.
    progress.apply(events.ExportRequested(2, "a", created=True))
    assert progress.fraction == pytest.approx((1 + 0.2) / 4)
    progress.apply(events.TransferFinished(3))
    assert progress.fraction == pytest.approx((2 + 0.1) / 4)


def test_where_a_size_is_unknown_the_tasks_tell_the_time_left() -> None:
    progress = Progress(started=0)
    progress.apply(events.ListingRead(2, complete=True))
    progress.apply(events.Planned(fetch=2, keep=0, move=0, remove=0, refuse=0, skip=0))
    progress.apply(events.TransferStarted(1, None, 0))
    progress.apply(events.TransferStarted(2, 4096, 0))
    progress.apply(events.TransferProgress(1, 1024))
    assert progress.overall(2.0) == "0/2 tasks, 1.0 KiB, 512 B/s"
    progress.apply(events.TransferProgress(2, 2048))
    # Half of one of two tasks took two seconds.
    assert progress.overall(2.0).endswith("6.0 s left")
    assert progress.fraction == 0.25


def test_while_the_run_stands_still_no_time_left_is_shown() -> None:
    progress = Progress(started=0)
    progress.apply(events.Planned(fetch=4, keep=0, move=0, remove=0, refuse=0, skip=0))
    progress.apply(done(1))
    progress.apply(events.ExportRequested(2, "a", created=True))
    assert progress.overall(10.0).endswith(", 30 s left")
    assert "left" in progress.overall(39.0)
    assert progress.overall(40.0) == "1/4 tasks, 0 B, 0 B/s, 0.0 tasks/s"
    progress.apply(events.TransferProgress(2, 1024))
    assert "left" in progress.overall(41.0)
    progress.apply(events.QueueStalled(QueueStall("export", 300.0, waiting=2, running=1)))
    progress.apply(events.TransferProgress(2, 1024))
    assert "left" not in progress.overall(42.0), "bytes of another task do not move the queue"
    progress.apply(events.ExportFinished(3, None))
    assert "left" in progress.overall(43.0)


def test_before_there_is_a_plan_progress_names_the_wait() -> None:
    progress = Progress(started=0)
    assert progress.overall(1.0) == "listing tasks"
    progress.apply(events.ListingRead(5, complete=True))
    assert progress.overall(1.0) == "planning"
    assert progress.fraction == 0
    progress.apply(events.Planned(fetch=2, keep=3, move=0, remove=0, refuse=0, skip=0))
    assert progress.overall(1.0) == "0/2 tasks, 0 B"


def test_progress_counts_projects_and_jobs_as_what_they_are() -> None:
    progress = Progress(started=0)
    progress.apply(events.ListingRead(5, complete=True, target=TargetKind.JOB))
    progress.apply(events.Planned(fetch=2, keep=3, move=0, remove=0, refuse=0, skip=0))
    assert progress.overall(1.0) == "0/2 jobs, 0 B"
    done = TaskOutcome(task_id=1, target=TargetKind.JOB, action=Action.FETCHED, reason="new")
    progress.apply(events.TaskDone(done))
    assert "1.0 jobs/s" in progress.overall(1.0)


def test_work_that_turns_out_to_need_nothing_is_done() -> None:
    progress = Progress(started=0)
    progress.apply(events.Planned(fetch=2, keep=1, move=0, remove=0, refuse=0, skip=1))
    for action in (Action.KEPT, Action.SKIPPED):
        progress.apply(events.TaskDone(TaskOutcome(task_id=1, action=action, reason="unchanged")))
    assert progress.done == 0
    for action in (Action.KEPT, Action.FETCHED):
        progress.apply(events.TaskDone(TaskOutcome(task_id=2, action=action, reason="unchanged")))
    assert progress.overall(1.0).startswith("2/2 tasks")


def test_an_outage_has_a_line_that_changes_and_no_part_in_the_time_left() -> None:
    progress = Progress(started=0)
    progress.apply(events.Planned(fetch=4, keep=0, move=0, remove=0, refuse=0, skip=0))
    progress.apply(done(1))
    progress.apply(events.ServerUnreachable(seconds=3.0, wait=600.0, error="refused"))
    for now, waited in ((10.0, "3.0 s"), (21.0, "14 s"), (127.0, "2:00")):
        line = f"no answer from the server for {waited}; waiting up to 10m (--wait-for-server)"
        assert progress.overall(now) == line
    progress.apply(events.ServerBack(seconds=122.0))
    assert progress.overall(132.0).endswith("0.1 tasks/s, 30 s left")


def test_an_outage_is_a_message_only_where_no_line_can_change() -> None:
    clock, bar, lines = Clock(), terminal(), pipe()
    unreachable = events.ServerUnreachable(seconds=3.0, wait=90.0, error="refused")
    said = "no answer from the server for 3.0 s; waiting up to 1m30s (--wait-for-server)\n"
    with LineDisplay(lines, clock=clock) as shown:
        shown.on_event(unreachable)
        shown.on_event(events.ServerBack(seconds=20.0))
    assert written_to(lines) == f"{said}the server answers again after 20 s; the run goes on\n"
    with BarDisplay(bar, clock=clock) as drawn:
        drawn.on_event(events.Planned(fetch=2, keep=0, move=0, remove=0, refuse=0, skip=0))
        drawn.on_event(unreachable)
        drawn.on_event(events.ServerBack(seconds=20.0))
    assert written_to(bar).count("the server answers again after 20 s") == 1
    assert "(--wait-for-server)\n" not in written_to(bar)


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (failed(7, "task 7: the server failed"), ["failed: task 7: the server failed."]),
        (
            failed(7, "the server\nfailed\x1b[2J"),
            ["failed: task 7: the server failed\N{REPLACEMENT CHARACTER}[2J."],
        ),
        (done(7), []),
        (done(7, warnings=("put aside",)), ["warning: task 7: put aside"]),
        (events.Warned("look out"), ["warning: look out"]),
        (events.ServerPaused(26), ["the server asks for a pause of 26 s"]),
        (
            events.QueueStalled(QueueStall("export", 600.0, 3, 0)),
            [str(QueueStall("export", 600.0, 3, 0))],
        ),
        (events.Retrying(7, "export", "502", 0.5), []),
        (events.RunFinished(RunReport()), []),
    ],
)
def test_failures_and_warnings_have_separate_lines(event: events.Event, lines: list[str]) -> None:
    assert list(messages(event, verbose=False)) == lines


def said(*happened: events.Event) -> list[str]:
    return [line for event in happened for line in messages(event, verbose=False)]


def finished(*tasks: events.TaskDone, **rest: Any) -> tuple[events.Event, ...]:
    report = RunReport(outcomes=tuple(task.outcome for task in tasks), **rest)
    return (*tasks, events.RunFinished(report))


def test_an_error_that_ends_a_run_is_not_reported_for_each_task() -> None:
    full = errors.DiskFullError("task 1: no room")
    tasks = [done(number, Action.FAILED, error=full) for number in (1, 2, 3)]
    assert said(*finished(*tasks, stopped_by=full)) == []


def test_an_error_that_could_end_a_run_but_did_not_is_reported_for_its_task() -> None:
    full = done(1, Action.FAILED, error=errors.DiskFullError("no room"))
    assert said(*finished(full)) == ["failed: task 1: no room."]
    locked = errors.StoreLockedError("taken over")
    assert said(*finished(full, stopped_by=locked)) == ["failed: task 1: no room."]


def test_a_warning_shared_by_many_unchanged_tasks_is_shown_once_with_their_number() -> None:
    edited = [done(number, Action.KEPT, warnings=("edited here",)) for number in range(1, 12)]
    assert said(*finished(*edited[:10])) == [
        f"warning: task {number}: edited here" for number in range(1, 11)
    ]
    (line,) = said(*finished(*edited))
    assert line.startswith("warning: 11 tasks (1, 2, 3, ...): edited here. The report")


def test_retries_are_shown_with_verbose() -> None:
    event = events.Retrying(7, "export", "502", 0.5)
    assert list(messages(event, verbose=True)) == ["task 7: retrying export in 0.5 s: 502"]
    event = events.Retrying(None, "list", "502", 0.5)
    assert list(messages(event, verbose=True)) == ["retrying list in 0.5 s: 502"]
    event = events.Retrying(7, "export", "502. Later.", 0.0)
    assert list(messages(event, verbose=True)) == ["task 7: retrying export: 502. Later."]


def test_without_a_terminal_progress_is_periodic_and_failures_come_at_once() -> None:
    clock = Clock()
    console = pipe()
    with display(console, verbose=False, clock=clock) as shown:
        assert isinstance(shown, LineDisplay)
        shown.on_event(events.ListingRead(3, complete=True))
        clock.now += 6
        shown.on_event(events.ServerPaused(1))
        shown.on_event(events.Planned(fetch=3, keep=0, move=0, remove=0, refuse=0, skip=0))
        shown.on_event(done(1))
        clock.now += 4.5
        shown.on_event(failed(2, "a long message that is not wrapped, however narrow the console"))
        clock.now += 0.5
        shown.on_event(events.ExportRequested(3, "c", created=True))
    assert written_to(console).splitlines() == [
        "the server asks for a pause of 1.0 s",
        "planning",
        "failed: task 2: a long message that is not wrapped, however narrow the console.",
        (
            "2/3 tasks, 0 B, 0 B/s, 0.2 tasks/s, 5.5 s left; "
            "1 at the server, 0 downloading, 1 failed"
        ),
    ]


def test_on_a_terminal_there_is_a_bar_with_the_numbers_and_messages_above_it() -> None:
    clock = Clock()
    console = terminal()
    with display(console, verbose=False, clock=clock) as shown:
        assert isinstance(shown, BarDisplay)
        shown.on_event(events.Planned(fetch=2, keep=0, move=0, remove=0, refuse=0, skip=0))
        shown.on_event(events.ExportRequested(2, "b", created=True))
        clock.now += 2
        shown.on_event(done(1, location="task1"))
        shown.on_event(failed(2, "[red]no[/red]"))
        shown.on_event(events.Warned("look out"))
    written = written_to(console)
    assert "2/2 tasks" in written
    assert "0 at the server, 0 downloading, 1 failed" in written
    assert "failed: task 2: [red]no[/red]" in written
    assert "warning: look out" in written


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(terminal(), verbose=False), LineDisplay)


def test_colours_are_left_out_when_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal()
    with display(console, verbose=False) as shown:
        shown.on_event(failed(2, "no"))
    assert "\x1b[31m" not in written_to(console)


def test_a_warning_about_what_has_no_id_yet_gives_its_name() -> None:
    error = errors.MediaFileError("cannot create a task of 'cam'.")
    event = done(0, Action.FAILED, name="cam", error=error, warnings=("a.png is empty",))
    assert list(messages(event, verbose=False))[-1] == "warning: cam: a.png is empty"
