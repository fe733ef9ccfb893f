"""Decide what a restore does with each backup. `core.plans.restored` judges what came of it.

`commands.restore` finds and reads the backups, and carries the plan out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any, TypeVar

from asynccvat.core.backups.contents import BackupContents
from asynccvat.core.backups.labels import BackupLabel, label_problems
from asynccvat.core.records.restores import Done, RestoreState
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import AsyncCvatError, BackupFileError, RestoreError, UploadTooLargeError

_UNTOUCHED = RestoreState()


class RestoreReason(StrEnum):
    """Why a backup is restored, passed over or refused."""

    NEW = "new"
    """It was not restored to this server before."""
    INTERRUPTED = "interrupted"
    """An earlier run began to restore it."""
    GONE = "gone"
    """It was restored before, and what was made of it is gone from the server."""
    AGAIN = "again"
    """It was restored before, and `again` asks for another copy."""
    EXISTING = "existing"
    """It was restored before, and what was made of it is still there."""
    AT_SERVER = "at server"
    """The task or project itself is still at the server, and only missing ones are asked for."""
    FILE = "file"
    """The file is missing, or is no backup that can be restored."""
    TOO_LARGE = "too large"
    """The server takes no file so large."""
    LABELS = "labels"
    """The project lacks a label or an attribute of the task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreCandidate:
    """A backup that may be restored.

    Attributes:
        target_id: The id that it had when it was backed up, 0 if the file does not tell.
        name: Its name, "" if the file cannot be read.
        path: The file.
        size: Bytes of the file.
        contents: What it holds, None if it cannot be read.
        state: How far earlier runs came.
        there: Whether what an earlier run made is still at the server.
        alive: Whether what was backed up is itself still at the server.
        problem: Why it cannot be restored, None if it can.
        target: Whether it is of a task or of a project.
    """

    target_id: int
    name: str = ""
    path: PurePath
    size: int = 0
    contents: BackupContents | None = None
    state: RestoreState = _UNTOUCHED
    there: bool = False
    alive: bool = False
    problem: AsyncCvatError | None = None
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class Restore:
    """Restore a backup.

    Attributes:
        target_id: The id that it had when it was backed up, 0 if the file does not tell.
        name: Its name.
        path: The file.
        reason: Why.
        size: Bytes of the file.
        annotations: How many annotations it holds.
        target: Whether it is of a task or of a project.
    """

    target_id: int
    name: str
    path: PurePath
    reason: RestoreReason
    size: int
    annotations: int
    target: TargetKind = TargetKind.TASK


@dataclass(frozen=True, slots=True)
class SkipRestore:
    """Leave a backup. `new_id` is what an earlier run made of it.

    `detail` says how that differs from what is asked for now, "" if it does not.
    """

    target_id: int
    name: str
    path: PurePath
    reason: RestoreReason
    new_id: int | None
    target: TargetKind = TargetKind.TASK
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RefuseRestore:
    """Fail a backup without sending anything. `problem` says why, and what to do."""

    target_id: int
    name: str
    path: PurePath
    reason: RestoreReason
    problem: AsyncCvatError
    target: TargetKind = TargetKind.TASK


RestoreStep = Restore | SkipRestore | RefuseRestore
S = TypeVar("S", Restore, SkipRestore, RefuseRestore)
_KINDS: dict[type, str] = {Restore: "restore", SkipRestore: "skip", RefuseRestore: "refuse"}


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore will do, as one step for each backup."""

    steps: tuple[RestoreStep, ...]

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

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a schema version."""
        return {"version": 1, "counts": dict(self.counts), "steps": list(map(_record, self.steps))}


def _record(step: RestoreStep) -> dict[str, Any]:
    record: dict[str, Any] = {
        "step": _KINDS[type(step)],
        f"{step.target}_id": step.target_id or None,
        "name": step.name,
        "reason": str(step.reason),
        "path": str(step.path),
    }
    match step:
        case Restore():
            record |= {"bytes": step.size, "annotations": step.annotations}
        case SkipRestore(new_id=int() as new_id):
            record["new_id"] = new_id
            if step.detail:
                record["detail"] = step.detail
        case RefuseRestore():
            record["error"] = str(step.problem)
    return record


def plan_restores(
    candidates: Iterable[RestoreCandidate],
    *,
    upload_limit: int,
    project_id: int | None,
    project_labels: Sequence[BackupLabel],
    again: bool,
    missing: bool = False,
) -> RestorePlan:
    """Decide about backups.

    Args:
        candidates: The backups.
        upload_limit: Bytes of the largest file that the server takes.
        project_id: The project that the tasks are moved into, None for none.
        project_labels: The labels of that project.
        again: Restore also what was restored before.
        missing: Leave what is itself still at the server.
    """
    return RestorePlan(
        tuple(
            _left_alive(one)
            if missing and one.alive
            else _step(one, upload_limit, project_id, project_labels, again=again)
            for one in candidates
        )
    )


def _step(
    one: RestoreCandidate,
    upload_limit: int,
    project_id: int | None,
    labels: Sequence[BackupLabel],
    *,
    again: bool,
) -> RestoreStep:
    done, kind = one.state.done, one.target

    def refused(reason: RestoreReason, problem: AsyncCvatError) -> RefuseRestore:
        return RefuseRestore(one.target_id, one.name, one.path, reason, problem, kind)

    if project_id is not None and kind is TargetKind.PROJECT:
        return refused(RestoreReason.FILE, _of_a_project(one))
    if done is not None and one.there and not again:
        return SkipRestore(
            one.target_id,
            one.name,
            one.path,
            RestoreReason.EXISTING,
            done.new_id,
            kind,
            _elsewhere(done, project_id),
        )
    if one.problem is not None:
        return refused(RestoreReason.FILE, one.problem)
    assert one.contents is not None, "a file that was read has contents"
    if one.size > upload_limit:
        problem = too_large(str(one.path), one.size, upload_limit)
        return refused(RestoreReason.TOO_LARGE, problem)
    if project_id is not None:
        problems = label_problems(one.contents.labels, labels)
        if problems:
            return refused(RestoreReason.LABELS, labels_missing(one, project_id, problems))
    reason = RestoreReason.NEW
    if done is not None:
        reason = RestoreReason.AGAIN if one.there else RestoreReason.GONE
    elif one.state != _UNTOUCHED:
        reason = RestoreReason.INTERRUPTED
    total = one.contents.annotations.total
    return Restore(one.target_id, one.name, one.path, reason, one.size, total, kind)


def _left_alive(one: RestoreCandidate) -> SkipRestore:
    reason = RestoreReason.AT_SERVER
    return SkipRestore(one.target_id, one.name, one.path, reason, None, one.target)


def duplicates_warning(plan: RestorePlan, alive: Collection[int]) -> str | None:
    """Return the warning that a restore makes seconds of what is still at the server.

    Args:
        plan: The plan.
        alive: The tasks or projects that were backed up, and are at the server.

    Returns:
        None if it makes none, or was asked to.
    """
    steps = [one for one in plan.of(Restore) if one.target_id in alive]
    ids = [one.target_id for one in steps if one.reason is not RestoreReason.AGAIN]
    if not ids:
        return None
    kind, many = steps[0].target, len(ids) > 1
    noun = f"{len(ids):,} {kind.plural}, {first_few(ids)}, are" if many else f"{kind} {ids[0]} is"
    return (
        f"{noun} still at the server, and will be there twice. Give --missing to restore only what "
        "the server lacks."
    )


def restored_before_warning(plan: RestorePlan, earlier: Mapping[int, Sequence[int]]) -> str | None:
    """Return the warning that a restore makes seconds of what other backups were restored as.

    Args:
        plan: The plan.
        earlier: What was made of other backups of each task or project, and is at the server.

    Returns:
        None if it makes none, or was asked to.
    """
    steps = [
        one
        for one in plan.of(Restore)
        if one.target_id in earlier and one.reason is not RestoreReason.AGAIN
    ]
    if not steps:
        return None
    kind, (first, *others) = steps[0].target, steps
    made = [first_few(earlier[one.target_id]) for one in steps]
    who, how, they = f"{kind} {first.target_id} was", f"as {kind} {made[0]}", "It"
    if others:
        who, they = f"{len(steps):,} {kind.plural} were", "They"
        how = first_few([f"{one.target_id} as {ids}" for one, ids in zip(steps, made, strict=True)])
    return (
        f"{who} restored before from another backup, {how}. {they} will be there twice. "
        "'restored.json' has the new id of each backup in 'files'."
    )


def _of_a_project(one: RestoreCandidate) -> BackupFileError:
    """Return the error of a project that is to be restored into a project."""
    return BackupFileError(
        f"cannot restore {str(one.path)!r} into a project: it is the backup of a project. Remove "
        "--project.",
        step="plan",
    )


def _elsewhere(done: Done, project_id: int | None) -> str:
    """Return how what was made before is not where it is asked for now, "" if it is."""
    if project_id is None or done.project_id == project_id:
        return ""
    return (
        f"it was restored before as {done.kind} {done.new_id}, and not into project {project_id}. "
        "Move that there, or make another copy with --again"
    )


def too_large(
    path: str,
    size: int,
    limit: int,
    *,
    doing: str = "restore",
    otherwise: str = "Restore a project task by task",
) -> UploadTooLargeError:
    """Return the error of a file that the server does not take."""
    error = UploadTooLargeError(
        f"cannot {doing} {path!r}: it has {size:,} bytes, and the server takes files of at most "
        f"{limit:,} bytes. {otherwise}; or, if the server's limit is higher, "
        "give it with --upload-limit.",
        step="plan",
    )
    error.size, error.most = size, limit
    return error


def labels_missing(one: RestoreCandidate, project_id: int, problems: Sequence[str]) -> RestoreError:
    """Return the error of a task that does not fit into a project."""
    more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
    return RestoreError(
        f"cannot restore {str(one.path)!r} into project {project_id}: {', '.join(problems[:3])}"
        f"{more}. Add it to the project, or restore the task without --project.",
        step="plan",
    )
