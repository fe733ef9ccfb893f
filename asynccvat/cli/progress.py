"""How a run stands, counted from its events. No clock and no terminal: `display` has those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from asynccvat import Action, TaskOutcome
from asynccvat.cli.text import number_of_bytes, printable, span
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ExportStarted,
    ListingRead,
    Planned,
    Retrying,
    ServerPaused,
    TaskDone,
    TransferFinished,
    TransferProgress,
    TransferStarted,
    Warned,
)


@dataclass(slots=True)
class Progress:
    """The counts of one run.

    Attributes:
        started: When the run began, in seconds of the clock that `overall` is given, too.
        listed: Tasks that the server's list has; None until it is read.
        total: Tasks to fetch, move, remove or refuse; None until the plan stands.
        done: How many of them have their outcome.
        failed: How many of those failed.
        transferred: Bytes of archives received.
        queued: Tasks whose export waits in the server's queue.
        exporting: Tasks that the server is exporting.
        transferring: Tasks whose archive is being read.
    """

    started: float
    listed: int | None = None
    total: int | None = None
    done: int = 0
    failed: int = 0
    transferred: int = 0
    queued: set[int] = field(default_factory=set)
    exporting: set[int] = field(default_factory=set)
    transferring: set[int] = field(default_factory=set)

    def apply(self, event: Event) -> None:
        """Count one event in."""
        match event:
            case ListingRead():
                self.listed = event.tasks
            case Planned():
                self.total = event.fetch + event.move + event.remove + event.refuse
            case ExportRequested():
                self._move(event.task_id, self.queued)
            case ExportStarted():
                self._move(event.task_id, self.exporting)
            case TransferStarted():
                self._move(event.task_id, self.transferring)
            case ExportFinished() | TransferFinished():
                self._move(event.task_id, None)
            case TransferProgress():
                self.transferred += event.transferred
            case TaskDone():
                self._move(event.outcome.task_id, None)
                self._finish(event.outcome)
            case _:
                pass

    @property
    def fraction(self) -> float:
        """The share of the tasks that is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    def overall(self, now: float) -> str:
        """Tasks, bytes, rates and the time left, in one line."""
        if self.total is None:
            return "listing the tasks" if self.listed is None else "planning"
        seconds = max(now - self.started, 1e-9)
        parts = [f"{self.done:,}/{self.total:,} tasks", number_of_bytes(self.transferred)]
        if self.done:
            parts.append(f"{number_of_bytes(self.transferred / seconds)}/s")
            parts.append(f"{self.done / seconds:.1f} tasks/s")
            if self.done < self.total:
                left = seconds / self.done * (self.total - self.done)
                parts.append(f"{span(left)} left")
        return ", ".join(parts)

    def stages(self) -> str:
        """How many tasks are where, in one line."""
        parts = [
            f"{len(self.queued)} queued at the server",
            f"{len(self.exporting)} exporting",
            f"{len(self.transferring)} transferring",
        ]
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)

    def _finish(self, outcome: TaskOutcome) -> None:
        # Where there is nothing to do, nothing was counted into the total.
        if outcome.action not in (Action.KEPT, Action.SKIPPED):
            self.done += 1
            self.failed += outcome.action is Action.FAILED

    def _move(self, task_id: int, to: set[int] | None) -> None:
        for stage in (self.queued, self.exporting, self.transferring):
            stage.discard(task_id)
        if to is not None:
            to.add(task_id)


def messages(event: Event, *, verbose: bool) -> Iterator[str]:
    """What of an event deserves a line of its own: failures and warnings, and retries if asked."""
    match event:
        case TaskDone(outcome=outcome):
            if outcome.action is Action.FAILED:
                yield failure(outcome)
            for warning in outcome.warnings:
                yield f"warning: task {outcome.task_id}: {printable(warning)}"
        case Warned():
            yield f"warning: {printable(event.message)}"
        case ServerPaused():
            yield f"the server asked for a pause of {span(event.seconds)}"
        case Retrying() if verbose:
            whose = "" if event.task_id is None else f"task {event.task_id}: "
            yield f"{whose}{event.step} again in {span(event.delay)}: {printable(event.error)}"
        case _:
            pass


def failure(outcome: TaskOutcome) -> str:
    """One line for a task that failed."""
    return f"failed: {printable(outcome.failure)}"
