"""Progress and messages of a run, from its events and a clock of the test."""

from __future__ import annotations

import io
import re
import threading
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from asynccvat import errors, events
from asynccvat.cli.alike import MOST_FAILURES_ALIKE
from asynccvat.cli.display import (
    MOST_LINES,
    BarDisplay,
    LineDisplay,
    QuietDisplay,
    display,
)
from asynccvat.cli.messages import messages
from asynccvat.cli.progress import Progress
from asynccvat.cli.verb_words import words_of
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


def failed(task_id: int, message: str, step: str | None = None) -> events.TaskDone:
    return done(task_id, Action.FAILED, error=errors.ExportFailedError(message, step=step))


def written_to(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that runs the tests may be one."""
    monkeypatch.delenv("CI", raising=False)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)


def pipe() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40, highlight=False)


def progress_of(*happened: events.Event, at: float = 0.0) -> Progress:
    progress = Progress(0.0)
    for event in happened:
        progress.apply(event, at)
    return progress


def planned(fetch: int, **rest: int) -> events.Planned:
    return events.Planned(
        fetch, **(dict.fromkeys(("keep", "skip", "move", "remove", "refuse"), 0) | rest)
    )


def test_the_numbers_of_a_run_are_one_line_and_its_stages_another() -> None:
    progress = progress_of(
        events.ListingRead(5, complete=True),
        planned(4, keep=1),
        *(events.ExportRequested(number, "a", created=True) for number in (1, 2, 3, 4)),
    )
    assert progress.overall(1.0) == "0/4 tasks"
    for event in (
        events.ExportFinished(3, 2.0),
        events.TransferStarted(3, 2048, 0),
        events.TransferProgress(3, 2048),
        events.TransferFinished(3),
        done(3),
        failed(4, "no"),
        events.ExportFinished(2, 2.0),
        events.TransferStarted(2, 2048, 0),
    ):
        progress.apply(event, 2.0)
    assert progress.overall(2.0) == "2/4 tasks, 2.0 KiB, 2.0 KiB/s, 1.0 tasks/s, 1.0 s left"
    assert progress.stages(2.0) == "1 queued, 1 downloading, 1 failed"


def test_before_there_is_a_plan_progress_names_the_wait() -> None:
    progress = progress_of()
    assert progress.overall(1.0) == "listing tasks"
    progress.apply(events.ListingRead(5, complete=True), 1.0)
    assert progress.overall(1.0) == "planning"
    assert progress.fraction == 0
    progress.apply(planned(2, keep=3), 1.0)
    assert progress.overall(1.0) == "0/2 tasks"


def test_progress_counts_projects_and_jobs_as_what_they_are() -> None:
    progress = progress_of(events.ListingRead(5, complete=True, target=TargetKind.JOB), planned(2))
    assert progress.overall(1.0) == "0/2 jobs"
    outcome = TaskOutcome(task_id=1, target=TargetKind.JOB, action=Action.FETCHED, reason="new")
    progress.apply(events.TaskDone(outcome), 30.0)
    assert "2.0 jobs/min" in progress.overall(30.0)


def test_progress_counts_and_names_what_the_command_does() -> None:
    progress = Progress(0.0, words_of("import-dataset"))
    assert progress.overall(1.0) == "checking the datasets"
    for event in (events.ListingRead(4, complete=True), planned(0, upload=4)):
        progress.apply(event, 1.0)
    assert progress.overall(1.0) == "0/4 datasets"
    progress.apply(done(1), 30.0)
    assert "2.1 datasets/min" in progress.overall(30.0)
    assert Progress(0.0, words_of("import_dataset")).overall(1.0) == "checking the datasets"
    assert Progress(0.0, words_of("restore")).overall(1.0) == "reading the backups"
    deletion = Progress(0.0, words_of("delete"))
    deletion.apply(events.TaskStarted(1, "street"), 1.0)
    assert deletion.stages(1.0) == "1 being deleted"


def test_work_that_turns_out_to_need_nothing_is_done() -> None:
    progress = progress_of(
        planned(2, keep=1, skip=1), done(1, Action.KEPT), done(1, Action.SKIPPED)
    )
    assert progress.run.done == 0
    progress.apply(done(2, Action.KEPT), 1.0)
    progress.apply(done(2), 1.0)
    assert progress.overall(1.0).startswith("2/2 tasks")


def test_an_outage_has_a_line_that_changes() -> None:
    progress = progress_of(planned(4), done(1), at=1.0)
    progress.apply(events.ServerUnreachable(seconds=3.0, wait=600.0, error="refused"), 10.0)
    for now, waited in ((10.0, "3.0 s"), (21.0, "14 s"), (127.0, "2:00")):
        line = f"no answer from the server for {waited}; waiting up to 10m (--wait-for-server)"
        assert progress.overall(now) == line
    progress.apply(events.ServerBack(seconds=125.0), 132.0)
    assert progress.overall(132.0).startswith("1/4 tasks")


def test_what_the_run_waits_for_is_said_with_what_would_help() -> None:
    progress = progress_of(
        events.RunStarted(transfers=2),
        planned(9),
        *(events.ExportRequested(number, "a", created=True) for number in range(1, 10)),
    )
    assert progress.details(1.0) == [], "a short run waits for nothing in particular"
    assert progress.details(4.0) == [
        "Waiting for the server: exports. More workers there would help"
    ]
    for number in range(1, 6):
        progress.apply(events.ExportFinished(number, 2.0), 2.0 * number)
        progress.apply(done(number), 2.0 * number)
    line = "Waiting for the server: 1 export at once, 0.5/s. More workers there would help"
    assert progress.details(10.0) == [line]
    for number in (8, 9):
        progress.apply(events.TransferStarted(number, 4096, 0), 10.0)
    line = "Waiting for the network: 2 downloads at once, as --transfers allows"
    assert progress.details(19.9) == [line]
    progress.apply(events.ServerPaused(8.0), 20.0)
    assert progress.details(22.0)[0] == "Waiting for 6.0 s: the server asked for a pause"
    stall = QueueStall("export", 300.0, waiting=2, running=1)
    progress.apply(events.QueueStalled(stall), 30.0)
    assert progress.details(30.0)[0] == str(stall)


def test_a_run_says_that_its_own_limit_of_bandwidth_is_reached() -> None:
    progress = progress_of(
        events.RunStarted(transfers=4, bandwidth=2 << 20),
        planned(9),
        *(events.TransferStarted(number, 50 << 20, 0) for number in (1, 2, 3, 4)),
    )
    for second in range(1, 11):
        progress.apply(events.TransferProgress(1, 2 << 20), float(second))
    line = "Waiting for the network: 4 downloads, at the 2.0 MiB/s of --bwlimit"
    assert progress.details(10.0)[0] == line
    for second in range(11, 30):
        progress.apply(events.TransferProgress(1, 1 << 20), float(second))
    line = "Waiting for the network: 4 downloads at once, as --transfers allows"
    assert progress.details(29.0)[0] == line


def test_an_archive_whose_first_bytes_do_not_come_is_a_download_and_slow() -> None:
    ready = [event for n in (1, 2) for event in (events.ExportFinished(n, 1.0),)]
    progress = progress_of(events.RunStarted(transfers=2), planned(2), *ready)
    assert progress.details(20.0) == [
        "Waiting for the network: 2 downloads at once, as --transfers allows",
        "  20 s ready to download: task 1",
        "  20 s ready to download: task 2",
    ]
    full = progress_of(
        events.RunStarted(transfers=1), planned(3), events.TransferStarted(3, 9, 0), *ready
    )
    assert [flight.task_id for flight in full.run.slowest(20.0)] == [3]


@pytest.mark.parametrize("seconds", [1.8, 12, 65, 3599])
def test_the_line_of_an_outage_fits_eighty_columns(seconds: float) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    clock = [0.0]
    bar = BarDisplay(console, clock=lambda: clock[0])
    with bar:
        bar.on_event(planned(4))
        clock[0] = seconds
        bar.on_event(events.ServerUnreachable(seconds=seconds, wait=600.0, error="refused"))
    assert "(--wait-for-server)" in written_to(console)


def test_writes_retries_and_imports_are_waits_too() -> None:
    disk = progress_of(planned(1), events.TransferStarted(1, 1, 0), events.TransferFinished(1))
    assert disk.details(5.0) == ["Waiting for the disk: 1 being written"]
    retry = progress_of(planned(1), events.Retrying(1, "export", "502\x1b[2J", 5.0))
    assert retry.details(5.0) == ["Waiting to try again: 502\N{REPLACEMENT CHARACTER}[2J"]
    sent = progress_of(planned(0, upload=2), events.UploadStarted(1, 10))
    assert sent.details(5.0) == ["Waiting for the network: 1 upload"]
    sent.apply(events.ImportRequested(1, "a"), 5.0)
    assert sent.details(30.0) == ["Waiting for the server: imports. More workers there would help"]


def test_the_slowest_three_are_named_with_their_share() -> None:
    progress = progress_of(planned(5))
    for number in range(1, 6):
        progress.apply(events.TaskStarted(number, "" if number == 1 else f"street-{number}"), 0.0)
        progress.apply(events.TransferStarted(number, 4096, 0), float(number))
        progress.apply(events.TransferProgress(number, 1024), float(number))
    assert progress.details(13.0)[1:] == [
        "  12 s downloading 25% of 4.0 KiB: task 1",
        "  11 s downloading 25% of 4.0 KiB: street-2 (task 2)",
        "  10 s downloading 25% of 4.0 KiB: street-3 (task 3)",
    ]


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
        "2/3 tasks, 0.4 tasks/s; 1 queued, 1 failed",
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
    assert "1 failed" in written
    assert "failed: task 2: [red]no[/red]" in written
    assert "warning: look out" in written


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display(terminal(), verbose=False), LineDisplay)


@pytest.mark.parametrize(("value", "plain"), [("true", True), ("1", True), ("false", False)])
def test_the_terminal_of_a_ci_system_gets_plain_lines(
    monkeypatch: pytest.MonkeyPatch, value: str, plain: bool
) -> None:
    monkeypatch.setenv("CI", value)
    assert isinstance(display(terminal(), verbose=False), LineDisplay) is plain


def test_lines_become_fewer_in_a_long_run() -> None:
    clock, console = Clock(), pipe()
    shown = LineDisplay(console, clock=clock)
    shown.on_event(planned(5000))
    for number in range(4 * 3600):
        clock.now += 1
        shown.on_event(events.Retrying(number, "export", "502", 0.5))
    assert 230 < len(written_to(console).splitlines()) < 330


def test_lines_come_while_no_event_does() -> None:
    clock, console = Clock(), Lines()
    with LineDisplay(console, clock=clock, every=0.001) as shown:
        shown.on_event(planned(3))
        clock.now += 1
        assert console.written.wait(60)
    assert "0/3 tasks" in written_to(console)


class Lines(Console):
    """A pipe that tells when a line was written."""

    def __init__(self) -> None:
        super().__init__(file=io.StringIO(), force_terminal=False, width=80, highlight=False)
        self.written = threading.Event()

    def print(self, *objects: Any, **rest: Any) -> None:
        super().print(*objects, **rest)
        self.written.set()


class Overlaps(Progress):
    """Counts that note if they are changed while they are drawn."""

    def __init__(self, started: float) -> None:
        super().__init__(started)
        self.drawing, self.go = threading.Event(), threading.Event()
        self.go.set()
        self.overlapped = False

    def overall(self, now: float) -> str:
        self.drawing.set()
        assert self.go.wait(60)
        self.drawing.clear()
        return super().overall(now)

    def apply(self, event: events.Event, now: float) -> None:
        self.overlapped |= self.drawing.is_set()
        super().apply(event, now)


def test_nothing_is_counted_while_the_lines_are_drawn() -> None:
    shown = BarDisplay(terminal(), clock=Clock(), counts=Overlaps)
    counts = shown.counts
    assert isinstance(counts, Overlaps)
    counts.go.clear()
    draws = threading.Thread(target=shown._render)
    draws.start()
    assert counts.drawing.wait(60)
    counting = threading.Thread(target=shown.on_event, args=(planned(3),))
    counting.start()
    counting.join(0.05)  # long enough to count, if nothing keeps it from that
    counts.go.set()
    draws.join()
    counting.join()
    assert not counts.overlapped
    assert counts.total == 3


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


def drawn(shown: BarDisplay, console: Console) -> list[str]:
    """The lines that a display has on the screen."""
    with console.capture() as captured:
        console.print(shown._render())
    return [re.sub("\x1b\\[[0-9;]*m", "", line).rstrip() for line in captured.get().splitlines()]


def test_the_lines_fit_a_narrow_terminal_and_never_become_fewer() -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24, highlight=False)
    shown = BarDisplay(console, clock=clock)
    shown.on_event(planned(5000))
    for number in range(1, 6):
        shown.on_event(events.TaskStarted(number, f"street {number} " + "long " * 20))
        shown.on_event(events.TransferStarted(number, 4096, 0))
    clock.now += 60
    lines = drawn(shown, console)
    assert len(lines) == MOST_LINES
    assert all(cell_len(line) <= 80 for line in lines)
    for number in range(1, 6):
        shown.on_event(done(number))
    assert len(drawn(shown, console)) == MOST_LINES


def test_a_low_terminal_gets_as_many_lines_as_it_has() -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=3, highlight=False)
    shown = BarDisplay(console, clock=clock)
    shown.on_event(planned(9))
    for number in range(1, 6):
        shown.on_event(events.TransferStarted(number, 4096, 0))
    clock.now += 60
    assert len(drawn(shown, console)) == 2


def test_of_what_a_plan_refused_for_one_cause_each_display_shows_the_first() -> None:
    clock, lines, quiet, verbose = Clock(), pipe(), pipe(), pipe()
    shows = (
        LineDisplay(lines, clock=clock),
        QuietDisplay(quiet),
        LineDisplay(verbose, verbose=True, clock=clock),
    )
    for shown in shows:
        for number in range(1, 11):
            shown.on_event(failed(number, f"cannot copy task {number}: it is there.", step="plan"))
    for written in map(written_to, (lines, quiet)):
        assert written.count(": it is there.") == MOST_FAILURES_ALIKE
    assert written_to(lines).endswith("failed: more for the same cause; the summary counts them.\n")
    assert written_to(quiet).endswith(
        "failed: more for the same cause; the report (--report-json) names them.\n"
    )
    assert written_to(verbose).count(": it is there.") == 10


def test_a_guard_is_a_refusal_and_no_warning() -> None:
    refused = events.Warned("no copy is removed: --expect is missing.", is_refusal=True)
    assert list(messages(refused, verbose=False)) == [
        "Refused: no copy is removed: --expect is missing."
    ]


def test_of_many_failures_alike_a_terminal_shows_the_first_and_a_pipe_all() -> None:
    clock, bar, lines = Clock(), terminal(), pipe()
    shows = (BarDisplay(bar, clock=clock), LineDisplay(lines, clock=clock))
    for shown in shows:
        shown.on_event(planned(20))
        for number in range(1, 11):
            shown.on_event(failed(number, f"cannot export task {number}: no data"))
        shown.on_event(failed(11, "another cause"))
    assert written_to(bar).count(": no data.") == MOST_FAILURES_ALIKE
    assert written_to(bar).count("more for the same cause") == 1
    assert "another cause" in written_to(bar)
    assert written_to(lines).count(": no data.") == 10
