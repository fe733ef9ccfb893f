"""Follow the tasks under way through their stages, by the events of a run.

`pace` predicts the time left from them, `accounting` sums up what the time went to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from asynccvat.core.targets import TargetKind
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ExportStarted,
    ImportFinished,
    ImportRequested,
    ImportStarted,
    Retrying,
    TaskDone,
    TaskStarted,
    TransferFinished,
    TransferProgress,
    TransferStarted,
    UploadProgress,
    UploadStarted,
)


class Stage(StrEnum):
    """What is done with a task at the moment."""

    PREPARING = "preparing"
    """It has begun, and nothing was requested or sent yet."""
    QUEUED = "queued"
    """Its export or import was requested. Whether a worker runs it is not known."""
    EXPORTING = "exporting"
    """A worker of the server exports it."""
    READY = "ready"
    """Its export is ready, and its archive is not being read yet."""
    DOWNLOADING = "downloading"
    """Its archive is being read."""
    SENDING = "sending"
    """Its file is being sent."""
    IMPORTING = "importing"
    """A worker of the server imports it."""
    WRITING = "writing"
    """Its archive is read and checked; its files get their final names."""
    CHECKING = "checking"
    """Its import has ended, and the server is asked what came of it."""
    RETRYING = "retrying"
    """A step failed, and is retried after a wait."""


AT_SERVER = (Stage.QUEUED, Stage.EXPORTING, Stage.IMPORTING)
"""Stages in which the server works on a task, or lets it wait."""

MOVING = (Stage.DOWNLOADING, Stage.SENDING)
"""Stages in which bytes pass through the network."""

AT_WORK = (*MOVING, Stage.EXPORTING, Stage.IMPORTING, Stage.WRITING, Stage.CHECKING)
"""Stages in which a task waits for no other one."""


@dataclass(slots=True)
class Flight:
    """One task under way. Times are seconds of the caller's clock.

    Attributes:
        task_id: The task, or the target of another kind.
        target: What `task_id` is the id of.
        name: Its name, "" if it is not known.
        stage: What is done with it.
        since: When this stage began.
        size: Bytes to read or to send, None if that is not known.
        moved: How many of them were read or sent.
        exported: Whether its export is ready.
        imports: Whether its import was requested.
        seconds: Seconds in each stage that is over. Time in the server's queue is not the task's
            own: while other exports end, it waits for them.
    """

    task_id: int
    target: TargetKind
    name: str
    stage: Stage
    since: float
    size: int | None = None
    moved: int = 0
    exported: bool = False
    imports: bool = False
    seconds: defaultdict[Stage, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def missing(self) -> int | None:
        """Bytes that are not read or sent yet; None if that is not known."""
        return None if self.size is None else max(0, self.size - self.moved)

    @property
    def share(self) -> float:
        """The share of its bytes that is read or sent, from 0 to 1."""
        # What broke off comes again, so more bytes can come than there are.
        return min(1.0, self.moved / self.size) if self.size else 0.0

    @property
    def has_moved(self) -> bool:
        """Whether all its bytes are read or sent."""
        return self.imports or self.stage in (Stage.WRITING, Stage.CHECKING)

    @property
    def own_seconds(self) -> float:
        """Seconds that were spent on this task alone, without its time in a queue."""
        return sum(self.seconds[stage] for stage in AT_WORK)

    @property
    def longest(self) -> Stage:
        """The stage that took most of `own_seconds`."""
        return max(AT_WORK, key=lambda stage: self.seconds[stage])


class Flights:
    """All tasks under way. A task that has its outcome is forgotten."""

    def __init__(self) -> None:
        """Begin without tasks."""
        self._flights: dict[int, Flight] = {}
        # Counted as tasks move: thousands of events a second ask for it.
        self._counts = dict.fromkeys(Stage, 0)
        self._freed_at = 0.0

    def __iter__(self) -> Iterator[Flight]:
        return iter(self._flights.values())

    def __len__(self) -> int:
        return len(self._flights)

    def count(self, *stages: Stage) -> int:
        """Return how many tasks are in one of these stages."""
        return sum(map(self._counts.__getitem__, stages))

    def leave_out(self, seconds: float, now: float) -> None:
        """Leave the last seconds out of the present stages: an outage is no task's own time."""
        for flight in self:
            flight.since = min(now, flight.since + seconds)

    def apply(self, event: Event, now: float) -> Flight | None:
        """Move a task to its next stage.

        Args:
            event: What happened.
            now: When, in seconds of the caller's clock.

        Returns:
            The task that has its outcome now. None if the event is no outcome, or nothing was
            done with the task.
        """
        match event:
            case TaskDone(outcome=outcome):
                done = self._flights.pop(outcome.task_id, None)
                if done is not None:
                    self._leave(done, now)
                    done.name = outcome.name or done.name
                return done
            case TaskStarted(task_id=task_id, name=name):
                self._enter(task_id, event.target, Stage.PREPARING, now).name = name
            case Retrying(task_id=int(task_id)):
                self._enter(task_id, event.target, Stage.RETRYING, now)
            case _:
                self._apply_to_server(event, now)
                self._apply_to_bytes(event, now)
        return None

    def _apply_to_server(self, event: Event, now: float) -> None:
        match event:
            case ExportRequested():
                flight = self._enter(event.task_id, event.target, Stage.QUEUED, now)
                flight.size, flight.moved, flight.exported = None, 0, False
            case ImportRequested():
                flight = self._enter(event.task_id, event.target, Stage.QUEUED, now)
                flight.moved, flight.imports = flight.size or flight.moved, True
            case ExportStarted():
                self._enter(event.task_id, event.target, Stage.EXPORTING, now)
            case ImportStarted():
                self._enter(event.task_id, event.target, Stage.IMPORTING, now)
            case ExportFinished():
                self._end_request(event, Stage.EXPORTING, Stage.READY, now).exported = True
            case ImportFinished():
                self._end_request(event, Stage.IMPORTING, Stage.CHECKING, now)
            case _:
                pass

    def _apply_to_bytes(self, event: Event, now: float) -> None:
        match event:
            case TransferStarted():
                flight = self._enter(event.task_id, event.target, Stage.DOWNLOADING, now)
                size = None if event.size is None else max(event.size - event.reused, 0)
                flight.size, flight.moved, flight.exported = size, 0, True
            case UploadStarted():
                flight = self._enter(event.task_id, event.target, Stage.SENDING, now)
                flight.size, flight.moved, flight.imports = event.size, 0, False
            case TransferProgress():
                self._move(event.task_id, event.transferred, Stage.DOWNLOADING, now)
            case UploadProgress():
                self._move(event.task_id, event.sent, Stage.SENDING, now)
            case TransferFinished():
                flight = self._enter(event.task_id, event.target, Stage.WRITING, now)
                flight.moved = flight.size or flight.moved
            case _:
                pass

    def _enter(self, task_id: int, target: TargetKind, stage: Stage, now: float) -> Flight:
        flight = self._flights.get(task_id)
        if flight is None:
            flight = self._flights[task_id] = Flight(task_id, target, "", stage, now)
        else:
            self._leave(flight, now)
            flight.stage, flight.since = stage, now
        self._counts[stage] += 1
        return flight

    def _end_request(
        self, event: ExportFinished | ImportFinished, worked: Stage, then: Stage, now: float
    ) -> Flight:
        """Move a task on. The end of the request before shows when its own turn came."""
        before = self._flights.get(event.task_id)
        asked_at = now if before is None or before.stage not in AT_SERVER else before.since
        queued = before is not None and before.stage is Stage.QUEUED
        flight = self._enter(event.task_id, event.target, then, now)
        if queued:
            turn = now - min(now, max(asked_at, self._freed_at))
            own = turn if event.seconds is None else min(event.seconds, now - asked_at)
            flight.seconds[worked] += own
            flight.seconds[Stage.QUEUED] -= own
        self._freed_at = now
        return flight

    def _move(self, task_id: int, size: int, stage: Stage, now: float) -> None:
        flight = self._flights.get(task_id)
        if flight is None:
            return
        flight.moved += size
        if flight.stage is Stage.RETRYING:
            self._enter(task_id, flight.target, stage, now)

    def _leave(self, flight: Flight, now: float) -> None:
        self._counts[flight.stage] -= 1
        flight.seconds[flight.stage] += max(0.0, now - flight.since)
