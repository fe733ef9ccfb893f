"""Count the events of a run for its line of progress.

`messages` has the lines that stay, `display` the clock and the terminal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from asynccvat import (
    Action,
    TaskOutcome,
)
from asynccvat.cli.messages import unreachable
from asynccvat.cli.text import number_of_bytes, span
from asynccvat.cli.transfer_sizes import TransferSizes
from asynccvat.core.targets import TargetKind
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ExportStarted,
    ImportFinished,
    ImportRequested,
    ImportStarted,
    ListingRead,
    Planned,
    QueueStalled,
    Retrying,
    ServerBack,
    ServerUnreachable,
    TaskDone,
    TransferFinished,
    TransferProgress,
    TransferStarted,
    UploadProgress,
    UploadStarted,
)

_UNCHANGED = (Action.KEPT, Action.SKIPPED)
# Seconds without any movement after which nothing tells the time left.
_STILL_AFTER = 30.0
# Seconds over which a rate of bytes is measured at least.
_SHORTEST_RATE = 1.0


@dataclass(slots=True)
class Outages:
    """Outages of the server, for a line that changes.

    Attributes:
        away: Seconds of all outages that are over.
    """

    away: float = 0.0
    _now: ServerUnreachable | None = None
    _shown_at: float | None = None

    def apply(self, event: Event) -> None:
        """Note the begin or the end of an outage."""
        match event:
            case ServerUnreachable():
                self._now, self._shown_at = event, None
            case ServerBack():
                self._now = None
                self.away += event.seconds
            case _:
                pass

    def line(self, now: float) -> str | None:
        """Return for how long the server has not answered; None if it answers."""
        if self._now is None:
            return None
        # Events have no time: the first line after one is as good.
        self._shown_at = now if self._shown_at is None else self._shown_at
        return unreachable(self._now, self._now.seconds + now - self._shown_at)


@dataclass(slots=True)
class Movement:
    """Whether the run moves. While it stands still, nothing tells the time left."""

    _stalled: bool = False
    _seen: tuple[float, int] | None = None
    _since: float = 0.0

    def apply(self, event: Event) -> None:
        """Note that the server's queue stands still, or that something left it."""
        match event:
            case QueueStalled():
                self._stalled = True
            case ExportStarted() | ExportFinished() | ImportStarted() | ImportFinished():
                self._stalled = False
            case _:
                pass

    def is_still(self, work: float, transferred: int, now: float) -> bool:
        """Whether nothing left the queue for long, or neither work nor bytes grew for a while."""
        if self._seen != (work, transferred):
            self._seen, self._since = (work, transferred), now
        return self._stalled or now - self._since >= _STILL_AFTER


@dataclass(slots=True)
class Progress:
    """The counts of one run.

    Attributes:
        started: The time of the start, in seconds of the clock of `overall`.
        listed: Tasks in the server's list; None until it is read.
        target: What is listed: tasks, projects or jobs.
        uploads: Whether files are sent instead of fetched.
        total: Tasks to fetch, upload, move, remove or refuse; None until there is a plan.
        done: How many of these tasks have an outcome.
        failed: How many of these tasks failed.
        transferred: Bytes of archives received, or of files sent.
        at_server: Tasks whose export or import waits or runs at the server. It is rarely known
            which of them run, since most exports are never polled.
        transferring: Tasks whose archive is being received, or whose file is being sent.
        retrying: Tasks one of whose steps failed, and is tried again after a wait.
        outages: The outages of the server: they are no part of the rates.
        movement: Whether the run moves.
        sizes: How far the archives and files under way are.
    """

    started: float
    listed: int | None = None
    target: TargetKind = TargetKind.TASK
    uploads: bool = False
    total: int | None = None
    done: int = 0
    failed: int = 0
    transferred: int = 0
    at_server: set[int] = field(default_factory=set)
    transferring: set[int] = field(default_factory=set)
    retrying: set[int] = field(default_factory=set)
    outages: Outages = field(default_factory=Outages)
    movement: Movement = field(default_factory=Movement)
    sizes: TransferSizes = field(default_factory=TransferSizes)
    # Tasks without work whose outcome is yet to come.
    _idle: int = 0
    # Seconds of the run when its first bytes were seen, and how many these were.
    _first_bytes: tuple[float, int] | None = None

    def apply(self, event: Event) -> None:
        """Count an event."""
        match event:
            case ListingRead():
                self.listed, self.target = event.tasks, event.target
            case Planned():
                self.uploads = event.upload > 0
                to_do = event.fetch + event.upload + event.move + event.remove
                self.total = to_do + event.refuse
                self._idle = event.keep + event.skip
            case ExportRequested() | ImportRequested() | ExportStarted() | ImportStarted():
                self._move(event.task_id, self.at_server)
            case TransferStarted() | UploadStarted():
                self._move(event.task_id, self.transferring)
            case ExportFinished() | ImportFinished() | TransferFinished():
                self._move(event.task_id, None)
            case Retrying(task_id=int(task_id)):
                self._move(task_id, self.retrying)
            case TransferProgress():
                self.transferred += event.transferred
                self._resume(event.task_id)
            case UploadProgress():
                self.transferred += event.sent
                self._resume(event.task_id)
            case TaskDone():
                self._move(event.outcome.task_id, None)
                self._finish(event.outcome)
            case _:
                self.outages.apply(event)
        self.movement.apply(event)
        self.sizes.apply(event)

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1: tasks, and bytes of those under way."""
        return min(1.0, self._work / self.total) if self.total else 0.0

    @property
    def _work(self) -> float:
        return self.done + self.sizes.shares

    def overall(self, now: float) -> str:
        """Return tasks, bytes, rates and the time left in one line; in an outage, its length."""
        if (outage := self.outages.line(now)) is not None:
            return outage
        if self.total is None:
            return f"listing {self.target.plural}" if self.listed is None else "planning"
        seconds = max(now - self.started - self.outages.away, 1e-9)
        parts = [
            f"{self.done:,}/{self.total:,} {self.target.plural}",
            number_of_bytes(self.transferred),
        ]
        rate = self._bytes_per_second(seconds)
        if self.done or self.transferred:
            parts.append(f"{number_of_bytes(rate)}/s")
        if self.done:
            parts.append(f"{self.done / seconds:.1f} {self.target.plural}/s")
        still = self.movement.is_still(self._work, self.transferred, now)
        left = None if still else self._seconds_left(seconds, rate)
        if left is not None:
            parts.append(f"{span(left)} left")
        return ", ".join(parts)

    def _bytes_per_second(self, seconds: float) -> float:
        """Return the mean rate since bytes were first seen: the exports before took time, too."""
        if self._first_bytes is None and self.transferred:
            self._first_bytes = (seconds, self.transferred)
        since, before = self._first_bytes or (0.0, 0)
        if seconds - since < _SHORTEST_RATE:
            return self.transferred / seconds
        return (self.transferred - before) / (seconds - since)

    def _seconds_left(self, seconds: float, rate: float) -> float | None:
        """Return the time left, None while nothing tells it or nothing is left."""
        assert self.total is not None
        unfinished = self.total - self.done
        if unfinished <= 0:
            return None
        missing = self.sizes.missing
        if missing is not None and self.sizes.under_way == unfinished and rate > 0:
            return missing / rate
        return seconds / self._work * (self.total - self._work) if self._work else None

    def stages(self) -> str:
        """Return in one line how many tasks are in which stage."""
        parts = [
            f"{len(self.at_server)} at the server",
            f"{len(self.transferring)} {'uploading' if self.uploads else 'downloading'}",
        ]
        if self.retrying:
            parts.append(f"{len(self.retrying)} retrying")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)

    def _finish(self, outcome: TaskOutcome) -> None:
        # Tasks without work are not in the total. Some others turn out to need nothing.
        if outcome.action in _UNCHANGED and self._idle > 0:
            self._idle -= 1
            return
        self.done += 1
        self.failed += outcome.action is Action.FAILED

    def _resume(self, task_id: int) -> None:
        if task_id in self.retrying:
            self._move(task_id, self.transferring)

    def _move(self, task_id: int, to: set[int] | None) -> None:
        for stage in (self.at_server, self.transferring, self.retrying):
            stage.discard(task_id)
        if to is not None:
            to.add(task_id)
