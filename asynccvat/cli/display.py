"""Show progress on stderr: a bar on a terminal, plain lines elsewhere.

`progress` and `verify_progress` count the numbers; `output` writes the results.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asynccvat.cli.alike import AlikeFailures
from asynccvat.cli.messages import messages
from asynccvat.cli.progress import Progress
from asynccvat.cli.wrapping import is_ci, wrapped
from asynccvat.events import Event, RunFinished, ServerUnreachable, TaskDone, Warned

LINES_EVERY_SECONDS = 5.0
"""Seconds between two lines of progress at first, if stderr is no terminal."""

LINES_EVERY_SECONDS_AT_MOST = 60.0
"""Seconds between two lines in a long run."""

# In between, so long is the pause compared with the run so far.
_SHARE_OF_TIME = 0.05

REFRESHES_A_SECOND = 5
"""How often the lines on a terminal are drawn again."""

MOST_LINES = 6
"""The most lines that progress takes on a terminal."""

# The line of an outage leaves three characters of 80.
_BAR_WIDEST, _BAR_NARROWEST = 30, 3

# By the first word of a message.
_STYLES = {"failed:": "red", "warning:": "yellow", "Refused:": "yellow"}

Clock = Callable[[], float]


class Display(Protocol):
    """Shows a run. The engine calls `on_event`.

    Attributes:
        counts: The counts that it shows, None if it shows none.
    """

    @property
    def counts(self) -> Counts | None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def on_event(self, event: Event) -> None:
        """Show an event."""

    def say(self, line: str) -> None:
        """Show a message on a separate line."""


class Counts(Protocol):
    """The counts that a display shows: `Progress` or `VerifyCounts`."""

    @property
    def total(self) -> int | None:
        """How much there is to do; None until it is known."""

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1."""

    def apply(self, event: Event, now: float) -> None:
        """Count an event."""

    def overall(self, now: float) -> str:
        """Return the progress in one line."""

    def stages(self, now: float) -> str:
        """Return further numbers in one line."""

    def details(self, now: float) -> list[str]:
        """Return what is waited for, and what is slow: a line each."""


def display(
    console: Console,
    *,
    verbose: bool,
    quiet: bool = False,
    clock: Clock = time.monotonic,
    counts: Callable[[float], Counts] = Progress,
) -> Display:
    """Return the display that suits stderr.

    Args:
        console: The console of stderr.
        verbose: Also show retries, and a line for each task.
        quiet: Show failures and warnings only.
        clock: Returns seconds.
        counts: Makes the counts; called with the time of the start.
    """
    if quiet:
        return QuietDisplay(console)
    if console.is_terminal and not console.is_dumb_terminal and not is_ci():
        return BarDisplay(console, verbose=verbose, clock=clock, counts=counts)
    return LineDisplay(console, verbose=verbose, clock=clock, counts=counts)


class QuietDisplay:
    """Failures and warnings, as plain lines."""

    counts: Counts | None = None

    def __init__(self, console: Console) -> None:
        self._console = console
        self._alike = AlikeFailures("the report (--report-json) names them", of_plans=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def on_event(self, event: Event) -> None:
        """Write the messages of an event, if it is about a failure or a warning."""
        if isinstance(event, TaskDone | RunFinished | Warned):
            for line in self._alike.limited(event, messages(event, verbose=False)):
                self.say(line)

    def say(self, line: str) -> None:
        """Write one line without wrapping."""
        self._console.print(Text(line), soft_wrap=True)


class LineDisplay:
    """Plain lines: messages at once, progress now and then, also while nothing happens.

    In a long run the lines become fewer: a log of a day has about 1,500 of them.
    """

    def __init__(
        self,
        console: Console,
        *,
        verbose: bool = False,
        clock: Clock = time.monotonic,
        every: float = LINES_EVERY_SECONDS,
        counts: Callable[[float], Counts] = Progress,
    ) -> None:
        self._console = console
        self._verbose = verbose
        self._clock = clock
        self._every = every
        self._began = self._said = clock()
        self._alike = AlikeFailures("the summary counts them", of_plans=True)
        self.counts = counts(self._said)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._beating = threading.Thread(target=self._beat, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._beating.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._beating.join()

    def on_event(self, event: Event) -> None:
        """Count an event; write its messages, and progress if it is time."""
        with self._lock:
            self.counts.apply(event, self._clock())
        lines = messages(event, verbose=self._verbose)
        for line in lines if self._verbose else self._alike.limited(event, lines):
            self.say(line)
        self._say_progress()

    def say(self, line: str) -> None:
        """Write one line without wrapping."""
        self._console.print(Text(line), soft_wrap=True)

    def _beat(self) -> None:
        """Write progress while no event comes. Runs in a thread."""
        while not self._ended.wait(self._every):
            self._say_progress()

    def _say_progress(self) -> None:
        """Write progress if it is time."""
        with self._lock:
            now = self._clock()
            usual = _SHARE_OF_TIME * (now - self._began)
            if now - self._said < max(self._every, min(usual, LINES_EVERY_SECONDS_AT_MOST)):
                return
            self._said = now
            counts = self.counts
            parts = [counts.overall(now)]
            if counts.total is not None:
                parts += [counts.stages(now), *counts.details(now)[:1]]
        self.say("; ".join(filter(None, parts)))


class BarDisplay:
    """A bar and a few lines of numbers at the bottom of a terminal; messages scroll above.

    The lines never become fewer during a run: what follows them on the screen would jump.
    """

    def __init__(
        self,
        console: Console,
        *,
        verbose: bool = False,
        clock: Clock = time.monotonic,
        counts: Callable[[float], Counts] = Progress,
    ) -> None:
        self._console = console
        self._verbose = verbose
        self._clock = clock
        self.counts = counts(clock())
        # Another thread draws what the events change.
        self._lock = threading.Lock()
        self._alike = AlikeFailures("the summary counts them")
        self._height = 0
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=REFRESHES_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def on_event(self, event: Event) -> None:
        """Count an event; another thread draws the bar."""
        with self._lock:
            self.counts.apply(event, self._clock())
        if isinstance(event, ServerUnreachable):
            return  # a line that changes says it
        lines = messages(event, verbose=self._verbose)
        for line in lines if self._verbose else self._alike.limited(event, lines):
            self.say(line)

    def say(self, line: str) -> None:
        """Write a message above the bar, wrapped at words."""
        style = _STYLES.get(line.partition(" ")[0], "")
        lines = "\n".join(wrapped(line, self._console.width))
        self._console.print(Text(lines, style=style), soft_wrap=True)

    def _render(self) -> Group:
        with self._lock:
            return self._drawn()

    def _drawn(self) -> Group:
        progress, now = self.counts, self._clock()
        overall = Table.grid(padding=(0, 1))
        waiting = progress.total is None
        numbers = Text(progress.overall(now), no_wrap=True, overflow="ellipsis")
        # On a narrow terminal the bar shrinks before the numbers: wrapped numbers would flicker.
        width = max(_BAR_NARROWEST, min(_BAR_WIDEST, self._console.width - numbers.cell_len - 2))
        bar = ProgressBar(total=1.0, completed=progress.fraction, width=width, pulse=waiting)
        overall.add_row(bar, numbers)
        lines = [] if waiting else [progress.stages(now), *progress.details(now)]
        room = max(0, min(MOST_LINES, self._console.height - 1) - 1)
        lines = lines[:room]
        self._height = min(max(self._height, len(lines)), room)
        lines += [""] * (self._height - len(lines))
        shown = [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines]
        return Group(overall, *shown)
