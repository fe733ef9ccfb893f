"""Projects, tasks and jobs as values.

A task makes its frames and annotations when asked, so a hundred thousand tasks cost little. An edit
is the same task with the next revision number and a new date; only the annotations differ.
`content` makes frames and annotations, `generation` a server's tasks, and `world` holds them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from asynccvat.simulator.world.annotations import Annotations, Label, Shape
from asynccvat.simulator.world.content import PLAIN, Frame, GeneratedContent, cuboids, tracks
from asynccvat.simulator.world.media import TaskMedia
from asynccvat.simulator.world.users import ADMIN, User

_GENERATED_VIDEO: Final = "street.mp4"

JobType = Literal["annotation", "ground_truth", "consensus_replica"]


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
    """The part of a task for one person: the frames from `start_frame` to `stop_frame`.

    Attributes:
        type: Ground truth jobs and replicas have annotations of their own.
        frames: The frames of a ground truth job; None for all.
        parent_job_id: The job of which it is a replica, or None.
        assigned: When it was assigned, or None.
        given: The annotations of a ground truth job or replica.
    """

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
    type: JobType = "annotation"
    frames: tuple[int, ...] | None = None
    parent_job_id: int | None = None
    assigned: datetime | None = None
    given: Annotations = dataclasses.field(default=Annotations(), compare=False, repr=False)

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        if self.frames is not None:
            return len(self.frames)
        return self.stop_frame - self.start_frame + 1

    def has(self, frame: int) -> bool:
        """Tell whether a frame of the task is one of the job."""
        if self.frames is not None:
            return frame in self.frames
        return self.start_frame <= frame <= self.stop_frame


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
        size: Number of frames; None before a client sends data, 0 until they are read.
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
        annotated_date: The date of a job that is not among `own_jobs`: when its annotations were
            changed last. None: the date of the task.
        chunks_updated_date: When the images changed last; None: when it was created.
        deleted_frames: Frames that exports leave out.
        organization_id: Its organization, or None.
        image_quality: What CVAT shows as the quality of its compressed images.
        data_chunk_size: What CVAT shows as the frames of one chunk; None until data are read.
        wanted_segment_size: Frames of a job that the client asked for; 0 for one job.
        wanted_overlap: Frames that neighbouring jobs are to share; None for CVAT's choice.
        job_revision: Counts the edits of annotations that only a job has.
        ready: Archives that are served unchanged; a task that has some makes no others.
        given: Annotations that a client sent. Comparisons leave them out: the revision stands for
            them.
        media: The media that a client sent; None: they are generated.
        own_jobs: The jobs; None: one job, whose id is the task's. Comparisons leave them out, since
            states of jobs change no archive.
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
    annotated_date: datetime | None = None
    chunks_updated_date: datetime | None = None
    deleted_frames: tuple[int, ...] = ()
    organization_id: int | None = None
    image_quality: int = 70
    data_chunk_size: int | None = 72
    wanted_segment_size: int = 0
    wanted_overlap: int | None = None
    job_revision: int = 0
    ready: tuple[ReadyArchive, ...] = ()
    given: Annotations | None = dataclasses.field(default=None, compare=False, repr=False)
    media: TaskMedia | None = dataclasses.field(default=None, compare=False, repr=False)
    own_jobs: tuple[Job, ...] | None = dataclasses.field(default=None, compare=False, repr=False)

    @property
    def overlap(self) -> int | None:
        """Frames shared by neighbouring jobs; without data what was asked for."""
        if not self.size:
            return self.wanted_overlap
        wanted = self.wanted_overlap
        if wanted is None:
            wanted = 5 if self.video else 0
        return min(wanted, self.segment_size // 2)

    @property
    def segment_size(self) -> int:
        """Frames of one job; without data what was asked for."""
        if not self.size:
            return self.wanted_segment_size
        return min(self.wanted_segment_size or self.size, self.size)

    def segments(self) -> tuple[tuple[int, int], ...]:
        """Return first and last frame of each job that CVAT makes of the data."""
        size, length, overlap = self.size or 0, self.segment_size, self.overlap or 0
        if length == size:
            return ((0, size - 1),) if size else ()
        starts = range(0, size - overlap, length - overlap)
        return tuple((start, min(start + length, size) - 1) for start in starts)

    def frames(self) -> tuple[Frame, ...]:
        """Return the images, in frame order."""
        if self.media is not None:
            return self.media.frames
        frames = (
            self.content.frame(self.id, self.media_revision, index, self.dimension)
            for index in range(self.size or 0)
        )
        if self.video:
            frames = (replace(frame, name=f"frame_{frame.index:06d}.PNG") for frame in frames)
        return tuple(frames)

    @property
    def video(self) -> str | None:
        """The name of the video that the frames are from; None if they are images."""
        if self.media is not None:
            return self.media.video
        is_generated = self.mode == "interpolation" and self.size and not self.ready
        return _GENERATED_VIDEO if is_generated else None

    def frame_number(self, index: int) -> int:
        """Return the number of a frame in the media, by which CVAT's exports call it."""
        return index if self.media is None else self.media.start_frame + index * self.media.step

    def frame_index(self, number: int) -> int:
        """Return which frame of the task has a number in the media; -1 if none has."""
        if self.media is None:
            return number
        index, between = divmod(number - self.media.start_frame, self.media.step)
        return -1 if between else index

    def exported_frames(self) -> tuple[Frame, ...]:
        """Return the images that exports hold."""
        deleted = frozenset(self.deleted_frames)
        return tuple(frame for frame in self.frames() if frame.index not in deleted)

    def jobs(self) -> tuple[Job, ...]:
        """Return the jobs of a task with data, by default one, whose id is the task's."""
        if self.own_jobs is not None:
            return tuple(
                dataclasses.replace(job, project_id=self.project_id, task_name=self.name)
                for job in self.own_jobs
            )
        if not self.size:
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
                updated_date=self.annotated_date or self.updated_date,
                assignee=self.job_assignee or self.assignee,
                task_name=self.name,
            ),
        )

    @property
    def is_annotated_by_seed(self) -> bool:
        """Whether annotations are generated: nobody sent the media or chose the labels."""
        # An import may have added labels to those of the project.
        generated = len(self.labels) >= 4 and self.labels[3].type == "tag"
        return generated and self.media is None and not self.ready

    def annotations(self) -> Annotations:
        """Return the annotations of this revision."""
        if self.given is not None:
            return self.given
        if not self.is_annotated_by_seed:
            return Annotations()
        made = self.content.annotations(self.id, self.revision, self.labels[:4], self.size or 0)
        if self.mode == "interpolation":
            made = tracks(made, self.size or 0)
        return made if self.dimension == "2d" else cuboids(made)

    def edited(self, at: datetime) -> Task:
        """Return the task after an edit.

        It makes generated annotations anew, and adds a rectangle to those of a client.
        """
        given = None
        if not self.is_annotated_by_seed and self.labels and self.size:
            given = self._with_another_rectangle()
        return dataclasses.replace(
            self, revision=self.revision + 1, updated_date=at, annotated_date=at, given=given
        )

    def _with_another_rectangle(self) -> Annotations:
        held, label = self.annotations(), self.labels[0]
        corner = 5.0 + self.revision
        values = tuple((one, one.default_value) for one in label.attributes)
        added = Shape(
            2_000_000 + self.revision,
            "rectangle",
            label,
            0,
            (1.0, 1.0, corner, corner),
            False,
            0,
            values,
        )
        return dataclasses.replace(held, shapes=(*held.shapes, added))

    def annotated(self, annotations: Annotations, at: datetime) -> Task:
        """Return the task after a client replaced its annotations at that time."""
        return dataclasses.replace(
            self,
            revision=self.revision + 1,
            updated_date=at,
            annotated_date=at,
            given=annotations,
        )
