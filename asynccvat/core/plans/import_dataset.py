"""Decide what an import of datasets does with each file, and judge what came of it.

`commands.import_dataset` reads the files, and carries the plan out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePath
from typing import Any, TypeVar

from asynccvat.core.models import Task
from asynccvat.core.records.restores import RestoreState
from asynccvat.core.requests import ServerRequest
from asynccvat.errors import AsyncCvatError, RequestUncertainError, RestoreError

_IMPORTS = "import:dataset"
_UNTOUCHED = RestoreState()


class DatasetReason(StrEnum):
    """Why a dataset is imported, passed over or refused."""

    NEW = "new"
    """It was not imported into this project before."""
    INTERRUPTED = "interrupted"
    """An earlier run began to import it."""
    AGAIN = "again"
    """It was imported before, or may have been, and `again` makes its tasks once more."""
    EXISTING = "existing"
    """It was imported before."""
    CHANGED = "changed"
    """The file changed since it was imported, or may have been."""
    FILE = "file"
    """The file is missing, damaged, too large, or no archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetCandidate:
    """A dataset that may be imported.

    Attributes:
        path: The file.
        size: Bytes.
        mtime_ns: When it was changed last, nanoseconds.
        state: How far earlier runs came.
        problem: Why it cannot be imported, None if it can.
    """

    path: PurePath
    size: int = 0
    mtime_ns: int = 0
    state: RestoreState = _UNTOUCHED
    problem: AsyncCvatError | None = None


@dataclass(frozen=True, slots=True)
class ImportDataset:
    """Import a dataset of `size` bytes."""

    project_id: int
    path: PurePath
    reason: DatasetReason
    size: int


@dataclass(frozen=True, slots=True)
class SkipDataset:
    """Leave a dataset that was imported before."""

    project_id: int
    path: PurePath
    reason: DatasetReason


@dataclass(frozen=True, slots=True)
class RefuseDataset:
    """Fail a dataset without sending anything. `problem` says why, and what to do."""

    project_id: int
    path: PurePath
    reason: DatasetReason
    problem: AsyncCvatError


DatasetStep = ImportDataset | SkipDataset | RefuseDataset
S = TypeVar("S", ImportDataset, SkipDataset, RefuseDataset)
_KINDS: dict[type, str] = {ImportDataset: "import", SkipDataset: "skip", RefuseDataset: "refuse"}


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """What an import of datasets will do, as one step for each file."""

    steps: tuple[DatasetStep, ...]

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


def _record(step: DatasetStep) -> dict[str, Any]:
    record: dict[str, Any] = {
        "step": _KINDS[type(step)],
        "project_id": step.project_id,
        "reason": str(step.reason),
        "path": str(step.path),
    }
    if isinstance(step, ImportDataset):
        record["bytes"] = step.size
    elif isinstance(step, RefuseDataset):
        record["error"] = str(step.problem)
    return record


def plan_datasets(
    candidates: Iterable[DatasetCandidate], project_id: int, *, again: bool
) -> DatasetPlan:
    """Decide about datasets for a project. `again` imports also what was imported before."""
    return DatasetPlan(tuple(_step(one, project_id, again=again) for one in candidates))


def _step(one: DatasetCandidate, project_id: int, *, again: bool) -> DatasetStep:
    done, changed = one.state.done is not None, _is_changed(one)
    if changed and not again:
        problem = _changed(one, project_id)
        return RefuseDataset(project_id, one.path, DatasetReason.CHANGED, problem)
    if done and not again:
        return SkipDataset(project_id, one.path, DatasetReason.EXISTING)
    if one.problem is not None:
        return RefuseDataset(project_id, one.path, DatasetReason.FILE, one.problem)
    reason = DatasetReason.NEW
    if done or changed:
        reason = DatasetReason.AGAIN
    elif one.state != _UNTOUCHED:
        reason = DatasetReason.INTERRUPTED
    return ImportDataset(project_id, one.path, reason, one.size)


def _is_changed(one: DatasetCandidate) -> bool:
    """Whether a file is another one than that of an import that was requested."""
    known = one.state.sending
    if one.problem is not None or known is None or one.state.requesting is None:
        return False
    return (known.size, known.mtime_ns) != (one.size, one.mtime_ns)


def _changed(one: DatasetCandidate, project_id: int) -> AsyncCvatError:
    what = f"nothing was done for {str(one.path)!r}: it changed since"
    if one.state.done is not None:
        return RestoreError(
            f"{what} it was imported into project {project_id}, and an import makes all of its "
            "tasks again. Give --again to import it.",
            step="plan",
        )
    return RequestUncertainError(
        f"{what} an import of it into project {project_id} was requested, which may have happened. "
        "Look at the project's tasks. Give --again to import it.",
        step="plan",
    )


def not_begun(step: ImportDataset, before: ImportDataset) -> RestoreError:
    """Return the error of a dataset that waits for the uncertain import of another one."""
    return RestoreError(
        f"the import of {str(step.path)!r} was not begun: what came of that of "
        f"{str(before.path)!r} is not known, and a second such answer could not be told from it. "
        "Run the same command again when that is settled.",
        step="plan",
    )


def last_import(requests: Iterable[ServerRequest], project_id: int) -> datetime | None:
    """Return when the import into a project was requested that the server remembers."""
    dates = [one.created_date for one in requests if _is_into(one, project_id)]
    return max((date for date in dates if date is not None), default=None)


def import_since(
    requests: Iterable[ServerRequest],
    project_id: int,
    since: datetime,
    after: datetime | None,
) -> ServerRequest | None:
    """Return the import into a project that a lost call has begun.

    CVAT runs one import of a project at a time, and all of them have one id.

    Args:
        requests: What the server remembers.
        project_id: The project.
        since: The server's clock before the call. It is rounded down to whole seconds.
        after: When the import before it was requested, None if there was none.
    """
    for one in requests:
        created = one.created_date
        if created is None or not _is_into(one, project_id):
            continue
        if created >= since and (after is None or created > after):
            return one
    return None


def made_after(tasks: Iterable[Task], newest: int) -> tuple[int, ...]:
    """Return the tasks of a project that were made after its newest one: ids only grow."""
    return tuple(sorted(task.id for task in tasks if task.id > newest))


def _is_into(request: ServerRequest, project_id: int) -> bool:
    operation = request.operation
    return operation.type == _IMPORTS and operation.project_id == project_id
