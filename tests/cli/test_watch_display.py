"""Check the lines of a watch: its rounds on stdout, its status line and failures on stderr."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from rich.console import Console

from asynccvat import (
    Action,
    OnChangeCommand,
    TaskChange,
    TaskOutcome,
    Watch,
    WatchRound,
    errors,
    events,
)
from asynccvat.cli.watch_display import WatchDisplay
from asynccvat.core.targets import TargetKind
from asynccvat.core.watching.rounds import TaskFailure
from asynccvat.core.watching.status import WatchState, WatchStatus

NOW = datetime.now(UTC)
STATUS = WatchStatus(
    destination="data",
    server="http://cvat",
    every=300.0,
    started=NOW,
    state=WatchState.WAITING,
    state_since=NOW,
    tasks=40,
)
HOSTILE = "\x1b[2Jstreet\n"


class Watched:
    """Stands for a watch of which only the status is read."""

    def __init__(self, status: WatchStatus) -> None:
        self.status = status


def console(*, terminal: bool = True, width: int = 100) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, highlight=False)


def err(shown: Console) -> str:
    assert isinstance(shown.file, io.StringIO)
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", shown.file.getvalue())


def changed(number: int, action: Action = Action.FETCHED) -> TaskChange:
    return TaskChange(task_id=number, name="n", action=action, path=f"/data/task{number}")


def ended(number: int = 2, **given: Any) -> WatchRound:
    return WatchRound(number=number, began=NOW, seconds=2.0, requests=5, **given)


def status_line(status: WatchStatus, *happened: events.Event, width: int = 100) -> str:
    """The status line that a terminal of a width shows."""
    shown = console(width=width)
    display = WatchDisplay(shown, verbose=False)
    display.show(cast("Watch", Watched(status)))
    for event in happened:
        display.on_event(event)
    with display:
        pass
    return [line.strip() for line in err(shown).splitlines() if line.strip()][-1]


def test_the_status_line_says_when_the_next_look_is() -> None:
    now = datetime.now(UTC)
    status = replace(
        STATUS.after(ended(), now - timedelta(days=2, minutes=30)),
        next_at=now + timedelta(days=3, minutes=30),
    )
    line = status_line(status)
    # A busy machine may take minutes from the first line of the test to here.
    expected = r"data: up to date 2d\d+m\w* ago; next look in 3d\d+m\w*; 40 tasks"
    assert re.fullmatch(expected, line), line


def test_the_status_line_says_why_the_mirror_is_not_up_to_date() -> None:
    failing = replace(STATUS, failing={3: TaskFailure(task_id=3, name="n", message="no")})
    line = status_line(failing.after(ended(failed=1), NOW))
    assert line == (
        "data: waiting; 40 tasks; not up to date: 1 task failed and will be tried again"
    )


def test_the_status_line_counts_what_is_mirrored() -> None:
    planned = events.Planned(fetch=7, keep=0, skip=0, move=0, remove=0, refuse=0)
    done = events.TaskDone(TaskOutcome(task_id=1, action=Action.FETCHED, reason="new"))
    line = status_line(replace(STATUS, state=WatchState.MIRRORING), planned, done)
    assert line == "data: mirroring 1 of 7 tasks; 40 tasks"


def test_the_status_line_says_what_is_watched() -> None:
    status = replace(STATUS, target=TargetKind.JOB, state=WatchState.LISTING)
    assert status_line(status) == "data: looking for changes; 40 jobs"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (WatchState.WAITING, "Stopping: nothing is under way."),
        (WatchState.CALLING, "Stopping: ending the commands of --on-change. Press Ctrl-C"),
        (WatchState.MIRRORING, "Stopping: cancelling this run's requests at the server."),
    ],
)
def test_a_signal_says_what_it_ends(state: WatchState, said: str) -> None:
    shown = console(terminal=False)
    display = WatchDisplay(shown, verbose=False)
    display.show(cast("Watch", Watched(replace(STATUS, state=state))))
    display.say_stopping()
    assert err(shown).startswith(said)


@pytest.mark.anyio
async def test_a_command_has_the_terminal_for_itself() -> None:
    shown = console()

    class Command(OnChangeCommand):
        async def __call__(self, _change: TaskChange) -> None:
            before = err(shown)
            display.end_round(ended(7, error=errors.ConnectError("no route")))
            written.append(err(shown).removeprefix(before))

    written: list[str] = []
    with WatchDisplay(shown, verbose=False) as display:
        display.show(cast("Watch", Watched(STATUS)))
        await display.beside(Command("train {path}"))(replace(changed(3), name=HOSTILE))
        before = len(err(shown))
    assert "Running 'train' for task 3 (" in err(shown)
    assert "data: waiting" not in written[0]
    assert "data: waiting" in err(shown)[:before].rpartition("no route")[2]
    assert isinstance(shown.file, io.StringIO)
    assert "\x1b[2J" not in shown.file.getvalue()


def test_the_status_line_is_cut_on_a_narrow_terminal() -> None:
    assert len(status_line(replace(STATUS, state=WatchState.LISTING), width=30)) <= 30


@pytest.mark.parametrize(
    ("terminal", "quiet"), [(False, False), (True, True)], ids=["piped", "quiet"]
)
def test_there_is_no_status_line_in_a_pipe_or_with_quiet(*, terminal: bool, quiet: bool) -> None:
    shown = console(terminal=terminal)
    with WatchDisplay(shown, verbose=False, quiet=quiet) as display:
        display.show(cast("Watch", Watched(STATUS)))
    assert err(shown) == ""


def test_a_round_with_changes_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    display = WatchDisplay(console(terminal=False), verbose=False)
    changes = (*map(changed, range(1, 5)), changed(9, Action.REMOVED))
    display.end_round(ended(changes=changes, changed=5, failed=2))
    out = capsys.readouterr().out
    assert out.rstrip().endswith(
        "4 fetched, 1 removed, 2 failed (2.0 s, 5 requests): task1, task2, task3 and 2 more"
    )


def test_a_quiet_round_is_a_line_with_verbose_alone(capsys: pytest.CaptureFixture[str]) -> None:
    WatchDisplay(console(terminal=False), verbose=False).end_round(ended())
    assert capsys.readouterr().out == ""
    WatchDisplay(console(terminal=False), verbose=True).end_round(ended())
    assert "nothing to do (2.0 s, 5 requests)" in capsys.readouterr().out


def test_names_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = console(terminal=False)
    display = WatchDisplay(shown, verbose=False)
    change = replace(changed(1), path=f"/data/{HOSTILE}")
    error = errors.ConnectError(f"no {HOSTILE}")
    display.end_round(
        ended(changes=(change,), changed=1, error=error, warnings=(f"on_change failed {HOSTILE}",))
    )
    assert isinstance(shown.file, io.StringIO)
    for text in (capsys.readouterr().out, shown.file.getvalue()):
        assert "\x1b" not in text


def test_an_error_says_that_it_is_tried_again() -> None:
    shown = console(terminal=False)
    display = WatchDisplay(shown, verbose=False)
    display.end_round(ended(7, error=errors.ConnectError("no route")))
    assert err(shown) == "Round 7 did not end: no route. It is tried again later.\n"


def test_the_destination_is_described_once() -> None:
    shown = console(terminal=False)
    display = WatchDisplay(shown, verbose=False)
    for text in ("data/ mirrors all", "data/ mirrors all; this run: task 2"):
        display.on_event(events.DestinationSettled(text))
    assert err(shown) == "data/ mirrors all\n"


def test_a_warning_is_told_again_only_after_it_was_gone() -> None:
    shown = console(terminal=False)
    display = WatchDisplay(shown, verbose=False)
    full: Any = {"full_because": "it is time for a full list"}
    for warned in (True, True, False, True):
        if warned:
            display.on_event(events.Warned("two tasks are absent"))
        display.end_round(ended(**full))
    assert err(shown).count("two tasks are absent") == 2
