"""The rounds of a watch as values: why one lists all tasks, and what it changed on disk."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from asynccvat.core.outcomes import Action, TaskOutcome, error_record
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError

_CHANGING = frozenset({Action.FETCHED, Action.MOVED, Action.REMOVED})


class FullReason(StrEnum):
    """Why a round lists all tasks rather than the newest ones."""

    FIRST = "the first round"
    """Nothing is known of the server yet."""
    TIME = "it is time for a full list"
    """`full_every` is over."""
    COUNT = "the number of tasks changed"
    """Tasks were deleted, or entered or left the selection."""
    MANY = "more tasks changed than one page shows"
    """All tasks of the page are new or changed."""
    UNSORTED = "the server does not sort its list"
    """The page does not tell what changed."""
    TARGET = "projects and jobs are always listed"
    """The date of a project or job does not tell all changes."""
    ABSENT = "a task could not be found"
    """A task that was to be fetched is not there any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChange:
    """A change that a round made on disk.

    Attributes:
        task_id: The task, or the target of another kind.
        name: Its name on the server.
        action: `FETCHED`, `MOVED` or `REMOVED`.
        path: The absolute path of its folder, as text; that of a removed one is gone.
        reason: Why, as in `TaskOutcome`.
        target: What `task_id` is the id of.
    """

    task_id: int
    name: str
    action: Action
    path: str
    reason: str = ""
    target: TargetKind = TargetKind.TASK

    def to_json(self) -> dict[str, Any]:
        """Return the change as JSON types."""
        return {
            f"{self.target}_id": self.task_id,
            "name": self.name,
            "action": str(self.action),
            "path": self.path,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailure:
    """A task that a round could not bring up to date.

    Attributes:
        task_id: The task, or the target of another kind.
        name: Its name on the server, "" if it is unknown.
        message: Why it failed.
        target: What `task_id` is the id of.
    """

    task_id: int
    name: str
    message: str
    target: TargetKind = TargetKind.TASK

    def to_json(self) -> dict[str, Any]:
        """Return the failure as JSON types."""
        return {f"{self.target}_id": self.task_id, "name": self.name, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRound:
    """One round of a watch.

    Attributes:
        number: Counts from 1.
        began: When it began, by the clock here.
        seconds: How long it took, `on_change` included.
        requests: HTTP requests sent.
        transferred: Bytes of archives received.
        full_because: Why it listed all tasks, None if it did not.
        changes: What it changed on disk.
        changed: How many changes there were; `changes` of old rounds has a few of them.
        failures: Tasks that failed. They are tried again in later rounds.
        failed: How many failed; `failures` of old rounds has a few of them.
        error: What kept the round from its end, None otherwise. The next one waits longer.
        warnings: What the user should know; failures of `on_change`, too.
        woken_by: What began it before its time, like `update:task`; "" if its time had come.
    """

    number: int
    began: datetime
    seconds: float = 0.0
    requests: int = 0
    transferred: int = 0
    full_because: FullReason | None = None
    changes: tuple[TaskChange, ...] = ()
    changed: int = 0
    failures: tuple[TaskFailure, ...] = ()
    failed: int = 0
    error: AsyncCvatError | None = None
    warnings: tuple[str, ...] = ()
    woken_by: str = ""

    @property
    def ok(self) -> bool:
        """Whether all that it tried was done. Tasks that failed before may still be waiting."""
        return self.error is None and not self.failed

    @property
    def quiet(self) -> bool:
        """Whether there was nothing to do, and nothing to say."""
        return self.ok and not self.changed and not self.warnings

    def to_json(self) -> dict[str, Any]:
        """Return the round as JSON types, with a schema version."""
        return {
            "version": 1,
            "round": self.number,
            "began": self.began.isoformat().replace("+00:00", "Z"),
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "transferred": self.transferred,
            "full_because": None if self.full_because is None else str(self.full_because),
            "woken_by": self.woken_by,
            "ok": self.ok,
            "changed": self.changed,
            "changes": [change.to_json() for change in self.changes],
            "failed": self.failed,
            "failures": [failure.to_json() for failure in self.failures],
            "error": None if self.error is None else error_record(self.error),
            "warnings": list(self.warnings),
        }


def change_of(outcome: TaskOutcome, path: str) -> TaskChange | None:
    """Return the change that an outcome made on disk, None if it made none.

    Args:
        outcome: The outcome.
        path: The folder of the task, as an absolute path.
    """
    if outcome.action not in _CHANGING:
        return None
    return TaskChange(
        task_id=outcome.task_id,
        name=outcome.name,
        action=outcome.action,
        path=path,
        reason=outcome.reason,
        target=outcome.target,
    )
