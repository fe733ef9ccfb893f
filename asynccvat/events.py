"""The events of a run, as frozen values.

`on_event` of `mirror`, `download`, `upload` and `verify` receives each event, in the loop's thread.
Their classes tell them apart:

    import asynccvat
    from asynccvat import events

    def on_event(event: asynccvat.Event) -> None:
        match event:
            case events.TaskDone(outcome=outcome):
                print(outcome.task_id, outcome.action)
            case events.Warned(message=message):
                print(message)

Where an event has a `task_id`, its `target` says what that is the id of: a task, a project or a
job. New versions may add classes and fields. If one is removed, `EVENT_SCHEMA_VERSION` changes.
`to_json` gives the line that `--log-json` writes, except for its time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from asynccvat.core.outcomes import RunReport, TaskOutcome
from asynccvat.core.plans.verify import VerifyReport
from asynccvat.core.problems import VerifyProblem
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.core.targets import TargetKind

EVENT_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class CommandStarted:
    """A command of the command line begins; `RunStarted` follows.

    `settings` are its options as typed, without passwords and tokens. `place` is where tasks go.
    `again` is the command for a shell, without these, and `retry` has one for a few targets alone,
    by what they are: their ids belong at its end. Both are empty where nothing was typed.
    """

    command: str
    version: str
    server: str
    place: str
    settings: Mapping[str, str]
    again: str = ""
    retry: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run begins. At most `transfers` archives are read, or files sent, at once.

    Together they take `bandwidth` bytes a second at most; None is no limit.
    `verb` is the function that it is a run of, such as `mirror` or `export_to_cloud`.
    """

    transfers: int
    target: TargetKind = TargetKind.TASK
    bandwidth: int | None = None
    verb: str = ""


@dataclass(frozen=True, slots=True)
class DestinationSettled:
    """A mirror knows what its destination holds. `description` says it in one line."""

    description: str


@dataclass(frozen=True, slots=True)
class ListingRead:
    """The list of tasks was read, or that of projects or jobs."""

    tasks: int
    complete: bool
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan was made. The fields count the tasks with each step."""

    fetch: int
    keep: int
    skip: int
    move: int
    remove: int
    refuse: int
    upload: int = 0


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """Work on a task begins, or begins again. `name` is "" where it is not known."""

    task_id: int
    name: str
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class ExportRequested:
    """An export was requested. `created` is False if it was already running (409)."""

    task_id: int
    rq_id: str
    created: bool
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class ExportStarted:
    """A worker of the server has begun an export."""

    task_id: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class ExportFinished:
    """An export is ready. `seconds` is the worker's time, None if the server did not say.

    `ended_at` is when the worker ended, on the server's clock. The event comes later.
    """

    task_id: int
    seconds: float | None
    target: TargetKind = TargetKind.TASK
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TransferStarted:
    """An archive of `size` bytes is being read. `reused` bytes of it are on disk already."""

    task_id: int
    size: int | None
    reused: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """`transferred` bytes of a task's archive were received since the last such event.

    To unpack and write them took `writing_seconds` of the threads that did it.
    """

    task_id: int
    transferred: int
    target: TargetKind = TargetKind.TASK
    writing_seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class TransferFinished:
    """All bytes of a task's archive are in staging and checked. The commit is next."""

    task_id: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class UploadStarted:
    """A file of `size` bytes is being sent."""

    task_id: int
    size: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class UploadProgress:
    """`sent` bytes of a task's file were sent since the last such event."""

    task_id: int
    sent: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class ImportRequested:
    """The server has the whole file, and has queued its import."""

    task_id: int
    rq_id: str
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class ImportStarted:
    """A worker of the server has begun an import."""

    task_id: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class ImportFinished:
    """An import is done. `seconds` is the worker's time, None if the server did not say.

    `ended_at` is when the worker ended, on the server's clock. The event comes later.
    """

    task_id: int
    seconds: float | None
    target: TargetKind = TargetKind.TASK
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retrying:
    """A step failed in a way that may pass. It is retried after `delay` seconds."""

    task_id: int | None
    step: str
    error: str
    delay: float
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class ServerPaused:
    """The server asked for a pause of `seconds`. Every call waits."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ServerUnreachable:
    """The server has not answered for `seconds`. The run waits up to `wait` seconds more."""

    seconds: float
    wait: float
    error: str


@dataclass(frozen=True, slots=True)
class ServerBack:
    """The server answers again, after `seconds`. The run goes on."""

    seconds: float


@dataclass(frozen=True, slots=True)
class QueueStalled:
    """Nothing has left the server's queue for minutes. `str(event.stall)` says it in words."""

    stall: QueueStall


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning about the run.

    Attributes:
        message: The warning.
        is_refusal: Whether a guard refused what was planned: the report's `guard` says why.
    """

    message: str
    is_refusal: bool = False


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task has its outcome."""

    outcome: TaskOutcome


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run ended, successfully or not."""

    report: RunReport


@dataclass(frozen=True, slots=True)
class VerifyStarted:
    """A verification begins. An interrupted one has read `resumed` of its tasks already."""

    tasks: int
    files: int
    bytes: int
    resumed: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class VerifyProgress:
    """`files` were checked and `read` bytes were read since the last such event."""

    files: int
    read: int


@dataclass(frozen=True, slots=True)
class ProblemFound:
    """A file or task differs from its receipt, or from the server."""

    problem: VerifyProblem


@dataclass(frozen=True, slots=True)
class RepairStarted:
    """`tasks` tasks are fetched again. The events of a mirror follow."""

    tasks: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class VerifyFinished:
    """The verification ended, successfully or not."""

    report: VerifyReport


Event = (
    CommandStarted
    | RunStarted
    | DestinationSettled
    | ListingRead
    | Planned
    | TaskStarted
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
    | ServerUnreachable
    | ServerBack
    | QueueStalled
    | Warned
    | TaskDone
    | RunFinished
    | VerifyStarted
    | VerifyProgress
    | ProblemFound
    | RepairStarted
    | VerifyFinished
)
"""Any of the events, in the order in which a run has them. The argument of `on_event`."""


def to_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON types: schema version, name in snake case, fields."""
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
    record: dict[str, Any] = {"v": EVENT_SCHEMA_VERSION, "event": name}
    match event:
        case TaskDone(outcome=outcome):
            return record | outcome.to_json()
        case RunFinished(report=report):
            return record | report.summary()
        case QueueStalled(stall=stall):
            return record | stall.to_json()
        case ProblemFound(problem=problem):
            return record | problem.to_json()
        case VerifyFinished(report=verified):
            return record | verified.summary()
        case _:
            own = {item.name: getattr(event, item.name) for item in fields(event)}
            if isinstance(ended_at := own.get("ended_at"), datetime):
                own["ended_at"] = ended_at.isoformat()
            target = own.pop("target", TargetKind.TASK)
            if "task_id" not in own and hasattr(event, "target"):
                own["target"] = str(target)
            elif target is not TargetKind.TASK:
                own[f"{target}_id"] = own.pop("task_id")
            return record | own


def __dir__() -> list[str]:
    """List the public names alone."""
    own = {
        name for name, value in globals().items() if getattr(value, "__module__", "") == __name__
    }
    public = {name for name in own if not name.startswith("_")}
    return sorted(public | {"EVENT_SCHEMA_VERSION", "Event"})
