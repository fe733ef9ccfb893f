"""What became of each task, and of the whole run."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any

import msgspec

from asynccvat.errors import AsyncCvatError, TasksFailedError


class Action(StrEnum):
    """What was done with a task."""

    FETCHED = "fetched"
    UPLOADED = "uploaded"
    KEPT = "kept"
    MOVED = "moved"
    REMOVED = "removed"
    SKIPPED = "skipped"
    FAILED = "failed"


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of one task.

    A report holds one for each task, a hundred thousand perhaps: so it is small, and nothing that
    the garbage collector would have to look at, which takes a tenth of a second for so many. What
    it cannot see, it cannot free: the error of an outcome has no traceback (`without_traceback`),
    as that would lead to frames which hold the outcome. Raise an error of your own from it, or
    `RunReport.raise_for_failures`.

    Attributes:
        task_id: The task.
        name: Its name on the server, "" where it is not known: a download does not list tasks.
        action: What was done.
        reason: Why: the value of a `Reason` (`new`, `changed`, `unchanged`, `asked for`, ...), or
            of an `UploadReason`.
        location: Where the task's folder is, or what was uploaded; None where there is none. As a
            path: `path`.
        error: Why it failed, None otherwise.
        files: Files that the folder holds, for fetched ones; files that were uploaded.
        bytes: Sum of their sizes.
        transferred: Bytes that came, or were sent, over the network for it.
        seconds: From asking for the export to the commit; from the first byte sent to the import's
            end.
        warnings: What the user ought to know: edited files put aside, and so on.
    """

    task_id: int
    action: Action
    reason: str
    name: str = ""
    location: str | None = None
    error: AsyncCvatError | None = None
    files: int = 0
    bytes: int = 0
    transferred: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> PurePath | None:
        """The task's folder, or what was uploaded; None where there is none."""
        return None if self.location is None else PurePath(self.location)

    @property
    def ok(self) -> bool:
        """Whether the folder is there, whole and up to date (or gone, as planned)."""
        return self.action is not Action.FAILED

    @property
    def failure(self) -> str:
        """Why it failed, with the task's id, which is named once; "" where it did not."""
        if self.ok:
            return ""
        text = str(self.error or self.reason)
        named = f"task {self.task_id}"
        return text if re.search(rf"\b{named}\b", text, re.IGNORECASE) else f"{named}: {text}"

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON types, without what is empty."""
        record: dict[str, Any] = {
            "task_id": self.task_id,
            "name": self.name,
            "action": str(self.action),
            "reason": self.reason,
        }
        if self.location is not None:
            record["path"] = self.location
        if self.error is not None:
            record["error"] = error_record(self.error)
        if self.action in (Action.FETCHED, Action.UPLOADED):
            record |= {
                "files": self.files,
                "bytes": self.bytes,
                "transferred": self.transferred,
                "seconds": round(self.seconds, 3),
            }
        if self.warnings:
            record["warnings"] = list(self.warnings)
        return record


def without_traceback(error: BaseException | None) -> None:
    """Let an error, and what led to it, go of the frames that they came through."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did.

    Attributes:
        outcomes: One for each task of the plan, in the order in which they landed.
        seconds: Wall time of the run.
        requests: HTTP requests sent, login and listing included.
        transferred: Bytes of archives received, or of files sent.
        listing_complete: False where the listing never agreed with the server's count; nothing
            was removed then.
        interrupted: True after a cancellation or an error that ended the run.
        stopped_by: The error that ended the run before its end (no room left, credentials no
            longer accepted, server gone), None otherwise.
        guard: Why planned removals were not carried out, None otherwise.
        warnings: About the run, not about one task.
    """

    outcomes: tuple[TaskOutcome, ...] = ()
    seconds: float = 0.0
    requests: int = 0
    transferred: int = 0
    listing_complete: bool = True
    interrupted: bool = False
    stopped_by: AsyncCvatError | None = None
    guard: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that was planned is done."""
        return (
            not self.interrupted
            and self.listing_complete
            and self.guard is None
            and all(outcome.ok for outcome in self.outcomes)
        )

    @property
    def failures(self) -> tuple[TaskOutcome, ...]:
        """The outcomes that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.action is Action.FAILED)

    def count(self, action: Action) -> int:
        """How many tasks had this action."""
        return sum(outcome.action is action for outcome in self.outcomes)

    def raise_for_failures(self) -> None:
        """Turn failures into an exception, for callers who want one.

        Raises:
            TasksFailedError: A task failed, or an error ended the run; `.report` is this report.
        """
        if self.stopped_by is not None:
            raise TasksFailedError(f"the run stopped: {self.stopped_by}", report=self)
        failures = self.failures
        if failures:
            raise TasksFailedError(
                f"{len(failures)} of {len(self.outcomes)} tasks failed; "
                f"the first: {failures[0].failure}",
                report=self,
            )

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types, with a schema version."""
        tasks = [outcome.to_json() for outcome in self.outcomes]
        return {"version": 1, **self.summary(), "tasks": tasks}

    def summary(self) -> dict[str, Any]:
        """What the report says of the run as a whole, as JSON types."""
        counts = Counter(outcome.action for outcome in self.outcomes)
        return {
            "ok": self.ok,
            "interrupted": self.interrupted,
            "stopped_by": None if self.stopped_by is None else error_record(self.stopped_by),
            "guard": self.guard,
            "listing_complete": self.listing_complete,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "transferred": self.transferred,
            "counts": {str(action): counts[action] for action in Action if counts[action]},
            "warnings": list(self.warnings),
        }


def error_record(error: AsyncCvatError) -> dict[str, str]:
    """An error as JSON types."""
    return {"type": type(error).__name__, "message": str(error)}
