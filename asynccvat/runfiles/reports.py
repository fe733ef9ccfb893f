"""Reports and plans of the steps of a run file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asynccvat.core.outcomes import Action, RunReport, TaskOutcome
from asynccvat.core.plans.cloud import CloudPlan
from asynccvat.core.plans.copy_steps import CopyPlan
from asynccvat.core.plans.create import CreatePlan
from asynccvat.core.plans.delete import DeletePlan
from asynccvat.core.plans.download import DownloadPlan
from asynccvat.core.plans.import_dataset import DatasetPlan
from asynccvat.core.plans.mirror import Plan
from asynccvat.core.plans.restore import RestorePlan
from asynccvat.core.plans.upload import UploadPlan
from asynccvat.errors import AsyncCvatError
from asynccvat.events import Event, RunFinished
from asynccvat.runfiles.steps import RunFileStep
from asynccvat.runfiles.wording import reworded_event, reworded_plan

AnyPlan = (
    Plan
    | UploadPlan
    | DownloadPlan
    | CreatePlan
    | DatasetPlan
    | RestorePlan
    | CopyPlan
    | CloudPlan
    | DeletePlan
)

_UNCHANGED = (Action.KEPT, Action.SKIPPED)


class StepEvents:
    """Receives the events of one step, and keeps the reports of its runs.

    Attributes:
        reports: The report of each run that began, in order.
    """

    def __init__(self, step: RunFileStep, tell: Callable[[RunFileStep, Event], None]) -> None:
        self.reports: list[RunReport] = []
        self._step = step
        self._tell = tell

    def __call__(self, event: Event) -> None:
        """Pass an event on, in the words of run files."""
        event = reworded_event(event, self._step.task)
        if isinstance(event, RunFinished):
            self.reports.append(event.report)
        self._tell(self._step, event)


@dataclass(frozen=True, slots=True)
class StepReport:
    """The result of one step.

    Attributes:
        step: The step.
        reports: The reports of its runs: one, or one for each format of an upload; none if the
            step was not run.
        not_run: Why it was not run: the error that stopped an earlier step on its server, or an
            `EarlierStepError`.
        not_begun: The error that kept a run of it from beginning. Such a run has no report.
    """

    step: RunFileStep
    reports: tuple[RunReport, ...] = ()
    not_run: AsyncCvatError | None = None
    not_begun: AsyncCvatError | None = None

    @property
    def outcomes(self) -> tuple[TaskOutcome, ...]:
        """The outcome of each task."""
        return tuple(outcome for report in self.reports for outcome in report.outcomes)

    @property
    def stopped_by(self) -> AsyncCvatError | None:
        """The error that stopped the step or prevented its start; None without one."""
        errors = (report.stopped_by for report in self.reports)
        of_runs = next((error for error in errors if error is not None), None)
        return of_runs or self.not_begun or self.not_run

    @property
    def done(self) -> int:
        """How many tasks were fetched, uploaded, created, moved or removed."""
        return sum(one.ok and one.action not in _UNCHANGED for one in self.outcomes)

    @property
    def skipped(self) -> int:
        """How many tasks were unchanged or skipped."""
        return sum(one.action in _UNCHANGED for one in self.outcomes)

    @property
    def warned(self) -> int:
        """How many warnings there were, about tasks and about the run."""
        of_tasks = sum(len(one.warnings) for one in self.outcomes)
        return of_tasks + sum(len(report.warnings) for report in self.reports)

    @property
    def failed(self) -> int:
        """How many tasks failed, or were to be deleted and are still there."""
        return sum(not one.ok for one in self.outcomes)

    @property
    def ok(self) -> bool:
        """Whether the step was run and everything planned is done."""
        began = self.not_run is None and self.not_begun is None
        return began and all(report.ok for report in self.reports)

    def to_json(self) -> dict[str, Any]:
        """Return the step and its reports as JSON types."""
        return {
            **described(self.step),
            "ok": self.ok,
            "done": self.done,
            "skipped": self.skipped,
            "warned": self.warned,
            "failed": self.failed,
            "not_run": None if self.not_run is None else str(self.not_run),
            "not_begun": None if self.not_begun is None else str(self.not_begun),
            "reports": [report.to_json() for report in self.reports],
        }


@dataclass(frozen=True, slots=True)
class RunFileReport:
    """The results of a run file's steps, in their order."""

    steps: tuple[StepReport, ...]

    @property
    def ok(self) -> bool:
        """Whether everything planned is done."""
        return all(step.ok for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON types, with a schema version."""
        return {"version": 1, "ok": self.ok, "steps": [step.to_json() for step in self.steps]}


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The plan of one step.

    Attributes:
        step: The step.
        plans: One plan, or one for each format of an upload.
        awaits: The files of an upload that an earlier step will fetch, by task.
        error: Why there is no plan.
    """

    step: RunFileStep
    plans: tuple[AnyPlan, ...] = ()
    awaits: Mapping[int, Path] = field(default_factory=dict)
    error: AsyncCvatError | None = None

    def plans_to_json(self) -> list[dict[str, Any]]:
        """Return the plans as JSON types; their messages name keys of the run file."""
        return [reworded_plan(plan.to_json(), self.step.task) for plan in self.plans]

    def to_json(self) -> dict[str, Any]:
        """Return the step and its plans as JSON types."""
        return {
            **described(self.step),
            "plans": self.plans_to_json(),
            "awaits": {str(task_id): str(path) for task_id, path in self.awaits.items()},
            "error": None if self.error is None else str(self.error),
        }


def described(step: RunFileStep) -> dict[str, Any]:
    """Return what identifies a step, as JSON types."""
    return {"step": step.number, "task": step.task, "line": step.place.line}
