"""How a run stands, counted from its events. No clock and no terminal: `display` has those."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from asynccvat import (
    Action,
    AuthenticationError,
    ConfigError,
    RunReport,
    StoreLockedError,
    TaskOutcome,
)
from asynccvat.cli.text import counted, number_of_bytes, printable, span
from asynccvat.errors import DiskFullError, DriveError
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
    Retrying,
    RunFinished,
    ServerPaused,
    TaskDone,
    TransferFinished,
    TransferProgress,
    TransferStarted,
    UploadProgress,
    UploadStarted,
    Warned,
)

_NOTHING_DONE = (Action.KEPT, Action.SKIPPED)
# These end a run, and several tasks that are under way may meet one.
_ENDS_A_RUN = (AuthenticationError, ConfigError, DiskFullError, DriveError, StoreLockedError)
_MOST_WARNINGS_ALIKE = 10


@dataclass(slots=True)
class Progress:
    """The counts of one run.

    Attributes:
        started: When the run began, in seconds of the clock that `overall` is given, too.
        listed: Tasks that the server's list has; None until it is read.
        uploads: Whether files are sent rather than fetched.
        total: Tasks to fetch, upload, move, remove or refuse; None until the plan stands.
        done: How many of them have their outcome.
        failed: How many of those failed.
        transferred: Bytes of archives received, or of files sent.
        at_server: Tasks whose export or import waits or runs at the server. Which of them run is
            not shown, as an export is rarely asked about before it is read.
        transferring: Tasks whose archive is being read, or whose file is being sent.
    """

    started: float
    listed: int | None = None
    uploads: bool = False
    total: int | None = None
    done: int = 0
    failed: int = 0
    transferred: int = 0
    at_server: set[int] = field(default_factory=set)
    transferring: set[int] = field(default_factory=set)

    def apply(self, event: Event) -> None:
        """Count one event in."""
        match event:
            case ListingRead():
                self.listed = event.tasks
            case Planned():
                self.uploads = event.upload > 0
                to_do = event.fetch + event.upload + event.move + event.remove
                self.total = to_do + event.refuse
            case ExportRequested() | ImportRequested() | ExportStarted() | ImportStarted():
                self._move(event.task_id, self.at_server)
            case TransferStarted() | UploadStarted():
                self._move(event.task_id, self.transferring)
            case ExportFinished() | ImportFinished() | TransferFinished():
                self._move(event.task_id, None)
            case TransferProgress():
                self.transferred += event.transferred
            case UploadProgress():
                self.transferred += event.sent
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
            f"{len(self.at_server)} at the server",
            f"{len(self.transferring)} {'sending' if self.uploads else 'transferring'}",
        ]
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join(parts)

    def _finish(self, outcome: TaskOutcome) -> None:
        # Where there is nothing to do, nothing was counted into the total.
        if outcome.action not in _NOTHING_DONE:
            self.done += 1
            self.failed += outcome.action is Action.FAILED

    def _move(self, task_id: int, to: set[int] | None) -> None:
        for stage in (self.at_server, self.transferring):
            stage.discard(task_id)
        if to is not None:
            to.add(task_id)


def messages(event: Event, *, verbose: bool) -> Iterator[str]:
    """What of an event deserves a line of its own: failures and warnings, and retries if asked.

    What many tasks can have in common is held back until the run's end, to be said once.
    """
    match event:
        case TaskDone(outcome=outcome):
            yield from _at_once(outcome)
        case RunFinished(report=report):
            yield from _at_the_end(report)
        case Warned():
            yield f"warning: {printable(event.message)}"
        case ServerPaused():
            yield f"the server asked for a pause of {span(event.seconds)}"
        case Retrying() if verbose:
            whose = "" if event.task_id is None else f"task {event.task_id}: "
            yield f"{whose}{event.step} again in {span(event.delay)}: {printable(event.error)}"
        case _:
            pass


def _at_once(outcome: TaskOutcome) -> Iterator[str]:
    if outcome.action is Action.FAILED and not isinstance(outcome.error, _ENDS_A_RUN):
        yield failure(outcome)
    if outcome.action not in _NOTHING_DONE:
        for warning in outcome.warnings:
            yield f"warning: task {outcome.task_id}: {printable(warning)}"


def _at_the_end(report: RunReport) -> Iterator[str]:
    for outcome in report.failures:
        # What ended the run is said of the run; whatever did not is its task's own.
        held_back = isinstance(outcome.error, _ENDS_A_RUN)
        if held_back and not isinstance(report.stopped_by, type(outcome.error)):
            yield failure(outcome)
    # The warnings about tasks that were left as they are: one line where they are many.
    tasks: dict[str, list[int]] = {}
    for outcome in report.outcomes:
        if outcome.action in _NOTHING_DONE:
            for warning in outcome.warnings:
                tasks.setdefault(printable(warning), []).append(outcome.task_id)
    for warning, task_ids in tasks.items():
        if len(task_ids) <= _MOST_WARNINGS_ALIKE:
            for task_id in task_ids:
                yield f"warning: task {task_id}: {warning}"
        else:
            first = ", ".join(map(str, task_ids[:3]))
            yield (
                f"warning: {counted(len(task_ids), 'task')} ({first}, ...): {warning}; "
                "the report (--report-json) names them all"
            )


def failure(outcome: TaskOutcome) -> str:
    """One line for a task that failed."""
    return f"failed: {printable(outcome.failure)}"
