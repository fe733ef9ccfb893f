"""Decide what an upload does: compare files, the server's tasks and receipts.

`commands.upload.discovery` finds and checks the files, `commands.upload.run` carries the plan out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any, TypeVar

from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.models import Task, TaskListing
from asynccvat.errors import (
    AnnotationFileError,
    AsyncCvatError,
    NotFoundError,
    TaskChangedError,
    UploadError,
)


class UploadReason(StrEnum):
    """Why a file is uploaded, skipped or refused."""

    ASKED_FOR = "asked for"
    """It was named, with its file or in `task_ids`."""
    EDITED = "edited"
    """Its files in the mirror were edited."""
    FOUND = "found"
    """Its folder was found, outside any mirror."""
    FORCED = "forced"
    """`force` uploads it."""
    UNCHANGED = "unchanged"
    """Its files are as they were mirrored."""
    FILE = "file"
    """The file is missing, or cannot be what it claims to be."""
    NOT_FOUND = "not found"
    """There is no such task, or this user may not see it."""
    NO_DATA = "no data"
    """It has no images yet, so CVAT cannot import into it."""
    DIMENSION = "dimension"
    """Its dimension, `2d` or `3d`, is not that of the format."""
    CONFLICT = "conflict"
    """It changed on the server since it was mirrored."""
    UNDO = "undo"
    """What an upload replaced is put back."""
    FROM_BACKUP = "from a backup"
    """The annotations of a backup are put back."""
    NOTHING_KEPT = "nothing kept"
    """Nothing is kept that could be put back."""
    LOSS = "loss"
    """The import would lose annotations that the task has."""
    UNREADABLE = "unreadable"
    """What the task has cannot be read, so nothing guards or keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCandidate:
    """A file, or the files of a folder, for one task.

    Attributes:
        task_id: The task.
        name: The task's name in the receipt, "" if there is none.
        path: The file, or the folder whose files are packed.
        importer: The importer's name.
        dimension: The dimension of the tasks that the importer is for, None if it is unknown.
        named: Whether the user named the task. False if it was found in a folder.
        edited: Whether the files differ from the receipt. None if they are in no receipt.
        mirrored_date: The task's `updated_date` in the receipt, None if there is none.
        left_date: The task's `updated_date` after an interrupted upload by asynccvat, None if there
            was none.
        problem: Why it cannot be uploaded, None if it can.
    """

    task_id: int
    name: str = ""
    path: PurePath
    importer: str
    dimension: str | None = None
    named: bool
    edited: bool | None = None
    mirrored_date: str | None = None
    left_date: str | None = None
    problem: AsyncCvatError | None = None

    def may_be_skipped(self, *, force: bool) -> bool:
        """Whether the files are unchanged, and the user did not name the task."""
        return self.edited is False and not self.named and not force


@dataclass(frozen=True, slots=True)
class Upload:
    """Import a file into a task.

    Attributes:
        task_id: The task.
        name: The task's name.
        path: The file, or the folder whose files are packed.
        reason: Why.
        importer: The importer's name.
        mirrored_date: The date in the task's receipt, None if another state may be replaced.
        left_date: The state that the task must still be in: that of the receipt, or the one that
            an interrupted upload of ours left.
    """

    task_id: int
    name: str
    path: PurePath
    reason: UploadReason
    importer: str
    mirrored_date: str | None = None
    left_date: str | None = None


@dataclass(frozen=True, slots=True)
class SkipUpload:
    """Leave a task unchanged."""

    task_id: int
    name: str
    path: PurePath
    reason: UploadReason


@dataclass(frozen=True, slots=True)
class RefuseUpload:
    """Fail a task without sending anything. `problem` says why, and what to do."""

    task_id: int
    name: str
    path: PurePath
    reason: UploadReason
    problem: AsyncCvatError


@dataclass(frozen=True, slots=True)
class PutBack:
    """Put annotations back that an upload replaced.

    Attributes:
        task_id: The task.
        name: The task's name.
        path: The file that keeps them.
        reason: Why.
        now: What the task has.
        kept: What is put back.
    """

    task_id: int
    name: str
    path: PurePath
    reason: UploadReason
    now: AnnotationCounts
    kept: AnnotationCounts


UploadStep = Upload | SkipUpload | RefuseUpload | PutBack
S = TypeVar("S", Upload, SkipUpload, RefuseUpload, PutBack)
_KINDS: dict[type, str] = {
    Upload: "upload",
    SkipUpload: "skip",
    RefuseUpload: "refuse",
    PutBack: "put back",
}


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What an upload will do, as one step for each task."""

    steps: tuple[UploadStep, ...]

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind}={count}" for kind, count in self.counts.items())
        return f"{type(self).__name__}({counts})"

    def of(self, kind: type[S]) -> tuple[S, ...]:
        """Return the steps of one kind, in order."""
        return tuple(step for step in self.steps if isinstance(step, kind))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind; always in one order."""
        kinds = Counter[type](map(type, self.steps))
        return Counter({name: kinds[kind] for kind, name in _KINDS.items() if kinds[kind]})

    def with_refusals(self, refused: Mapping[int, AsyncCvatError]) -> UploadPlan:
        """Return the plan with uploads to some tasks refused, and why."""
        return UploadPlan(
            tuple(
                RefuseUpload(step.task_id, step.name, step.path, _why_refused(problem), problem)
                if isinstance(step, Upload) and (problem := refused.get(step.task_id))
                else step
                for step in self.steps
            )
        )

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "counts": dict(self.counts),
            "steps": [_record(step) for step in self.steps],
        }


def _why_refused(problem: AsyncCvatError) -> UploadReason:
    """Return why a task is refused after its annotations were compared with the file's."""
    match problem:
        case AnnotationFileError():
            return UploadReason.FILE
        case UploadError():
            return UploadReason.LOSS
        case _:
            return UploadReason.UNREADABLE


def _record(step: UploadStep) -> dict[str, Any]:
    record: dict[str, Any] = {
        "step": _KINDS[type(step)],
        "task_id": step.task_id,
        "name": step.name,
        "path": str(step.path),
        "reason": str(step.reason),
    }
    if isinstance(step, Upload):
        record["importer"] = step.importer
    elif isinstance(step, RefuseUpload):
        record["error"] = str(step.problem)
    elif isinstance(step, PutBack):
        record |= {"now": step.now.to_json(), "kept": step.kept.to_json()}
    return record


def plan_uploads(
    candidates: Iterable[UploadCandidate],
    listing: TaskListing,
    *,
    overwrite: bool = False,
    force: bool = False,
) -> UploadPlan:
    """Compare files with the server's tasks.

    Args:
        candidates: The files, one candidate for each task.
        listing: Their tasks, as the server lists them. Tasks with a problem, and tasks that are
            skipped, need not be in it.
        overwrite: Also upload to tasks that changed since they were mirrored.
        force: Also upload files that are unchanged since they were mirrored.
    """
    tasks = {task.id: task for task in listing.tasks}
    steps: list[UploadStep] = []
    for one in candidates:
        task = tasks.get(one.task_id)
        name = one.name if task is None else task.name
        refusal: tuple[UploadReason, AsyncCvatError] | None = None
        if one.problem is not None:
            refusal = UploadReason.FILE, one.problem
        elif one.may_be_skipped(force=force):
            steps.append(SkipUpload(one.task_id, name, one.path, UploadReason.UNCHANGED))
            continue
        elif task is None:
            refusal = UploadReason.NOT_FOUND, not_found(one.task_id)
        elif task.without_data:
            refusal = UploadReason.NO_DATA, _no_data(one.task_id)
        elif None not in (one.dimension, task.dimension) and one.dimension != task.dimension:
            refusal = UploadReason.DIMENSION, _other_dimension(one, task)
        elif not overwrite and _is_changed(one, task):
            refusal = UploadReason.CONFLICT, changed_since(one.task_id)
        if refusal is not None:
            steps.append(RefuseUpload(one.task_id, name, one.path, *refusal))
            continue
        reason = _why(one, force=force)
        assert task is not None, "a missing task is refused"
        is_guarded = not overwrite and one.mirrored_date is not None
        guard = (one.mirrored_date, task.updated_date) if is_guarded else (None, None)
        steps.append(Upload(one.task_id, name, one.path, reason, one.importer, *guard))
    return UploadPlan(tuple(steps))


def _is_changed(one: UploadCandidate, task: Task) -> bool:
    """Whether anyone but asynccvat changed a task since it was mirrored."""
    return one.mirrored_date is not None and task.updated_date not in (
        one.mirrored_date,
        one.left_date,
    )


def _why(one: UploadCandidate, *, force: bool) -> UploadReason:
    if one.edited:
        return UploadReason.EDITED
    if one.named:
        return UploadReason.ASKED_FOR
    return UploadReason.FORCED if force else UploadReason.FOUND


def changed_since(task_id: int) -> TaskChangedError:
    """Return the error of a task that was changed since it was mirrored."""
    return TaskChangedError(
        f"cannot upload to task {task_id}: it changed on the server since it was mirrored, and the "
        "upload would replace that change. Mirror it (your edited files go to kept/), edit again "
        "and upload, or give --overwrite.",
        task_id=task_id,
        step="plan",
    )


def not_found(task_id: int, *, what: str = "upload to") -> NotFoundError:
    """Return the error of a task that the server does not list. `what` cannot be done."""
    return NotFoundError(
        f"cannot {what} task {task_id}: there is no such task, or this user may not see it. "
        "Check the id, the user and the organization.",
        status=404,
        task_id=task_id,
        step="list",
    )


def _other_dimension(one: UploadCandidate, task: Task) -> UploadError:
    return UploadError(
        f"cannot upload to task {task.id}: the task is {task.dimension}, and {one.importer!r} "
        f"holds the annotations of {one.dimension} tasks only. Name a format of its dimension, as "
        "`asynccvat formats` shows.",
        task_id=task.id,
        step="plan",
    )


def _no_data(task_id: int) -> UploadError:
    return UploadError(
        f"cannot upload to task {task_id}: it has no data yet, so there is nothing to annotate. "
        "Give it images first.",
        task_id=task_id,
        step="plan",
    )
