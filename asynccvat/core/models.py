"""The objects of CVAT's API as frozen values. Only this module knows their JSON names.

Decoding is lenient, so that older and newer servers can both be read. Unknown fields are ignored,
and fields that some versions leave out are optional. `client` makes the calls.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from sys import intern
from typing import Annotated, Any, ClassVar
from urllib.parse import parse_qs

import msgspec
from msgspec.structs import force_setattr

from asynccvat.core.targets import TargetKind as TargetKind  # noqa: PLC0414 - public here, too
from asynccvat.core.wire.responses import failure_cause
from asynccvat.errors import ConfigError

# An id of the server. A smaller one could not be requested.
_Id = Annotated[int, msgspec.Meta(ge=1)]


def share(struct: msgspec.Struct, text: str | None, field: str) -> None:
    """Replace a text of a new struct by its one shared copy, to save memory.

    A hundred thousand tasks may be decoded at once, and most of their texts are the same few.
    """
    if text:
        force_setattr(struct, field, intern(text))


class Owner(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A user as other objects refer to it.

    Attributes:
        id: The user's id.
        username: The user's name.
    """

    id: int
    username: str = ""

    def __post_init__(self) -> None:
        share(self, self.username, "username")


class Task(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task as CVAT lists it. What a server does not send is None.

    Attributes:
        id: Its id.
        name: Its name.
        updated_date: When it last changed, as the server's own text, because dates are compared
            for inequality only.
        created_date: When it was made.
        project_id: Its project, None outside any project.
        status: `annotation`, `validation` or `completed`.
        subset: Its subset, for example `Train`.
        mode: `annotation` for images, `interpolation` for videos. None without data.
        dimension: `2d` or `3d`.
        size: Frames. None without data.
        data: The id of its data. None without data.
        owner: The user who made it.
        assignee: The user it is assigned to.
        organization_id: Its organization, None in a personal workspace.
        bug_tracker: The address of its issue tracker.
        overlap: Frames that neighbouring jobs share.
        segment_size: Frames in a job.
        image_quality: Percent, of the images that CVAT shows to annotators.
    """

    id: _Id
    name: str = ""
    updated_date: str = ""
    created_date: str | None = None
    project_id: int | None = None
    status: str | None = None
    subset: str | None = None
    mode: str | None = None
    dimension: str | None = None
    size: int | None = None
    data: int | None = None
    owner: Owner | None = None
    assignee: Owner | None = None
    organization_id: int | None = None
    bug_tracker: str | None = None
    overlap: int | None = None
    segment_size: int | None = None
    image_quality: int | None = None

    def __post_init__(self) -> None:
        share(self, self.status, "status")
        share(self, self.subset, "subset")
        share(self, self.mode, "mode")
        share(self, self.dimension, "dimension")

    @property
    def without_data(self) -> bool:
        """Whether it has no images yet. CVAT cannot export such a task."""
        return self.size is None and self.data is None


class DataMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What CVAT says about a task's media (`GET /api/tasks/{id}/data/meta`), without frames.

    Attributes:
        size: Frames, deleted ones included.
        deleted_frames: The deleted frames, which exports leave out.
        included_frames: The frames that belong to the task, None if all do.
        chunks_updated_date: When the media last changed. None from older servers.
        storage: Where the files are: `local`, `share` or `cloud_storage`.
        cloud_storage_id: The bucket, if any.
    """

    size: int | None = None
    deleted_frames: tuple[int, ...] = ()
    included_frames: tuple[int, ...] | None = None
    chunks_updated_date: datetime | None = None
    storage: str | None = None
    cloud_storage_id: int | None = None


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project as CVAT lists it. What a server does not send is None.

    Attributes:
        id: Its id.
        name: Its name.
        updated_date: When it last changed, as the server's own text.
        created_date: When it was made.
        status: `annotation`, `validation` or `completed`.
        owner: The user who made it.
        assignee: The user it is assigned to.
        dimension: `2d` or `3d`.
        organization_id: Its organization, None in a personal workspace.
        task_subsets: The subsets of its tasks.
    """

    id: _Id
    name: str = ""
    updated_date: str = ""
    created_date: str | None = None
    status: str | None = None
    owner: Owner | None = None
    assignee: Owner | None = None
    dimension: str | None = None
    organization_id: int | None = None
    task_subsets: tuple[str, ...] = ()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job: the frames of a task that one person annotates, reviews or accepts.

    Attributes:
        id: Its id.
        task_id: Its task.
        project_id: The project of its task, None outside any project.
        assignee: The user it is assigned to.
        stage: `annotation`, `validation` or `acceptance`.
        state: `new`, `in progress`, `completed` or `rejected`.
        type: `annotation`, `ground_truth` or `consensus_replica`.
        dimension: `2d` or `3d`.
        mode: `annotation` for images, `interpolation` for videos.
        frame_count: Frames.
        start_frame: The first frame, counted in the task.
        stop_frame: The last frame, inclusive.
        created_date: When it was made.
        updated_date: When it last changed, as the server's own text.
        organization: Its organization, None in a personal workspace.
        parent_job_id: The job that a consensus replica belongs to.
        issues: What the server says about its issues; see `issue_count`.
    """

    id: _Id
    task_id: int | None = None
    project_id: int | None = None
    assignee: Owner | None = None
    stage: str | None = None
    state: str | None = None
    type: str | None = None
    dimension: str | None = None
    mode: str | None = None
    frame_count: int | None = None
    start_frame: int | None = None
    stop_frame: int | None = None
    created_date: str | None = None
    updated_date: str = ""
    organization: int | None = None
    parent_job_id: int | None = None
    # Any: a job whose issues are told otherwise must not be left out of a list.
    issues: Any = None

    @property
    def issue_count(self) -> int:
        """How many issues it has, 0 if the server does not tell."""
        count = self.issues.get("count") if isinstance(self.issues, dict) else None
        return count if isinstance(count, int) else 0


class User(msgspec.Struct, frozen=True, kw_only=True):
    """The user that the credentials belong to (`GET /api/users/self`).

    Attributes:
        id: The user's id.
        username: The user's name.
        email: The user's address, None if the server does not tell it.
        first_name: The first name.
        last_name: The last name.
        is_superuser: Whether the user may see and change everything.
        groups: Roles at the server: `admin`, `user`, `worker`.
    """

    id: int
    username: str
    email: str | None = None
    first_name: str = ""
    last_name: str = ""
    is_superuser: bool = False
    groups: tuple[str, ...] = ()


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """A personal access token, without its value (`GET /api/auth/access_tokens/self`).

    Attributes:
        id: Its id.
        name: The name that its owner gave it.
        read_only: Whether it may only read, and export. CVAT makes tokens so by default.
        expiry_date: When it expires, None if it does not.
    """

    id: int
    name: str = ""
    read_only: bool = False
    expiry_date: datetime | None = None


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The server's name and version (`GET /api/server/about`).

    Attributes:
        name: The server's name.
        version: The version of CVAT.
        description: What the server says of itself.
    """

    name: str = ""
    version: str = ""
    description: str = ""


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation format that the server writes (exporter) or reads (importer).

    Attributes:
        name: The exact name, case included.
        ext: File types, for example `ZIP` or `XML, ZIP`.
        version: The version of the format.
        enabled: Whether the server can use it now.
        dimension: `2d` or `3d`.
    """

    name: str
    ext: str = ""
    version: str = ""
    enabled: bool = True
    dimension: str | None = None


class Formats(msgspec.Struct, frozen=True, kw_only=True):
    """The formats that the server knows (`GET /api/server/annotation/formats`).

    Attributes:
        exporters: The formats that it writes.
        importers: The formats that it reads.
    """

    exporters: tuple[Format, ...] = ()
    importers: tuple[Format, ...] = ()


class CloudStorage(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket that the server can read and write.

    Attributes:
        id: Its id.
        display_name: The name that users gave it.
        provider_type: For example `AWS_S3_BUCKET`, `AZURE_CONTAINER` or `GOOGLE_CLOUD_STORAGE`.
        resource: The bucket's own name.
        owner: The user who registered it.
        organization: Its organization, None in a personal workspace.
        specific_attributes: What its provider needs to know, as the query of a URL.
    """

    id: _Id
    display_name: str = ""
    provider_type: str = ""
    resource: str = ""
    owner: Owner | None = None
    organization: int | None = None
    specific_attributes: str | None = None

    @property
    def prefix(self) -> str:
        """The start of the keys to which CVAT confines its lists of objects, "" for none."""
        given = parse_qs(self.specific_attributes or "").get("prefix", [""])
        return given[0].lstrip("/")


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


@dataclass(frozen=True, slots=True)
class TaskListing:
    """All tasks of a selection, as read by one pass over the list.

    Attributes:
        tasks: In ascending order of id, each once.
        read_at: The latest `Date` of the answers, on the server's clock. None if none was sent.
        complete: Whether the number of distinct ids equalled the server's count in the end.
            False if a task that the server listed cannot be read.
        missing: Selected ids that are not there. Empty if the selection has other conditions, since
            a task may exist and not meet these.
        unreadable: How many tasks the server listed in a form that cannot be read.
        missing_tasks: Tasks that were selected by their ids for their jobs, and are not there.
    """

    tasks: tuple[Task, ...]
    read_at: datetime | None = None
    complete: bool = True
    missing: tuple[int, ...] = ()
    unreadable: int = 0
    missing_tasks: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return (
            f"TaskListing({len(self.tasks)} tasks, complete={self.complete}, "
            f"missing={len(self.missing)})"
        )


CVAT = "CVAT"
"""CVAT's own XML, in the flavour that loses least of a task."""
CVAT_IMAGES = "CVAT for images 1.1"
CVAT_VIDEO = "CVAT for video 1.1"


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """How tasks are exported.

    Attributes:
        format: The exporter's exact name, case included. `CVAT` takes `CVAT for video 1.1` for
            videos, which are annotated with tracks, and `CVAT for images 1.1` for all other tasks.
        images: Whether the archive holds the images, too.
        target: What is exported: tasks, projects or jobs.

    Raises:
        ConfigError: No format is named.
    """

    format: str = CVAT
    images: bool = False
    target: TargetKind = TargetKind.TASK

    noun: ClassVar[str] = "export"
    """What the server makes, for messages."""
    verb: ClassVar[str] = "export"
    """What the server is asked to do, for messages."""
    resource: ClassVar[str] = "dataset"
    """The part of CVAT's paths that tells exports from backups."""

    def __post_init__(self) -> None:
        given: object = self.format
        if not isinstance(given, str) or not given.strip():
            raise ConfigError(
                f"{self.format!r} is not the name of a format. Give an exporter's exact name, like "
                "'CVAT for images 1.1'."
            )
        if not isinstance(self.images, bool):
            raise ConfigError(f"images must be True or False, not {self.images!r}")
        object.__setattr__(self, "target", checked_target(self.target))

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the call that requests an export."""
        # Without a location, a task whose default target is a bucket never gets a result_url.
        images = "true" if self.images else "false"
        return {"format": self.format, "save_images": images, "location": "local"}

    @property
    def operation_type(self) -> str:
        """The type of such a request in the server's list of requests."""
        return "export:dataset" if self.images else "export:annotations"

    @property
    def exporters(self) -> tuple[str, ...]:
        """The names of the server's exporters that it can mean."""
        return (CVAT_IMAGES, CVAT_VIDEO) if self.format == CVAT else (self.format,)

    def for_mode(self, mode: str | None) -> ExportSpec:
        """Return the spec with the name of one exporter, for tasks of a mode."""
        if self.format != CVAT:
            return self
        name = CVAT_VIDEO if mode == "interpolation" else CVAT_IMAGES
        return ExportSpec(name, self.images, self.target)

    @classmethod
    def of(cls, spec: ExportSpec | str | None) -> ExportSpec:
        """Return a spec for a format's name, the default one for None, or the spec itself.

        Raises:
            ConfigError: The name is empty.
            TypeError: It is neither of these.
        """
        if spec is None:
            return cls()
        if isinstance(spec, str):
            return cls(spec)
        given: object = spec
        if not isinstance(given, ExportSpec):
            raise TypeError(f"a spec is an ExportSpec or a format's name, not {spec!r}")
        return spec


@dataclass(frozen=True, slots=True)
class BackupSpec:
    """How tasks or projects are backed up.

    Attributes:
        lightweight: Whether media that lie in a cloud storage are left out. Such a backup cannot
            be restored without that storage.
        target: What is backed up: tasks or projects. CVAT has no backups of jobs.

    Raises:
        ConfigError: The target is a job.
    """

    lightweight: bool = False
    target: TargetKind = TargetKind.TASK

    noun: ClassVar[str] = "backup"
    verb: ClassVar[str] = "back up"
    resource: ClassVar[str] = "backup"
    format: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not isinstance(self.lightweight, bool):
            raise ConfigError(f"lightweight must be True or False, not {self.lightweight!r}")
        object.__setattr__(self, "target", checked_target(self.target))
        if self.target is TargetKind.JOB:
            raise ConfigError("CVAT cannot back up single jobs. Back up their tasks instead.")

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the call that requests a backup."""
        # For media in a cloud storage, CVAT's own default is a lightweight backup.
        lightweight = "true" if self.lightweight else "false"
        return {"location": "local", "lightweight": lightweight}

    @property
    def operation_type(self) -> str:
        """The type of such a request in the server's list of requests."""
        return "export:backup"

    def for_mode(self, mode: str | None) -> BackupSpec:
        """Return the spec itself: a backup is the same for images and videos."""
        del mode
        return self


@dataclass(frozen=True, slots=True)
class BucketKey:
    """Where in a cloud storage the server writes an archive.

    Attributes:
        storage_id: The storage.
        key: The object's key.
    """

    storage_id: int
    key: str

    @property
    def query(self) -> dict[str, str]:
        """The parameters that send a result there instead of to a download."""
        return {
            "location": "cloud_storage",
            "cloud_storage_id": str(self.storage_id),
            "filename": self.key,
        }


RequestSpec = ExportSpec | BackupSpec
"""What the server is asked to make of a target."""


def checked_target(given: str) -> TargetKind:
    """Return the kind of target that a value names.

    Raises:
        ConfigError: It names none.
    """
    try:
        return TargetKind(given)
    except ValueError:
        raise ConfigError(
            f"target must be {', '.join(TargetKind)}, not {given!r}. Take a TargetKind."
        ) from None
