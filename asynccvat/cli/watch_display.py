"""Show a watch: a line for each round that did something, a status line on a terminal.

Rounds are results and go to stdout. Failures, warnings and the status line go to stderr.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from asynccvat import Event, OnChangeCommand, TaskChange, Watch, WatchRound
from asynccvat.cli import output
from asynccvat.cli.messages import messages
from asynccvat.cli.runs import STOPPING
from asynccvat.cli.text import counted, ended, printable, span
from asynccvat.cli.wrapping import wrapped
from asynccvat.core.quantities import duration_text
from asynccvat.core.texts import first_few
from asynccvat.events import DestinationSettled, Planned, RunFinished, TaskDone, Warned
from asynccvat.models import WatchState

_REFRESHES_PER_SECOND = 2
_FOLDERS_SHOWN = 3
_STOPPING: Mapping[WatchState | None, str] = {
    WatchState.WAITING: "Stopping: nothing is under way.",
    WatchState.CALLING: (
        "Stopping: ending the commands of --on-change. Press Ctrl-C again to exit at once."
    ),
}


class WatchDisplay:
    """Shows one watch."""

    def __init__(
        self, console: Console, *, verbose: bool, quiet: bool = False, as_lines: bool = False
    ) -> None:
        """Show a watch on stderr and stdout.

        Args:
            console: The console of stderr.
            verbose: Also show rounds without changes, and a line for each task.
            quiet: Show failures and warnings only.
            as_lines: Write each round as a line of JSON.
        """
        self._console = console
        self._verbose, self._quiet, self._as_lines = verbose, quiet, as_lines
        self._watch: Watch | None = None
        self._total = self._done = 0
        self._is_settled = False
        self._warned: set[str] = set()
        self._warned_before: set[str] = set()
        self._live: Live | None = None
        self._commands = 0

    def __enter__(self) -> Self:
        console = self._console
        if console.is_terminal and not console.is_dumb_terminal and not self._quiet:
            self._live = Live(
                console=console,
                get_renderable=self._line,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, watch: Watch) -> None:
        """Show the status of this watch from now on."""
        self._watch = watch

    def beside(self, on_change: OnChangeCommand) -> Callable[[TaskChange], Awaitable[None]]:
        """Return what runs a command without the status line, as both may write to one terminal."""

        async def call(change: TaskChange) -> None:
            if self._commands == 0:
                which = printable(f"{change.target} {change.task_id} ({change.name})")
                self._hide(f"Running {on_change.program!r} for {which}.")
            self._commands += 1
            try:
                await on_change(change)
            finally:
                self._commands -= 1
                if self._commands == 0 and self._live is not None:
                    self._live.start(refresh=True)

        return call

    def _hide(self, because: str) -> None:
        """Take the status line away, and write why."""
        if self._live is not None:
            self.say(because)
            self._live.stop()

    def say(self, line: str) -> None:
        """Write a message to stderr; above a status line it is wrapped at words."""
        lines = [line] if self._live is None else wrapped(line, self._console.width)
        self._console.print(Text("\n".join(lines)), soft_wrap=True)

    def say_stopping(self) -> None:
        """Write that a signal came, and what is ended because of it."""
        state = None if self._watch is None else self._watch.status.state
        self.say(_STOPPING.get(state, STOPPING))

    def on_event(self, event: Event) -> None:
        """Count an event of a mirror, and write its messages, each once while it stays true."""
        match event:
            case Planned():
                self._total, self._done = event.fetch, 0
            case TaskDone(outcome=outcome) if outcome.reason != "unchanged":
                self._done += 1
            case DestinationSettled():
                if self._is_settled:
                    return  # it tells of each round which tasks that is for
                self._is_settled = True
            case Warned(message=message):
                self._warned.add(message)
                if message in self._warned_before:
                    return
            case _:
                pass
        if self._quiet and not isinstance(event, TaskDone | RunFinished | Warned):
            return
        for line in messages(event, verbose=self._verbose):
            self.say(line)

    def end_round(self, done: WatchRound) -> None:
        """Write what a round did."""
        if done.full_because is not None:
            self._warned_before = self._warned
            self._warned = set()
        self._total = self._done = 0
        for warning in done.warnings:
            if warning.startswith("on_change failed"):
                self.say(f"warning: {printable(warning.replace('on_change', '--on-change', 1))}")
        if done.error is not None:
            why = ended(printable(str(done.error)))
            self.say(f"Round {done.number:,} did not end: {why} It is tried again later.")
        if self._as_lines:
            self._write(lambda: output.write_json_line(done.to_json()))
        elif self._is_worth_a_line(done):
            self._write(lambda: output.write(_round_line(done)))

    def _write(self, write: Callable[[], None]) -> None:
        """Write to stdout. Hides the status line during that, as both may be one terminal."""
        shown = self._live if self._commands == 0 else None
        if shown is not None:
            shown.stop()
        write()
        output.flush()
        if shown is not None:
            shown.start(refresh=True)

    def _is_worth_a_line(self, done: WatchRound) -> bool:
        if self._quiet:
            return False
        return bool(done.changed or done.failed or self._verbose) or (
            done.number == 1 and done.error is None
        )

    def _line(self) -> Text:
        """Return the status line."""
        if self._watch is None:
            return Text("connecting", style="dim")
        status = self._watch.status
        now = datetime.now(UTC)
        noun = str(status.target)
        parts = [str(status.state)]
        if status.next_at is not None:
            seconds = max((status.next_at - now).total_seconds(), 0)
            parts = [f"next look in {duration_text(round(seconds))}"]
        elif status.state is WatchState.MIRRORING and self._total:
            parts[0] += f" {self._done:,} of {counted(self._total, noun)}"
        if status.is_up_to_date and status.up_to_date_at is not None:
            ago = (now - status.up_to_date_at).total_seconds()
            parts.insert(0, f"up to date {duration_text(round(max(ago, 0)))} ago")
        if status.tasks:
            parts.append(counted(status.tasks, noun))
        if status.rounds and not status.is_up_to_date:
            # Last, since a narrow terminal cuts it.
            parts.append(f"not up to date: {printable(status.problem)}")
        line = "; ".join(parts)
        return Text(f"{status.destination}: {line}", style="dim", no_wrap=True, overflow="ellipsis")


def _round_line(done: WatchRound) -> str:
    """Return the line for a round that ended."""
    counts = Counter(str(change.action) for change in done.changes)
    parts = [f"{count:,} {action}" for action, count in counts.items()]
    if done.failed:
        parts.append(f"{done.failed:,} failed")
    folders = [change.path.rpartition("/")[2] for change in done.changes]
    which = f": {first_few(folders, _FOLDERS_SHOWN)}" if folders else ""
    began = done.began.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    what = ", ".join(parts) or "nothing to do"
    return printable(
        f"{began} {what} ({span(done.seconds)}, {counted(done.requests, 'request')}){which}"
    )
