"""The objects of CVAT's API as frozen values. `core.requests` has those of its queue.

Only these two modules know the JSON names. Decoding is lenient, so that older and newer servers can
both be read. Unknown fields are ignored, and fields that some versions leave out are optional.
`client` makes the calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from sys import intern
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from msgspec.structs import force_setattr

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
    # Any: a job whose issues have another form must not be left out of a list.
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
        jobs: For a mirror as JSON: the text of `jobs.json` for each task that has jobs. None if
            the jobs were not listed.
    """

    tasks: tuple[Task, ...]
    read_at: datetime | None = None
    complete: bool = True
    missing: tuple[int, ...] = ()
    unreadable: int = 0
    missing_tasks: tuple[int, ...] = ()
    jobs: Mapping[int, bytes] | None = None

    def __repr__(self) -> str:
        return (
            f"TaskListing({len(self.tasks)} tasks, complete={self.complete}, "
            f"missing={len(self.missing)})"
        )
