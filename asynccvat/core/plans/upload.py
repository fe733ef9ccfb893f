"""What an upload has to do: files x the server's tasks x receipts -> a plan, with its reasons.

Pure comparison. Which files there are, and whether they can be what they claim, was looked at
before; carrying the plan out is left to `uploads`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any, TypeVar

from asynccvat.core.models import TaskListing
from asynccvat.errors import AsyncCvatError, NotFoundError, TaskChangedError, UploadError


class UploadReason(StrEnum):
    """Why a file is uploaded, left alone or refused."""

    ASKED_FOR = "asked for"
    EDITED = "edited"
    FOUND = "found"
    FORCED = "forced"
    UNCHANGED = "unchanged"
    FILE = "file"
    NOT_FOUND = "not found"
    NO_DATA = "no data"
    CONFLICT = "conflict"
    NOT_MIRRORED = "not mirrored"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCandidate:
    """A file, or the files of a folder, that is meant for a task.

    Attributes:
        task_id: The task.
        name: Its name as far as receipts know it.
        path: The file, or the folder whose files are packed.
        importer: The importer's name.
        named: Whether the task was named, rather than found among others.
        edited: Whether it differs from what the receipt says; None where no receipt speaks of it.
        mirrored_date: The task's `updated_date` by the receipt, None where there is none.
        problem: Why it cannot be uploaded.
    """

    task_id: int
    name: str = ""
    path: PurePath
    importer: str
    named: bool
    edited: bool | None = None
    mirrored_date: str | None = None
    problem: AsyncCvatError | None = None

    def may_be_skipped(self, *, force: bool) -> bool:
        """Whether nothing was edited in it, and nobody named it."""
        return self.edited is False and not self.named and not force


@dataclass(frozen=True, slots=True)
class Upload:
    """Import a file into a task; `mirrored_date` where the task must be in that state still."""

    task_id: int
    name: str
    path: PurePath
    reason: UploadReason
    importer: str
    mirrored_date: str | None = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Leave a task alone."""

    task_id: int
    name: str
    path: PurePath
    reason: UploadReason


@dataclass(frozen=True, slots=True)
class Refuse:
    """Fail a task without sending anything; `problem` says why, and what to do."""

    task_id: int
    name: str
    path: PurePath
    reason: UploadReason
    problem: AsyncCvatError


Step = Upload | Skip | Refuse
S = TypeVar("S", Upload, Skip, Refuse)


@dataclass(frozen=True, slots=True)
class UploadPlan:
    """What an upload will do: one step for each task."""

    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind}={count}" for kind, count in self.counts.items())
        return f"{type(self).__name__}({counts})"

    def of(self, kind: type[S]) -> tuple[S, ...]:
        """The steps of one kind, in order."""
        return tuple(step for step in self.steps if isinstance(step, kind))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind, by lower-case name."""
        return Counter(type(step).__name__.lower() for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "counts": dict(self.counts),
            "steps": [_record(step) for step in self.steps],
        }


def _record(step: Step) -> dict[str, Any]:
    record: dict[str, Any] = {
        "step": type(step).__name__.lower(),
        "task_id": step.task_id,
        "name": step.name,
        "path": str(step.path),
        "reason": str(step.reason),
    }
    if isinstance(step, Upload):
        record["importer"] = step.importer
    elif isinstance(step, Refuse):
        record["error"] = str(step.problem)
    return record


def plan_uploads(
    candidates: Iterable[UploadCandidate],
    listing: TaskListing,
    *,
    only_if_unchanged: bool = False,
    force: bool = False,
) -> UploadPlan:
    """Compare what is here with what the server has.

    Args:
        candidates: What is meant for which task; one for each.
        listing: Those tasks, as the server lists them; not needed of those that have a
            problem, or are skipped.
        only_if_unchanged: Refuse a task that is not as it was mirrored.
        force: Upload also what was found and is as it was mirrored.
    """
    tasks = {task.id: task for task in listing.tasks}
    steps: list[Step] = []
    for one in candidates:
        task = tasks.get(one.task_id)
        name = one.name if task is None else task.name
        refusal: tuple[UploadReason, AsyncCvatError] | None = None
        if one.problem is not None:
            refusal = UploadReason.FILE, one.problem
        elif one.may_be_skipped(force=force):
            steps.append(Skip(one.task_id, name, one.path, UploadReason.UNCHANGED))
            continue
        elif task is None:
            refusal = UploadReason.NOT_FOUND, _not_found(one.task_id)
        elif task.without_data:
            refusal = UploadReason.NO_DATA, _no_data(one.task_id)
        elif only_if_unchanged:
            refusal = _conflict(one, task.updated_date)
        if refusal is not None:
            steps.append(Refuse(one.task_id, name, one.path, *refusal))
            continue
        reason = _why(one, force=force)
        guard = one.mirrored_date if only_if_unchanged else None
        steps.append(Upload(one.task_id, name, one.path, reason, one.importer, guard))
    return UploadPlan(tuple(steps))


def _why(one: UploadCandidate, *, force: bool) -> UploadReason:
    if one.edited:
        return UploadReason.EDITED
    if one.named:
        return UploadReason.ASKED_FOR
    return UploadReason.FORCED if force else UploadReason.FOUND


def _conflict(
    one: UploadCandidate, updated_date: str
) -> tuple[UploadReason, AsyncCvatError] | None:
    if one.mirrored_date is None:
        return UploadReason.NOT_MIRRORED, UploadError(
            f"task {one.task_id}: no receipt says which state of the task {one.path} is of, so "
            "only_if_unchanged (--only-if-unchanged) refuses it; mirror the task, or leave that "
            "out",
            task_id=one.task_id,
            step="plan",
        )
    if one.mirrored_date != updated_date:
        return UploadReason.CONFLICT, changed_since(one.task_id)
    return None


def changed_since(task_id: int) -> TaskChangedError:
    """The error of a task that somebody changed since it was mirrored."""
    return TaskChangedError(
        f"task {task_id} changed on the server since it was mirrored, and an upload would replace "
        "that: mirror it (your edited files go to kept/), edit again, and upload",
        task_id=task_id,
        step="plan",
    )


def _not_found(task_id: int) -> NotFoundError:
    return NotFoundError(
        f"task {task_id}: there is no such task, or this user may not see it",
        status=404,
        task_id=task_id,
        step="list",
    )


def _no_data(task_id: int) -> UploadError:
    return UploadError(
        f"task {task_id} has no data yet, so there is nothing to annotate: give it images first",
        task_id=task_id,
        step="plan",
    )
