"""Projects, tasks and jobs as values.

A task makes its frames and annotations when asked, so a hundred thousand tasks cost little. An edit
is the same task with the next revision number and a new date; only the annotations differ.
`content` makes frames and annotations, `generation` a server's tasks, and `world` holds them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from asynccvat.simulator.world.annotations import Annotations, Label
from asynccvat.simulator.world.content import PLAIN, Frame, GeneratedContent, cuboids, tracks
from asynccvat.simulator.world.users import ADMIN, User


@dataclass(frozen=True, slots=True)
class Project:
    """A project; its labels are those of its tasks."""

    id: int
    name: str
    labels: tuple[Label, ...]
    created_date: datetime
    updated_date: datetime
    owner: User = ADMIN
    assignee: User | None = None
    status: str = "annotation"
    organization_id: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The part of a task for one person; here always the whole task."""

    id: int
    task_id: int
    project_id: int | None
    status: str
    stage: str
    state: str
    start_frame: int
    stop_frame: int
    created_date: datetime
    updated_date: datetime
    assignee: User | None = None
    task_name: str = ""


@dataclass(frozen=True, slots=True)
class ReadyArchive:
    """An existing file that is served as an export.

    A `format_name` or `save_images` of None means any.
    """

    path: Path
    format_name: str | None = None
    save_images: bool | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    Attributes:
        id: Its number.
        name: Its name.
        project_id: Its project, or None.
        labels: Its labels.
        size: Number of frames, or None while it has no data.
        created_date: When it was created.
        updated_date: When it was changed last.
        content: How its frames and annotations are made.
        subset: Its subset, or "".
        status: `annotation`, `validation` or `completed`.
        mode: `annotation`, `interpolation` for a video, which is annotated with tracks, or ""
            without data.
        dimension: `2d` for images, `3d` for point clouds.
        owner: Its owner.
        assignee: Its assignee.
        job_assignee: The assignee of its one job; None: that of the task.
        revision: Counts the edits of its annotations.
        media_revision: Counts the changes of its images.
        chunks_updated_date: When the images changed last; None: when it was created.
        deleted_frames: Frames that exports leave out.
        organization_id: Its organization, or None.
        image_quality: What CVAT shows as the quality of its compressed images.
        data_chunk_size: What CVAT shows as the frames of one chunk.
        ready: Archives that are served unchanged; a task that has some makes no others.
        given: Annotations that a client sent. Comparisons leave them out: the revision stands for
            them.
    """

    id: int
    name: str
    project_id: int | None
    labels: tuple[Label, ...]
    size: int | None
    created_date: datetime
    updated_date: datetime
    content: GeneratedContent = PLAIN
    subset: str = ""
    status: str = "annotation"
    mode: str = "annotation"
    dimension: str = "2d"
    owner: User = ADMIN
    assignee: User | None = None
    job_assignee: User | None = None
    revision: int = 0
    media_revision: int = 0
    chunks_updated_date: datetime | None = None
    deleted_frames: tuple[int, ...] = ()
    organization_id: int | None = None
    image_quality: int = 70
    data_chunk_size: int = 72
    ready: tuple[ReadyArchive, ...] = ()
    given: Annotations | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def overlap(self) -> int | None:
        """Frames shared by neighbouring jobs; None without data."""
        return None if self.size is None else 0

    @property
    def segment_size(self) -> int:
        """Frames of one job; 0 without data."""
        return self.size or 0

    def frames(self) -> tuple[Frame, ...]:
        """Return the images, in frame order."""
        return tuple(
            self.content.frame(self.id, self.media_revision, index, self.dimension)
            for index in range(self.size or 0)
        )

    def exported_frames(self) -> tuple[Frame, ...]:
        """Return the images that exports hold."""
        deleted = frozenset(self.deleted_frames)
        return tuple(frame for frame in self.frames() if frame.index not in deleted)

    def jobs(self) -> tuple[Job, ...]:
        """Return the one job of a task with data; its id is the task's."""
        if self.size is None:
            return ()
        stage = {"validation": "validation", "completed": "acceptance"}.get(
            self.status, "annotation"
        )
        return (
            Job(
                id=self.id,
                task_id=self.id,
                project_id=self.project_id,
                status=self.status,
                stage=stage,
                state="completed" if self.status == "completed" else "new",
                start_frame=0,
                stop_frame=self.size - 1,
                created_date=self.created_date,
                updated_date=self.updated_date,
                assignee=self.job_assignee or self.assignee,
                task_name=self.name,
            ),
        )

    def annotations(self) -> Annotations:
        """Return the annotations of this revision."""
        if self.given is not None:
            return self.given
        if self.ready:
            return Annotations()
        made = self.content.annotations(self.id, self.revision, self.labels, self.size or 0)
        if self.mode == "interpolation":
            made = tracks(made, self.size or 0)
        return made if self.dimension == "2d" else cuboids(made)

    def edited(self, at: datetime) -> Task:
        """Return the task after an edit, which makes all annotations anew."""
        return dataclasses.replace(self, revision=self.revision + 1, updated_date=at, given=None)

    def annotated(self, annotations: Annotations, at: datetime) -> Task:
        """Return the task after a client replaced its annotations at that time."""
        return dataclasses.replace(
            self, revision=self.revision + 1, updated_date=at, given=annotations
        )
