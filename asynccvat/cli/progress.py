"""Word the numbers of a run for its display.

`asynccvat.progress` counts the events, `messages` has the lines that stay, `display` the clock and
the terminal.
"""

from __future__ import annotations

from asynccvat.cli.text import counted, number_of_bytes, printable, span
from asynccvat.cli.verb_words import VerbWords
from asynccvat.core.quantities import duration_text
from asynccvat.core.targets import TargetKind
from asynccvat.events import Event
from asynccvat.progress import Cause, Flight, Outage, RunProgress, Stage

# Seconds in one stage after which a task is named.
_SLOW = 10.0
# Seconds that a run has to go on until it says what it waits for.
_EARLY = 3.0
# The share of a limit from which on it counts as reached.
_NEARLY = 0.85


class Progress:
    """The numbers of one run, in words."""

    def __init__(self, started: float, words: VerbWords = VerbWords()) -> None:
        """Begin to count.

        Args:
            started: The time of the start, in seconds of the display's clock.
            words: The words of the command.
        """
        self.run = RunProgress(started)
        self._words = words

    @property
    def _nouns(self) -> str:
        noun = self._words.noun
        return self.run.target.plural if noun is None else f"{noun}s"

    @property
    def total(self) -> int | None:
        """Tasks with something to do; None until there is a plan."""
        return self.run.total

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        return self.run.fraction

    def apply(self, event: Event, now: float) -> None:
        """Count an event."""
        self.run.apply(event, now)

    def overall(self, now: float) -> str:
        """Return tasks, bytes, rates and the time left in one line; in an outage, its length."""
        run = self.run
        if run.outage is not None:
            return unreachable(run.outage, now)
        if run.total is None:
            listing = self._words.before or f"listing {self._nouns}"
            return listing if run.listed is None else "planning"
        parts = [f"{run.done:,}/{run.total:,} {self._nouns}"]
        if (rate := run.bytes_per_second(now)) is not None:
            parts += [number_of_bytes(run.transferred), f"{number_of_bytes(round(rate))}/s"]
        if run.done and (tasks := run.tasks_per_second(now)) is not None:
            parts.append(_rate(tasks, self._nouns))
        if (left := run.seconds_left(now)) is not None:
            parts.append(f"{span(left)} left")
        return ", ".join(parts)

    def stages(self, now: float) -> str:
        """Return in one line how many tasks are in which stage."""
        counts = self.run.stages(now)
        parts = [f"{count:,} {self._words.stage_word(stage)}" for stage, count in counts.items()]
        if self.run.failed:
            parts.append(f"{self.run.failed:,} failed")
        return ", ".join(parts)

    def details(self, now: float) -> list[str]:
        """Return what the run waits for and what would help, and the slowest tasks."""
        run = self.run
        lines = []
        if run.total is not None and run.seconds(now) >= _EARLY:
            lines = [line for line in [self._waits(now)] if line]
        slow = run.slowest(now, after=_SLOW)
        return lines + [_slow(one, self._words.stage_word(one.stage), now) for one in slow]

    def _waits(self, now: float) -> str:
        """Return what the run waits for, and what would help; "" if there is nothing to say."""
        run = self.run
        if run.stall is not None:
            return str(run.stall)
        match run.waits_for(now):
            case Cause.SERVER:
                return self._server(now)
            case Cause.NETWORK:
                return self._network(now)
            case Cause.DISK:
                writing = run.flights.count(Stage.WRITING, Stage.DOWNLOADING)
                return f"Waiting for the disk: {writing} being written"
            case Cause.PAUSE:
                return f"Waiting for {span(run.pause_left(now))}: the server asked for a pause"
            case Cause.RETRIES:
                return f"Waiting to try again: {printable(run.retry_error)}"
            case _:
                return ""

    def _network(self, now: float) -> str:
        run = self.run
        moving = run.flights.count(Stage.DOWNLOADING, Stage.SENDING) + run.opening
        noun = "upload" if run.uploads else "download"
        told = f"Waiting for the network: {counted(moving, noun)}"
        rate = run.bytes_per_second(now)
        if run.bandwidth is not None and rate is not None and rate >= _NEARLY * run.bandwidth:
            return f"{told}, at the {number_of_bytes(run.bandwidth)}/s of --bwlimit"
        if run.transfers is None or moving < max(2, run.transfers):
            return told
        return f"{told} at once, as --transfers allows"

    def _server(self, now: float) -> str:
        imports = sum(flight.imports for flight in self.run.flights)
        if imports > len(self.run.flights) / 2:
            return "Waiting for the server: imports. More workers there would help"
        rate = self.run.exports_per_second(now)
        running = self.run.stages(now).get(Stage.EXPORTING, 0)
        told = f"{counted(running, 'export')} at once" if running else "exports"
        told += "" if rate is None else f", {_number(rate)}/s"
        return f"Waiting for the server: {told}. More workers there would help"


def unreachable(outage: Outage, now: float) -> str:
    """Return the line for a server that does not answer."""
    since, most = span(now - outage.since), duration_text(outage.wait)
    return f"no answer from the server for {since}; waiting up to {most} (--wait-for-server)"


def named(task_id: int, name: str, target: TargetKind) -> str:
    """Name a task for a person: `street-0031 (task 31)`, or `task 31`."""
    return f"{printable(name)} ({target} {task_id})" if name else f"{target} {task_id}"


def _slow(flight: Flight, how: str, now: float) -> str:
    """Return the line for a task that takes long."""
    if flight.size and flight.stage in (Stage.DOWNLOADING, Stage.SENDING):
        how += f" {flight.share:.0%} of {number_of_bytes(flight.size)}"
    # The end is cut off on a narrow terminal: what matters comes first.
    return (
        f"  {span(now - flight.since)} {how}: {named(flight.task_id, flight.name, flight.target)}"
    )


def _rate(a_second: float, nouns: str) -> str:
    if 0 < a_second < 0.1:
        return f"{_number(a_second * 60)} {nouns}/min"
    return f"{_number(a_second)} {nouns}/s"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
