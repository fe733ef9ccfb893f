"""Requests as values: what was asked for, how far it is, what it left, and its entry in lists.

How requests come to their ends is the business of `exports` and `imports`, which of them the server
remembers that of `registry`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from asynccvat.simulator.queues.uploads import Upload
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.dates import stamp, utc_now
from asynccvat.simulator.world.tasks import Task, User

Status = Literal["queued", "started", "finished", "failed"]
Target = Literal["task", "project", "job"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an export is of.

    Attributes:
        target: What is exported.
        target_id: Its id.
        format: Name of the format, or None for a backup.
        subresource: `dataset` (with images), `annotations` or `backup`.
    """

    target: Target
    target_id: int
    format: str | None
    subresource: Literal["dataset", "annotations", "backup"]

    @property
    def save_images(self) -> bool:
        """Whether the images are wanted."""
        return self.subresource != "annotations"

    def rq_id(self, user: User) -> str:
        """The id of a user's request for it: the same one each time."""
        parts = ["action=export", f"target={self.target}", f"target_id={self.target_id}"]
        parts.append(f"user_id={user.id}")
        if self.format is not None:
            parts.append(f"format={self.format.replace(' ', '_').replace('.', '~')}")
        parts.append(f"subresource={self.subresource}")
        return "&".join(parts)


@dataclass(slots=True)
class Result:
    """What an export left: the tasks as they were, to be written when downloaded.

    Attributes:
        wanted: What was asked for.
        tasks: The exported tasks as they were.
        file_name: The name offered for the download.
        exported: When it was exported, cold: the date within the archive.
        modified: Seconds since 1970: Last-Modified, and the first half of the ETag.
    """

    wanted: Wanted
    tasks: tuple[Task, ...]
    file_name: str
    exported: datetime
    modified: int

    def touch(self) -> None:
        """Move the time of the file, by a second at least, so that its ETag moves too."""
        self.modified = max(int(utc_now().timestamp()), self.modified + 1)


@dataclass(slots=True, kw_only=True)
class Request:
    """One entry of `/api/requests`, whatever it asks for."""

    id: str
    owner: User
    target: Target
    project_id: int | None
    task_id: int | None
    job_id: int | None
    created: datetime
    number: int
    status: Status = "queued"
    message: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    expiry: datetime | None = None
    null_dates: int = 0
    requeued: bool = False
    worker: int | None = None
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        """Whether it finished or failed."""
        return self.status in ("finished", "failed")

    @property
    def action(self) -> str:
        """What it does: `export` or `import`."""
        raise NotImplementedError

    @property
    def subresource(self) -> str:
        """What of the target it is about."""
        raise NotImplementedError

    @property
    def format(self) -> str | None:
        """The format, where entries tell it."""
        return None

    @property
    def result_path(self) -> str | None:
        """The path of the download that it leaves, without its query."""
        return None

    @property
    def result_id(self) -> int | None:
        """The number of what it made."""
        return None


@dataclass(slots=True, kw_only=True)
class ExportRequest(Request):
    """A request for a file.

    Attributes:
        wanted: What is exported.
        tasks: The tasks as they were when it started, or the message by which it fails.
        result: What it left.
        file_name: The name that the client wants the download to have.
    """

    wanted: Wanted
    tasks: tuple[Task, ...] | str = ()
    result: Result | None = None
    file_name: str | None = None

    @property
    def action(self) -> str:
        """Always `export`."""
        return "export"

    @property
    def subresource(self) -> str:
        """`dataset`, `annotations` or `backup`."""
        return self.wanted.subresource

    @property
    def format(self) -> str | None:
        """The format's name; a backup has none."""
        return self.wanted.format

    @property
    def result_path(self) -> str:
        """The path of the download, without its query."""
        resource = "backup" if self.wanted.subresource == "backup" else "dataset"
        return f"/api/{self.wanted.target}s/{self.wanted.target_id}/{resource}/download"


@dataclass(slots=True, kw_only=True)
class ImportRequest(Request):
    """A request to read a file that was uploaded.

    Attributes:
        upload: The file.
        format_name: The importer's name.
        read: What the file says, or the message by which the import fails.
    """

    upload: Upload
    format_name: str
    read: Annotations | str = ""

    @property
    def action(self) -> str:
        """Always `import`."""
        return "import"

    @property
    def subresource(self) -> str:
        """Always `annotations`."""
        return "annotations"


@dataclass(frozen=True, slots=True)
class RequestSpan:
    """When a worker ran a request, in seconds since the server started.

    Attributes:
        rq_id: The request.
        worker: The worker's number, from 0.
        queued: When it was asked for.
        started: When the worker took it.
        finished: When the worker was done.
        status: How it ended.
    """

    rq_id: str
    worker: int
    queued: float
    started: float
    finished: float
    status: str


def request_json(request: Request, origin: str) -> dict[str, Any]:
    """An entry of `/api/requests`, as one answer shows it.

    An answer that calls it finished may lack the dates: the queue writes its status first.
    """
    hides_dates = request.status == "finished" and request.null_dates > 0
    hides_start = hides_dates and request.null_dates > 1
    if hides_dates:
        request.null_dates -= 1
    url = None
    if request.status == "finished" and request.result_path is not None:
        escaped = request.id.replace("&", "%26").replace("=", "%3D")
        url = f"{origin}{request.result_path}?rq_id={escaped}"
    return {
        "status": request.status,
        "message": request.message,
        "id": request.id,
        "operation": {
            "type": f"{request.action}:{request.subresource}",
            "target": request.target,
            "project_id": request.project_id,
            "task_id": request.task_id,
            "job_id": request.job_id,
            "format": request.format,
            "lightweight": None,
        },
        "progress": 0.0,
        "created_date": stamp(request.created),
        "started_date": None if hides_start else stamp(request.started),
        "finished_date": None if hides_dates else stamp(request.finished),
        "expiry_date": None if hides_dates else stamp(request.expiry),
        "owner": {"id": request.owner.id, "username": request.owner.username},
        "result_url": url,
        "result_id": request.result_id,
    }
