"""What happens during a run, as frozen values that are delivered in the loop's thread.

A public module: `on_event` of `mirror`, `download`, `upload`, `verify` and their like is told each
event, and tells them apart by their classes:

    import asynccvat
    from asynccvat import events

    def on_event(event: asynccvat.Event) -> None:
        match event:
            case events.TaskDone(outcome=outcome):
                print(outcome.task_id, outcome.action)
            case events.Warned(message=message):
                print(message)

More classes and more fields may come; none goes without a new `EVENT_SCHEMA_VERSION`. `to_json`
gives the line that `--log-json` writes; the clock is left to whoever writes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any

from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.plans.verify import VerifyReport
from asynccvat.core.problems import VerifyProblem

EVENT_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class ListingRead:
    """The server's list of tasks is here."""

    tasks: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan stands: how many tasks will have which step."""

    fetch: int
    keep: int
    skip: int
    move: int
    remove: int
    refuse: int
    upload: int = 0


@dataclass(frozen=True, slots=True)
class ExportRequested:
    """An export was asked for; `created` is False where it was already running (409)."""

    task_id: int
    rq_id: str
    created: bool


@dataclass(frozen=True, slots=True)
class ExportStarted:
    """A worker of the server has begun with an export."""

    task_id: int


@dataclass(frozen=True, slots=True)
class ExportFinished:
    """An export is ready; `seconds` is the worker's time where the server told it."""

    task_id: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """An archive of `size` bytes is being read; `reused` bytes of it are already here."""

    task_id: int
    size: int | None
    reused: int


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """`transferred` bytes of a task's archive came since the last such event."""

    task_id: int
    transferred: int


@dataclass(frozen=True, slots=True)
class TransferFinished:
    """All bytes of a task's archive are in staging and checked; the commit is next."""

    task_id: int


@dataclass(frozen=True, slots=True)
class UploadStarted:
    """A file of `size` bytes is being sent."""

    task_id: int
    size: int


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """`sent` bytes of a task's file went out since the last such event."""

    task_id: int
    sent: int


@dataclass(frozen=True, slots=True)
class ImportRequested:
    """The server has the whole file, and queued its import."""

    task_id: int
    rq_id: str


@dataclass(frozen=True, slots=True)
class ImportStarted:
    """A worker of the server has begun with an import."""

    task_id: int


@dataclass(frozen=True, slots=True)
class ImportFinished:
    """An import is done; `seconds` is the worker's time where the server told it."""

    task_id: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Retrying:
    """A step failed in a way that may pass; it is tried again after `delay` seconds."""

    task_id: int | None
    step: str
    error: str
    delay: float


@dataclass(frozen=True, slots=True)
class ServerPaused:
    """The server asked for a pause of `seconds`; every call waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Warned:
    """Something about the run that the user ought to know."""

    message: str


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task has its outcome."""

    outcome: TaskOutcome


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run ended, in whichever way."""

    report: RunReport


@dataclass(frozen=True, slots=True)
class VerifyStarted:
    """It is known what is to be verified; `resumed` tasks of it were read before."""

    tasks: int
    files: int
    bytes: int
    resumed: int


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """So many files were looked at and bytes read since the last such event."""

    files: int
    read: int


@dataclass(frozen=True, slots=True)
class ProblemFound:
    """Something is not as a receipt, or the server, says."""

    problem: VerifyProblem


@dataclass(frozen=True, slots=True)
class RepairStarted:
    """So many tasks are going to be fetched again; the events of a mirror follow."""

    tasks: int


@dataclass(frozen=True, slots=True)
class VerifyFinished:
    """The verification ended, in whichever way."""

    report: VerifyReport


Event = (
    ListingRead
    | Planned
    | ExportRequested
    | ExportStarted
    | ExportFinished
    | TransferStarted
    | TransferProgress
    | TransferFinished
    | UploadStarted
    | UploadProgress
    | ImportRequested
    | ImportStarted
    | ImportFinished
    | Retrying
    | ServerPaused
    | Warned
    | TaskDone
    | RunFinished
    | VerifyStarted
    | VerifyProgress
    | ProblemFound
    | RepairStarted
    | VerifyFinished
)
"""Any of the events, in the order in which a run has them: the argument of `on_event`."""


def to_json(event: Event) -> dict[str, Any]:
    """An event as JSON types: its name in snake case, the schema version, its fields."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    record: dict[str, Any] = {"v": EVENT_SCHEMA_VERSION, "event": name}
    match event:
        case TaskDone(outcome=outcome):
            return record | outcome.to_json()
        case RunFinished(report=report):
            return record | report.summary()
        case ProblemFound(problem=problem):
            return record | problem.to_json()
        case VerifyFinished(report=verified):
            return record | verified.summary()
        case _:
            return record | {item.name: getattr(event, item.name) for item in fields(event)}
