"""What is shown while a run lasts: a bar on a terminal, plain lines now and then elsewhere.

All of it goes to stderr; results are `output`'s business. What the numbers are is `progress`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asynccvat.cli.progress import Progress, messages
from asynccvat.events import Event

LINES_EVERY_SECONDS = 5.0
"""Where there is no terminal: at most one line of progress in so many seconds."""

_BAR_WIDEST, _BAR_NARROWEST = 30, 6

Clock = Callable[[], float]


class Display(Protocol):
    """Shows a run; `on_event` is what the engine is given."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def on_event(self, event: Event) -> None:
        """Show what happened."""

    def say(self, line: str) -> None:
        """Show a line of its own."""


class Counts(Protocol):
    """How a run stands; `Progress` for those of the engine."""

    @property
    def total(self) -> int | None:
        """How much there is to do; None until that is known."""

    @property
    def fraction(self) -> float:
        """The share that is done, from 0 to 1."""

    def apply(self, event: Event) -> None:
        """Count one event in."""

    def overall(self, now: float) -> str:
        """How far it is, in one line."""

    def stages(self) -> str:
        """What else there is to say, in one line."""


def display(
    console: Console,
    *,
    verbose: bool,
    clock: Clock = time.monotonic,
    counts: Callable[[float], Counts] = Progress,
) -> Display:
    """The display that suits where stderr goes.

    Args:
        console: That of stderr.
        verbose: Show retries, too.
        clock: Seconds.
        counts: Makes what counts the events, from the moment of the start.
    """
    if console.is_terminal and not console.is_dumb_terminal:
        return BarDisplay(console, verbose=verbose, clock=clock, counts=counts)
    return LineDisplay(console, verbose=verbose, clock=clock, counts=counts)


class LineDisplay:
    """Plain lines: each failure at once, progress no more often than `every` seconds."""

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
        self._said = clock()
        self._progress = counts(self._said)

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
        """Count the event in, and write what is due."""
        self._progress.apply(event)
        for line in messages(event, verbose=self._verbose):
            self.say(line)
        now = self._clock()
        if now - self._said >= self._every:
            self._said = now
            progress = self._progress
            stages = "" if progress.total is None else f"; {progress.stages()}"
            self.say(f"{progress.overall(now)}{stages}")

    def say(self, line: str) -> None:
        """Write one line, unwrapped."""
        self._console.print(Text(line), soft_wrap=True)


class BarDisplay:
    """A bar with two lines of numbers at the foot of a terminal; messages scroll above it."""

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
        self._progress = counts(clock())
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=8,
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
        """Count the event in; the bar is drawn by its own thread."""
        self._progress.apply(event)
        for line in messages(event, verbose=self._verbose):
            self.say(line)

    def say(self, line: str) -> None:
        """Write one line above the bar."""
        style = "red" if line.startswith("failed:") else "yellow"
        self._console.print(Text(line, style=style), soft_wrap=True)

    def _render(self) -> Group:
        progress = self._progress
        overall = Table.grid(padding=(0, 1))
        waiting = progress.total is None
        numbers = Text(progress.overall(self._clock()), no_wrap=True, overflow="ellipsis")
        # The numbers come first where a terminal is narrow: a second line of them would jump.
        width = max(_BAR_NARROWEST, min(_BAR_WIDEST, self._console.width - numbers.cell_len - 2))
        bar = ProgressBar(total=1.0, completed=progress.fraction, width=width, pulse=waiting)
        overall.add_row(bar, numbers)
        stages = "" if waiting else progress.stages()
        return Group(overall, Text(stages, style="dim", no_wrap=True, overflow="ellipsis"))
