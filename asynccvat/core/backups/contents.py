"""Read what a backup of CVAT says of its tasks: names, labels, jobs, and how many annotations.

A backup of a task has `task.json` and `annotations.json`. One of a project has `project.json`, and
both of these in a folder `task_0/`, `task_1/` and so on for each task. The callers read members.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from asynccvat.core.backups.labels import BackupLabel
from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.targets import TargetKind
from asynccvat.errors import BackupFileError

BACKUP_VERSION = "1.0"
"""The version that every CVAT from 2.17 to 2.80 writes into its backups."""

TASK_FILE = "task.json"
PROJECT_FILE = "project.json"
ANNOTATIONS_FILE = "annotations.json"

_TASK_FOLDER = re.compile(r"task_\d{1,9}/", re.ASCII)
_ANNOTATION_JOB = "annotation"


class BackupJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job, as a backup has it.

    Attributes:
        type: `annotation`, `ground_truth` or `consensus_replica`.
        start_frame: The first frame, counted in the task.
        stop_frame: The last frame, inclusive.
    """

    type: str = _ANNOTATION_JOB
    start_frame: int = 0
    stop_frame: int = 0


class _TaskFile(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    subset: str | None = None
    version: Any = None
    labels: tuple[BackupLabel, ...] = ()
    jobs: tuple[BackupJob, ...] = ()


class _ProjectFile(msgspec.Struct, frozen=True, kw_only=True):
    name: str = ""
    version: Any = None
    labels: tuple[BackupLabel, ...] = ()


class _JobAnnotations(msgspec.Struct, frozen=True):
    tags: tuple[msgspec.Raw, ...] | None = None
    shapes: tuple[msgspec.Raw, ...] | None = None
    tracks: tuple[msgspec.Raw, ...] | None = None


_TASK = msgspec.json.Decoder(_TaskFile)
_PROJECT = msgspec.json.Decoder(_ProjectFile)
_ANNOTATIONS = msgspec.json.Decoder(tuple[_JobAnnotations, ...])


@dataclass(frozen=True, slots=True, order=True)
class KindCounts:
    """How many annotations of each kind there are.

    Attributes:
        tags: Labels of whole frames.
        shapes: Shapes on single frames.
        tracks: Objects through many frames.
    """

    tags: int = 0
    shapes: int = 0
    tracks: int = 0

    def __add__(self, other: KindCounts) -> KindCounts:
        return KindCounts(
            self.tags + other.tags, self.shapes + other.shapes, self.tracks + other.tracks
        )

    @property
    def total(self) -> int:
        """The number of annotations."""
        return self.tags + self.shapes + self.tracks

    def __str__(self) -> str:
        return f"{self.tags:,} tags, {self.shapes:,} shapes and {self.tracks:,} tracks"


@dataclass(frozen=True, slots=True)
class TaskContents:
    """One task of a backup.

    Attributes:
        name: Its name.
        labels: Its labels.
        jobs: Its jobs, in the order of their annotations.
        counts: The annotations of each job.
    """

    name: str
    labels: tuple[BackupLabel, ...]
    jobs: tuple[BackupJob, ...]
    counts: tuple[KindCounts, ...]

    @property
    def frames(self) -> int | None:
        """How many frames the task has, None if the backup names no jobs."""
        stops = [job.stop_frame for job in self.jobs if job.type == _ANNOTATION_JOB]
        return max(stops) + 1 if stops else None

    @property
    def total(self) -> KindCounts:
        """The annotations of all jobs."""
        return sum(self.counts, KindCounts())

    @property
    def adds_up(self) -> bool:
        """Whether the task on the server has as many annotations as all jobs together.

        Jobs that share frames have the annotations of these twice. Those of ground truth and
        replica jobs are not among the task's.
        """
        spans = sorted((job.start_frame, job.stop_frame) for job in self.jobs)
        apart = all(one[1] < other[0] for one, other in pairwise(spans))
        return apart and all(job.type == _ANNOTATION_JOB for job in self.jobs)


@dataclass(frozen=True, slots=True)
class BackupContents:
    """What a backup holds.

    Attributes:
        kind: Whether it is of a task or of a project.
        name: The name of that.
        labels: The labels of that.
        tasks: Its tasks: one, or those of the project.
    """

    kind: TargetKind
    name: str
    labels: tuple[BackupLabel, ...]
    tasks: tuple[TaskContents, ...]

    @property
    def annotations(self) -> KindCounts:
        """The annotations of all tasks."""
        return sum((task.total for task in self.tasks), KindCounts())


def task_folders(names: Iterable[str]) -> tuple[str, ...]:
    """Return the folders of a project's tasks among the names of members, in order."""
    found = {match[0] for name in names if (match := _TASK_FOLDER.match(name))}
    return tuple(sorted(found, key=lambda folder: int(folder[5:-1])))


def kind_of(names: Iterable[str]) -> TargetKind | None:
    """Return what an archive with these members is a backup of, None for something else."""
    there = set(names)
    if PROJECT_FILE in there:
        return TargetKind.PROJECT
    return TargetKind.TASK if TASK_FILE in there else None


def read_task(task: bytes, annotations: bytes | None, *, where: str) -> TaskContents:
    """Read the two files of one task.

    Args:
        task: The content of its `task.json`.
        annotations: The content of its `annotations.json`, None if there is none.
        where: The file, for messages.

    Raises:
        BackupFileError: They cannot be read, or are of another version.
    """
    try:
        found = _TASK.decode(task)
        jobs = () if annotations is None else _ANNOTATIONS.decode(annotations)
    except UNREADABLE as error:
        raise _damaged(where, error) from error
    _check_version(found.version, where)
    counts = tuple(
        KindCounts(len(job.tags or ()), len(job.shapes or ()), len(job.tracks or ()))
        for job in jobs
    )
    return TaskContents(found.name, found.labels, found.jobs, counts)


def read_project(project: bytes, tasks: tuple[TaskContents, ...], *, where: str) -> BackupContents:
    """Read the file of a project, whose tasks were read before.

    Raises:
        BackupFileError: It cannot be read, or is of another version.
    """
    try:
        found = _PROJECT.decode(project)
    except UNREADABLE as error:
        raise _damaged(where, error) from error
    _check_version(found.version, where)
    return BackupContents(TargetKind.PROJECT, found.name, found.labels, tasks)


def of_task(task: TaskContents) -> BackupContents:
    """Return the contents of a backup of one task."""
    return BackupContents(TargetKind.TASK, task.name, task.labels, (task,))


def _check_version(version: object, where: str) -> None:
    if version != BACKUP_VERSION:
        raise BackupFileError(
            f"cannot restore {where}: it is a backup of version {version!r}, and this asynccvat "
            f"knows version {BACKUP_VERSION!r}. Restore it with CVAT itself, or upgrade asynccvat.",
            step="plan",
        )


def _damaged(where: str, error: Exception) -> BackupFileError:
    return BackupFileError(
        f"cannot restore {where}: its description of the task cannot be read ({error}). Restore "
        "another backup.",
        step="plan",
    )
