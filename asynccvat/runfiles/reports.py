"""What became of each step of a run file, and what each would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asynccvat.core.outcomes import Action, RunReport, TaskOutcome
from asynccvat.core.plans.download import DownloadPlan
from asynccvat.core.plans.mirror import Plan
from asynccvat.core.plans.upload import UploadPlan
from asynccvat.errors import AsyncCvatError
from asynccvat.runfiles.steps import Step

AnyPlan = Plan | UploadPlan | DownloadPlan

_LEFT_ALONE = (Action.KEPT, Action.SKIPPED)


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of one step.

    Attributes:
        step: The step.
        reports: What the engine says: one report, but for uploads one for each format; none
            where the step was not run.
        not_run: Why it was not run: what stopped an earlier step on its server.
    """

    step: Step
    reports: tuple[RunReport, ...] = ()
    not_run: AsyncCvatError | None = None

    @property
    def outcomes(self) -> tuple[TaskOutcome, ...]:
        """What became of each task."""
        return tuple(outcome for report in self.reports for outcome in report.outcomes)

    @property
    def stopped_by(self) -> AsyncCvatError | None:
        """What ended it before its end, or kept it from beginning; None otherwise."""
        errors = (report.stopped_by for report in self.reports)
        return next((error for error in errors if error is not None), self.not_run)

    @property
    def done(self) -> int:
        """Tasks that something was done for: fetched, uploaded, moved, removed."""
        return sum(one.ok and one.action not in _LEFT_ALONE for one in self.outcomes)

    @property
    def skipped(self) -> int:
        """Tasks that were as they should be, or left alone."""
        return sum(one.action in _LEFT_ALONE for one in self.outcomes)

    @property
    def warned(self) -> int:
        """Warnings, about tasks and about the whole."""
        of_tasks = sum(len(one.warnings) for one in self.outcomes)
        return of_tasks + sum(len(report.warnings) for report in self.reports)

    @property
    def failed(self) -> int:
        """Tasks that failed."""
        return sum(not one.ok for one in self.outcomes)

    @property
    def ok(self) -> bool:
        """Whether it was run, and everything that was planned is done."""
        return self.not_run is None and all(report.ok for report in self.reports)

    def to_json(self) -> dict[str, Any]:
        """The step and its report as JSON types."""
        return {
            **described(self.step),
            "ok": self.ok,
            "done": self.done,
            "skipped": self.skipped,
            "warned": self.warned,
            "failed": self.failed,
            "not_run": None if self.not_run is None else str(self.not_run),
            "reports": [report.to_json() for report in self.reports],
        }


@dataclass(frozen=True, slots=True)
class RunFileReport:
    """What became of the steps of a run file, in their order."""

    steps: tuple[StepReport, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that was planned is done."""
        return all(step.ok for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types, with a schema version."""
        return {"version": 1, "ok": self.ok, "steps": [step.to_json() for step in self.steps]}


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What one step would do.

    Attributes:
        step: The step.
        plans: One plan, but for uploads one for each format.
        awaits: Of an upload, what an earlier step is to bring, by task.
        error: Why there is none.
    """

    step: Step
    plans: tuple[AnyPlan, ...] = ()
    awaits: Mapping[int, Path] = field(default_factory=dict)
    error: AsyncCvatError | None = None

    def to_json(self) -> dict[str, Any]:
        """The step and its plans as JSON types."""
        return {
            **described(self.step),
            "plans": [plan.to_json() for plan in self.plans],
            "awaits": {str(task_id): str(path) for task_id, path in self.awaits.items()},
            "error": None if self.error is None else str(self.error),
        }


def described(step: Step) -> dict[str, Any]:
    """Which step it is, as JSON types."""
    return {"step": step.number, "task": step.task, "line": step.place.line}
