"""Requests as values: what a client asked for, its state, its result.

`export_queue` and `import_queue` run requests, `registry` remembers them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from asynccvat.simulator.formats.backup_reader import RestoredProject, RestoredTask
from asynccvat.simulator.formats.dataset_reader import ImportedDataset
from asynccvat.simulator.queues.uploads import UploadedFile
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.clouds import CloudObject
from asynccvat.simulator.world.dates import utc_now
from asynccvat.simulator.world.tasks import Task
from asynccvat.simulator.world.users import User

RequestStatus = Literal["queued", "started", "finished", "failed"]
TargetKind = Literal["task", "project", "job"]


@dataclass(frozen=True, slots=True)
class RequestTarget:
    """What a request concerns, as its entry names it.

    Attributes:
        kind: Whether it is a task, a project or a job.
        project_id: The project, or None.
        task_id: The task, or None for a project.
        job_id: The job, or None for a task or project.
        organization_id: The organization that has it, or gets what is restored; None: none.
    """

    kind: TargetKind
    project_id: int | None = None
    task_id: int | None = None
    job_id: int | None = None
    organization_id: int | None = None


@dataclass(frozen=True, slots=True)
class ExportSubject:
    """What is exported: a task, project or job, in a format.

    Attributes:
        target: Whether a task, a project or a job is exported.
        target_id: Its id.
        format: Name of the format, or None for a backup.
        subresource: `dataset` (with images), `annotations` or `backup`.
        lightweight: Whether a backup leaves out the media in a cloud storage.
    """

    target: TargetKind
    target_id: int
    format: str | None
    subresource: Literal["dataset", "annotations", "backup"]
    lightweight: bool = False

    @property
    def save_images(self) -> bool:
        """Whether the archive holds the images."""
        return self.subresource != "annotations"

    def rq_id(self, user: User) -> str:
        """Return the id of a user's request for it, the same each time."""
        parts = ["action=export", f"target={self.target}", f"target_id={self.target_id}"]
        parts.append(f"user_id={user.id}")
        if self.format is not None:
            parts.append(f"format={self.format.replace(' ', '_').replace('.', '~')}")
        if self.lightweight:
            parts.append("lightweight=True")
        parts.append(f"subresource={self.subresource}")
        return "&".join(parts)


@dataclass(slots=True)
class ExportResult:
    """The result of an export: the tasks as they were.

    `archives` writes the archive when a client downloads it.

    Attributes:
        subject: What was exported.
        tasks: The exported tasks as they were then.
        file_name: The file name of the download.
        exported: When the archive was made, which is the date inside it; a cached export keeps it.
        modified: Seconds since 1970: Last-Modified, and the first half of the ETag.
    """

    subject: ExportSubject
    tasks: tuple[Task, ...]
    file_name: str
    exported: datetime
    modified: int

    def touch(self) -> None:
        """Move `modified` by at least a second, so that the ETag changes."""
        self.modified = max(int(utc_now().timestamp()), self.modified + 1)


@dataclass(slots=True, kw_only=True)
class Request:
    """One request, an entry of `/api/requests`.

    Attributes:
        id: Its id, the `rq_id`.
        owner: The user who asked.
        target: What it concerns.
        created: When the client asked.
        number: Larger for later requests.
        status: How far it is.
        message: Why it failed, or "".
        started: When a worker took it.
        finished: When it ended.
        expiry: When the server forgets it.
        null_dates: In how many further responses its dates are missing, by a fault.
        requeued: Whether a fault has put it back into the queue.
        worker: The number of its worker.
        hold: Set to let it end, if a fault keeps it started.
    """

    id: str
    owner: User
    target: RequestTarget
    created: datetime
    number: int
    status: RequestStatus = "queued"
    message: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    expiry: datetime | None = None
    null_dates: int = 0
    requeued: bool = False
    worker: int | None = None
    hold: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def task_id(self) -> int | None:
        """The task that it concerns, or None for a project."""
        return self.target.task_id

    @property
    def ended(self) -> bool:
        """Whether it finished or failed."""
        return self.status in ("finished", "failed")

    @property
    def action(self) -> str:
        """`export` or `import`."""
        raise NotImplementedError

    @property
    def type(self) -> str:
        """What its entry shows as the type of its operation."""
        return f"{self.action}:{self.subresource}"

    @property
    def subresource(self) -> str:
        """The part of the target that it concerns: `dataset`, `annotations` or `backup`."""
        raise NotImplementedError

    @property
    def format(self) -> str | None:
        """The format that its entry shows, or None."""
        return None

    @property
    def lightweight(self) -> bool | None:
        """True for a lightweight backup, which alone is shown as one."""
        return None

    @property
    def result_path(self) -> str | None:
        """The path of the download of its result, without the query, or None."""
        return None

    @property
    def result_id(self) -> int | None:
        """The id of what it created, or None."""
        return None


@dataclass(slots=True, kw_only=True)
class ExportRequest(Request):
    """A request for an archive.

    Attributes:
        subject: What is exported.
        tasks: The tasks as they were when it started, or the message with which it fails.
        result: Its result, or None.
        earlier: The result of the request of the same id that it replaced, or None.
        file_name: The file name that the client chose for the download, or None.
        destination: The object of a bucket that it becomes; None: it is kept for download.
        origin: Scheme and host of the links in the archive.
    """

    subject: ExportSubject
    tasks: tuple[Task, ...] | str = ()
    result: ExportResult | None = None
    earlier: ExportResult | None = None
    file_name: str | None = None
    destination: CloudObject | None = None
    origin: str = ""

    @property
    def action(self) -> str:
        """Always `export`."""
        return "export"

    @property
    def subresource(self) -> str:
        """`dataset`, `annotations` or `backup`."""
        return self.subject.subresource

    @property
    def format(self) -> str | None:
        """The format's name; a backup has none."""
        return self.subject.format

    @property
    def lightweight(self) -> bool | None:
        """True for a lightweight backup."""
        return self.subject.lightweight or None

    @property
    def result_path(self) -> str | None:
        """The path of the download, without the query; None if it lies in a bucket."""
        if self.destination is not None:
            return None
        resource = "backup" if self.subject.subresource == "backup" else "dataset"
        return f"/api/{self.subject.target}s/{self.subject.target_id}/{resource}/download"


@dataclass(slots=True, kw_only=True)
class ImportRequest(Request):
    """A request to import an uploaded file.

    Attributes:
        upload: The file.
        format_name: The importer's name.
        read: The annotations of the file, or the message with which the import fails.
    """

    upload: UploadedFile
    format_name: str
    read: Annotations | str = ""

    @property
    def action(self) -> str:
        """Always `import`."""
        return "import"

    @property
    def subresource(self) -> str:
        """`annotations`, unless it is another kind of import."""
        return "annotations"


@dataclass(slots=True, kw_only=True)
class DatasetRequest(ImportRequest):
    """A request to import an uploaded dataset with images into a project.

    Attributes:
        dataset: What the file holds, once it is read.
    """

    dataset: ImportedDataset | None = None

    @property
    def subresource(self) -> str:
        """Always `dataset`."""
        return "dataset"


@dataclass(slots=True, kw_only=True)
class RestoreRequest(ImportRequest):
    """A request to restore an uploaded backup.

    Attributes:
        restored: What the backup holds, once it is read.
        made_id: The id of the task or project that was made, or None.
    """

    restored: RestoredTask | RestoredProject | None = None
    made_id: int | None = None

    @property
    def subresource(self) -> str:
        """Always `backup`."""
        return "backup"

    @property
    def result_id(self) -> int | None:
        """The id of the task or project that was made."""
        return self.made_id


@dataclass(frozen=True, slots=True)
class RequestSpan:
    """When a worker ran a request, in seconds since the server started.

    Attributes:
        rq_id: The request.
        worker: The worker's number, from 0.
        queued: When the client asked.
        started: When the worker took it.
        finished: When the worker finished it.
        status: `finished` or `failed`.
    """

    rq_id: str
    worker: int
    queued: float
    started: float
    finished: float
    status: str
