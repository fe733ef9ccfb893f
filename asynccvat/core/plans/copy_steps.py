"""The steps of a copy to another server, their reasons, and the plan that holds them.

`core.plans.copy` decides which step each task gets, `commands.copy` carries them out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from asynccvat.core.models import Task, TaskListing
from asynccvat.core.records.copies import Begun, Copied


class CopyReason(StrEnum):
    """Why a step of a copy is taken."""

    NEW = "new"
    """The task has no copy yet."""
    CHANGED = "changed"
    """The task changed since it was copied."""
    MISSING = "missing"
    """Its copy was deleted at the target."""
    STATES = "states of jobs"
    """Only the stages or states of its jobs changed since it was copied."""
    INTERRUPTED = "interrupted"
    """An earlier run asked the target for it, and ended before the comparison."""
    UNCHANGED = "unchanged"
    """It is as it was copied, and so is the copy."""
    EDITED = "edited"
    """Its copy was changed at the target."""
    GONE = "gone"
    """It was deleted at the source."""
    REPLACED = "replaced"
    """A newer copy has replaced this one."""
    EXISTING = "existing at the target"
    """The target's project has a task of the same name that the journal does not know."""
    PROJECT = "project"
    """The target's project cannot take it."""
    FORBIDDEN = "forbidden"
    """The user may not see its copy."""
    NO_DATA = "no data"
    """It has no images yet, so CVAT cannot back it up."""
    NOT_FOUND = "not found"
    """The source has no such task, or the user may not see it."""


class CopyTask(msgspec.Struct, frozen=True):
    """Copy a task. An earlier copy is removed once the new one stands and is compared.

    Attributes:
        task: The task at the source.
        reason: Why.
        previous: The copy that is replaced, None for none.
        discard: The id of a task that an interrupted run made of an earlier state; it is removed
            first. None for none.
    """

    task: Task
    reason: CopyReason
    previous: Copied | None = None
    discard: int | None = None


class FinishCopy(msgspec.Struct, frozen=True):
    """Finish what an interrupted run began.

    Attributes:
        task: The task at the source.
        reason: Why.
        begun: What was begun.
        copy: The task that the target made. None if that is yet to be looked for.
        previous: The copy that is replaced, None for none.
    """

    task: Task
    reason: CopyReason
    begun: Begun
    copy: int | None = None
    previous: Copied | None = None


class UpdateCopy(msgspec.Struct, frozen=True):
    """Set the stages and states of a copy's jobs. Nothing else changed.

    Attributes:
        task: The task at the source.
        reason: Why.
        copied: The copy.
    """

    task: Task
    reason: CopyReason
    copied: Copied


class KeepCopy(msgspec.Struct, frozen=True):
    """Do nothing: neither side changed, or only the copy.

    Attributes:
        task: The task at the source.
        reason: Why.
        copied: The copy.
        detail: What is to be known about it.
    """

    task: Task
    reason: CopyReason
    copied: Copied
    detail: str = ""


class RemoveCopy(msgspec.Struct, frozen=True):
    """Remove a copy from the target.

    Attributes:
        copied: The copy.
        reason: Why.
    """

    copied: Copied
    reason: CopyReason


class RefuseCopy(msgspec.Struct, frozen=True):
    """Fail a task without changing anything.

    Attributes:
        task_id: The task at the source.
        name: Its name.
        reason: Why, in one word.
        detail: Why, in a sentence.
        copy: Its copy, None for none.
        existing: A task of the target that looks like its copy and is not in the journal.
        is_removal: Whether the removal of its copy is refused.
    """

    task_id: int
    name: str
    reason: CopyReason
    detail: str
    copy: int | None = None
    existing: int | None = None
    is_removal: bool = False

    @property
    def named_detail(self) -> str:
        """Why, with the id at the target before what to do."""
        at = self.copy if self.existing is None else self.existing
        cause, dot, then = self.detail.rpartition(". ")
        which = "" if at is None else f" (id {at} at the target)"
        return f"{cause}{which}. {then}" if dot else f"{then}{which}"


class SkipCopy(msgspec.Struct, frozen=True):
    """Do nothing: the task cannot be copied yet."""

    task: Task
    reason: CopyReason
    detail: str


CopyStep = CopyTask | FinishCopy | UpdateCopy | KeepCopy | RemoveCopy | RefuseCopy | SkipCopy
S = TypeVar("S", CopyTask, FinishCopy, UpdateCopy, KeepCopy, RemoveCopy, RefuseCopy, SkipCopy)


@dataclass(frozen=True, slots=True)
class ProjectMatch:
    """Which project of the target takes the tasks of one of the source.

    Attributes:
        into: The target's project. None if it is to be made, or if tasks stay outside projects.
        name: The name to make it with; "" if it is not made.
        labels: The labels to make it with, as the source lists them.
        problem: Why it cannot take the tasks, "" if it can.
    """

    into: int | None = None
    name: str = ""
    labels: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    problem: str = ""

    @property
    def is_made(self) -> bool:
        """Whether the project is to be made."""
        return self.into is None and bool(self.name)


_NAMES: Mapping[type, str] = {
    CopyTask: "copy",
    FinishCopy: "finish",
    UpdateCopy: "update",
    RemoveCopy: "remove",
    RefuseCopy: "refuse",
    SkipCopy: "skip",
    KeepCopy: "keep",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan:
    """What a copy will do.

    Attributes:
        steps: One for each task, removals last.
        listing: The listing that it was made from.
        projects: The target's project for each project of the source.
        guard: Why the removals may not be carried out, None if they may.
        warnings: What backups do not carry of these tasks, and which are deleted at the source.
        absent: Copied tasks that are deleted at the source and whose copies stay.
    """

    steps: tuple[CopyStep, ...]
    listing: TaskListing
    projects: Mapping[int | None, ProjectMatch] = field(default_factory=dict)
    guard: str | None = None
    warnings: tuple[str, ...] = ()
    absent: tuple[int, ...] = ()

    def __repr__(self) -> str:
        counts = ", ".join(f"{kind}={count}" for kind, count in self.counts.items())
        return f"{type(self).__name__}({counts})"

    def of(self, kind: type[S]) -> tuple[S, ...]:
        """Return the steps of one kind, in order."""
        return tuple([step for step in self.steps if type(step) is kind])

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind, by name; always in one order."""
        kinds = Counter[type](map(type, self.steps))
        return Counter({name: kinds[kind] for kind, name in _NAMES.items() if kinds[kind]})

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "listing_complete": self.listing.complete,
            "guard": self.guard,
            "warnings": list(self.warnings),
            "absent": list(self.absent),
            "projects": [
                {"source": project, "into": match.into, "make": match.name or None}
                for project, match in self.projects.items()
                if project is not None
            ],
            "counts": dict(self.counts),
            "steps": [_record(step) for step in self.steps],
        }


def _record(step: CopyStep) -> dict[str, Any]:
    record: dict[str, Any] = {"step": _NAMES[type(step)]}
    match step:
        case RemoveCopy(copied=copied):
            record |= {"task_id": copied.task, "name": copied.target.name, "copy": copied.copy}
        case RefuseCopy():
            record |= {"task_id": step.task_id, "name": step.name, "copy": step.copy}
            if step.existing is not None:
                record["existing"] = step.existing
        case CopyTask():
            previous = None if step.previous is None else step.previous.copy
            record |= {"task_id": step.task.id, "name": step.task.name, "replaces": previous}
        case FinishCopy():
            record |= {"task_id": step.task.id, "name": step.task.name, "copy": step.copy}
        case UpdateCopy() | KeepCopy():
            record |= {"task_id": step.task.id, "name": step.task.name, "copy": step.copied.copy}
        case _:
            record |= {"task_id": step.task.id, "name": step.task.name}
    record["reason"] = str(step.reason)
    detail = getattr(step, "detail", "")
    if detail:
        record["detail"] = detail
    return record
