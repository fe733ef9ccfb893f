"""Outcomes of tasks, and reports of runs."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from asynccvat.core.plans.comparison import ComparedTask
from asynccvat.core.plans.mirror import Reason
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError


class Action(StrEnum):
    """What was done with a task."""

    FETCHED = "fetched"
    """Its export was read into its folder."""
    UPLOADED = "uploaded"
    """Its annotations were imported."""
    BACKED_UP = "backed up"
    """Its backup was made, checked and stored."""
    RESTORED = "restored"
    """It was made from a backup."""
    CREATED = "created"
    """It was made from images, a video or an archive."""
    IMPORTED = "imported"
    """A dataset was imported into it."""
    COPIED = "copied"
    """It was copied to another server or organization."""
    UPDATED = "updated"
    """The stages and states of its copy's jobs were set."""
    DELETED = "deleted"
    """It was deleted on the server."""
    WRITTEN = "written"
    """The server wrote it to a bucket."""
    KEPT = "kept"
    """It was unchanged, and its folder stayed as it is."""
    MOVED = "moved"
    """Its folder was renamed."""
    REMOVED = "removed"
    """Its folder was removed, as the task is gone from the server."""
    EXPIRED = "expired"
    """One of its older backups was removed, as `keep` says."""
    SKIPPED = "skipped"
    """There was nothing to do, or nothing that can be done."""
    PASSED_OVER = "passed over"
    """It was to be deleted and is still there; `warnings` says why."""
    FAILED = "failed"
    """It failed; `error` says why."""


_TRANSFERRED = frozenset(
    {
        Action.FETCHED,
        Action.UPLOADED,
        Action.BACKED_UP,
        Action.RESTORED,
        Action.CREATED,
        Action.IMPORTED,
        Action.COPIED,
    }
)


class AnnotationChange(msgspec.Struct, frozen=True, gc=False):
    """How many annotations a task had before an import, and how many it has after it.

    Attributes:
        before: Before the import.
        in_file: In the file, None if they cannot be counted exactly.
        after: After the import, None if that could not be read.
    """

    before: int
    in_file: int | None = None
    after: int | None = None

    def to_json(self) -> dict[str, int | None]:
        """Return the numbers as JSON types."""
        return {"before": self.before, "in_file": self.in_file, "after": self.after}


class TaskOutcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The outcome of one task.

    A report may hold a hundred thousand of these. They are therefore small, and the garbage
    collector skips them: following that many would stop the process for a tenth of a second.
    A failed task has a `FailedOutcome`, which the collector follows, as its error leads to frames.

    Attributes:
        task_id: The task, or the target of another kind.
        target: What `task_id` is the id of. In JSON the id is `task_id`, `project_id` or `job_id`.
        of_task: The task of a job, None for other targets.
        name: Its name on the server, "" if it is unknown: a download does not list tasks. Of an
            import of a dataset, the name of the file.
        action: What was done.
        reason: Why: the value of a `Reason` (`new`, `changed`, `unchanged`, `asked for`, ...), or
            of an `UploadReason`.
        location: The task's folder, or the file that was uploaded, as text; None if there is none.
            `path` has it as a `Path`.
        error: Why it failed, with its traceback; None otherwise.
        files: Files in the folder if it was fetched, or files that were uploaded.
        bytes: Sum of their sizes.
        transferred: Bytes received or sent over the network for the task.
        seconds: From the export's request to the commit, or from the first byte sent to the end
            of the import.
        annotations: How many annotations the task had and has, if it was uploaded to; None
            otherwise.
        emptied: Whether the task was fetched without annotations, and the folder had some before.
        kept: The file that keeps what an upload replaced; None if there is none.
        new_id: The id of what the server made of it, None if it made nothing.
        made: The tasks that an import of a dataset made.
        compared: The task and its copy, if it was copied and both were read.
        warnings: What the user should know, for example edited files moved to quarantine.
    """

    task_id: int
    target: TargetKind = TargetKind.TASK
    action: Action
    reason: str
    name: str = ""
    location: str | None = None
    error: AsyncCvatError | None = None
    files: int = 0
    bytes: int = 0
    transferred: int = 0
    seconds: float = 0.0
    annotations: AnnotationChange | None = None
    emptied: bool = False
    kept: str | None = None
    new_id: int | None = None
    made: tuple[int, ...] = ()
    of_task: int | None = None
    compared: ComparedTask | None = None
    warnings: tuple[str, ...] = ()

    @property
    def path(self) -> Path | None:
        """The task's folder, or the file that was uploaded; None if there is none."""
        return None if self.location is None else Path(self.location)

    def __repr__(self) -> str:
        why = f", error={self.error!r}" if self.error is not None else ""
        return (
            f"{type(self).__name__}({self.target}_id={self.task_id}, action={str(self.action)!r}, "
            f"reason={str(self.reason)!r}, location={self.location!r}{why})"
        )

    @property
    def ok(self) -> bool:
        """Whether the folder is there, whole and up to date, or gone as planned."""
        return self.action not in (Action.FAILED, Action.PASSED_OVER)

    @property
    def of_older_backup(self) -> bool:
        """Whether it is about an older backup of the task that `keep` does not keep."""
        return self.reason == Reason.EXPIRED

    @property
    def failure(self) -> str:
        """Why it failed or was passed over, with its id named once; "" if it was not."""
        if self.ok:
            return ""
        text = str(self.error or " ".join(self.warnings) or self.reason)
        named = f"{self.target} {self.task_id}"
        if not self.task_id:
            return text  # a file that does not tell its task
        return text if re.search(rf"\b{named}\b", text, re.IGNORECASE) else f"{named}: {text}"

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as JSON types, without empty values."""
        record: dict[str, Any] = {
            f"{self.target}_id": self.task_id,
            "name": self.name,
            "action": str(self.action),
            "reason": self.reason,
        }
        known = {
            "task_id": self.of_task,
            "path": self.location,
            "kept": self.kept,
            "error": None if self.error is None else error_record(self.error),
            "new_id": self.new_id,
            "compared": None if self.compared is None else self.compared.to_json(),
        }
        record |= {name: value for name, value in known.items() if value is not None}
        if self.action in _TRANSFERRED:
            record |= {
                "files": self.files,
                "bytes": self.bytes,
                "transferred": self.transferred,
                "seconds": round(self.seconds, 3),
            }
        if self.annotations is not None:
            record["annotations"] = self.annotations.to_json()
        if self.made:
            record["made"] = list(self.made)
        if self.emptied:
            record["emptied"] = True
        if self.warnings:
            record["warnings"] = list(self.warnings)
        return record


class FailedOutcome(TaskOutcome, frozen=True, kw_only=True, gc=True):
    """The outcome of a task that failed.

    Its error keeps the traceback. The frames in it may lead back to this outcome, so the garbage
    collector has to follow it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did: a mirror, a download or an upload.

    Attributes:
        outcomes: One for each task of the plan, and one for each older backup that `keep` removes,
            in the order in which they ended.
        target: What the run was about: tasks, projects or jobs.
        seconds: Wall time of the run.
        requests: HTTP requests sent, login and listing included.
        transferred: Bytes of archives received, or of files sent.
        listing_complete: False if the listing never agreed with the server's count. Nothing was
            removed then.
        interrupted: True after a cancellation, or an error that ended the run.
        stopped_by: The error that ended the run early: no room left, credentials refused, server
            down. None otherwise.
        guard: Why planned removals were not carried out, None otherwise.
        new_ids_file: The `restored.json` of a restore: which id became which. None if there is
            none.
        warnings: About the run, not about one task.
    """

    outcomes: tuple[TaskOutcome, ...] = ()
    target: TargetKind = TargetKind.TASK
    seconds: float = 0.0
    requests: int = 0
    transferred: int = 0
    listing_complete: bool = True
    interrupted: bool = False
    stopped_by: AsyncCvatError | None = None
    guard: str | None = None
    new_ids_file: Path | None = None
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
    def targets(self) -> int:
        """How many tasks, projects or jobs have an outcome. Their older backups do not count."""
        return sum(not outcome.of_older_backup for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[TaskOutcome, ...]:
        """The outcomes that failed."""
        return tuple(outcome for outcome in self.outcomes if outcome.action is Action.FAILED)

    @property
    def passed_over(self) -> tuple[TaskOutcome, ...]:
        """The outcomes of what was to be deleted and is still there."""
        return tuple(outcome for outcome in self.outcomes if outcome.action is Action.PASSED_OVER)

    @property
    def counts(self) -> Counter[Action]:
        """How many outcomes have each action. Actions that none has count 0."""
        return Counter(outcome.action for outcome in self.outcomes)

    def count(self, action: Action) -> int:
        """How many outcomes have this action."""
        return self.counts[action]

    def __repr__(self) -> str:
        counts = self.counts
        done = "".join(f", {action}={counts[action]}" for action in Action if counts[action])
        why = "" if self.stopped_by is None else f", stopped_by={self.stopped_by!r}"
        return f"RunReport(ok={self.ok}{done}, seconds={self.seconds:.1f}{why})"

    def raise_for_failures(self) -> None:
        """Raise an exception if anything failed, or was not deleted although it was to be.

        Raises:
            TasksFailedError: A task failed or was passed over, or an error ended the run. `.report`
                is this report.
        """
        if self.stopped_by is not None:
            raise TasksFailedError(f"the run stopped: {self.stopped_by}", report=self)
        failures = self.failures
        if failures:
            raise TasksFailedError(
                f"{len(failures)} of {self.targets} {failures[0].target.plural} failed. "
                f"The first: {failures[0].failure}",
                report=self,
            )
        left = self.passed_over
        if left:
            raise TasksFailedError(
                f"{len(left)} of {self.targets} {left[0].target.plural} were passed over. "
                f"The first: {left[0].failure}",
                report=self,
            )

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types, with a schema version."""
        tasks = [outcome.to_json() for outcome in self.outcomes]
        return {"version": 1, **self.summary(), "tasks": tasks}

    def summary(self) -> dict[str, Any]:
        """Return the report without its tasks, as JSON types."""
        counts = self.counts
        return {
            "ok": self.ok,
            "interrupted": self.interrupted,
            "stopped_by": None if self.stopped_by is None else error_record(self.stopped_by),
            "guard": self.guard,
            "target": str(self.target),
            "new_ids_file": None if self.new_ids_file is None else str(self.new_ids_file),
            "listing_complete": self.listing_complete,
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "transferred": self.transferred,
            "counts": {str(action): counts[action] for action in Action if counts[action]},
            "warnings": list(self.warnings),
        }


class TasksFailedError(AsyncCvatError):
    """Some tasks failed or were passed over. Raised by `RunReport.raise_for_failures` only.

    Attributes:
        report: The whole report, failures included.
    """

    def __init__(self, message: str, *, report: RunReport) -> None:
        super().__init__(message)
        self.report = report


def error_record(error: AsyncCvatError) -> dict[str, str]:
    """Return an error as JSON types."""
    return {"type": type(error).__name__, "message": str(error)}
