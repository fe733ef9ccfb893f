"""The entries of `/api/requests` as frozen values, and what the server answers to new ones.

`core.models` has the other objects of the API, `core.specs` what is requested.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from msgspec.structs import force_setattr

from asynccvat.core.models import Owner
from asynccvat.core.targets import TargetKind
from asynccvat.core.wire.responses import failure_cause


class RequestStatus(StrEnum):
    """The states of an entry of `/api/requests`."""

    QUEUED = "queued"
    """It waits for a worker. CVAT shows deferred requests so, too; unknown states count so."""
    STARTED = "started"
    """A worker runs it."""
    FINISHED = "finished"
    """It ended well."""
    FAILED = "failed"
    """It ended with an error."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry of `/api/requests` does, and to what.

    Attributes:
        type: For example `export:dataset`, `export:annotations`, `import:annotations` or
            `create:task`.
        target: `task`, `job` or `project`.
        project_id: The project, if it is one.
        task_id: The task, if it is one.
        job_id: The job, if it is one.
        format: The exporter's or importer's name.
    """

    type: str = ""
    target: str | None = None
    project_id: int | None = None
    task_id: int | None = None
    job_id: int | None = None
    format: str | None = None

    def id_of(self, target: TargetKind) -> int | None:
        """Return the id of what it concerns, as one kind of target; None if the server says none.

        The request of a job names the job's task, too.
        """
        ids = {TargetKind.TASK: self.task_id, TargetKind.PROJECT: self.project_id}
        return ids.get(target, self.job_id)


class ServerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `/api/requests`: an export, an import or other long work of the server.

    Any date can be None, even of a finished request, because CVAT sets dates a moment later.

    Attributes:
        id: Its id. Opaque.
        status: The server's own word, "" if it sent none; `state` has it as a `RequestStatus`.
        message: Why it failed, or what it does.
        operation: What it does, and to what.
        progress: From 0 to 1 if the server counts it. For exports it stays 0.
        owner: The user who asked for it.
        created_date: When it was queued.
        started_date: When a worker began it.
        finished_date: When it ended.
        expiry_date: When the server will forget its result.
        result_url: Where its result is, if it has one.
        result_id: The id of what it made, if it made something.
    """

    id: str
    status: str = ""
    message: str | None = None
    operation: Operation = Operation()
    progress: float | None = None
    owner: Owner | None = None
    created_date: datetime | None = None
    started_date: datetime | None = None
    finished_date: datetime | None = None
    expiry_date: datetime | None = None
    result_url: str | None = None
    result_id: int | None = None

    def __post_init__(self) -> None:
        for name in ("created_date", "started_date", "finished_date", "expiry_date"):
            date = getattr(self, name)
            if date is not None and date.tzinfo is None:
                # Otherwise it could not be compared with other dates.
                force_setattr(self, name, date.replace(tzinfo=UTC))

    @property
    def state(self) -> RequestStatus:
        """The status. An unknown one counts as queued."""
        try:
            return RequestStatus(self.status)
        except ValueError:
            return RequestStatus.QUEUED

    @property
    def cause(self) -> str:
        """The message on one short line: of a traceback the last line, "" for none."""
        return failure_cause(self.message or "")

    @property
    def ended(self) -> bool:
        """Whether the server will not change it any more."""
        return self.state in (RequestStatus.FINISHED, RequestStatus.FAILED)

    @property
    def worker_seconds(self) -> float | None:
        """Seconds that a worker of the server took, None if the server sent no dates."""
        if self.started_date is None or self.finished_date is None:
            return None
        return (self.finished_date - self.started_date).total_seconds()


class Cancellation(StrEnum):
    """What came of an attempt to cancel a request."""

    CANCELLED = "cancelled"
    """It was queued, and was removed from the queue."""
    STARTED = "started"
    """It runs already. CVAT cancels only queued requests."""
    ENDED = "ended"
    """It has finished or failed."""
    UNKNOWN = "unknown"
    """The server has no such request, or has forgotten it."""
    FORBIDDEN = "forbidden"
    """It is another user's."""


class RequestId(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an accepted (202) or colliding (409) export."""

    rq_id: str


@dataclass(frozen=True, slots=True)
class RequestAccepted:
    """The server's answer to a request for an export or import.

    Attributes:
        rq_id: The id of the request. Opaque.
        created: True if this call queued it (202), False if it ran already (409).
        accepted_at: The `Date` of the server's answer, None if it sent none.
    """

    rq_id: str
    created: bool
    accepted_at: datetime | None = field(default=None, compare=False)
