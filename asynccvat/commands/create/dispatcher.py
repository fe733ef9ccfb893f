"""Create many tasks at once, import their annotations, and decide when to stop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client.poller import Poller
from asynccvat.commands.create.annotations import import_all
from asynccvat.commands.create.context import CreateContext
from asynccvat.commands.create.one_task import TaskCreator
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.create import CreateStep, CreateStepKind
from asynccvat.core.scheduling.admission import MOST_IN_FLIGHT
from asynccvat.core.scheduling.polling import Demand
from asynccvat.errors import (
    AsyncCvatError,
    NotFoundError,
    PermissionDeniedError,
    ResponseError,
    StoreError,
)
from asynccvat.events import Event, ImportStarted, QueueStalled
from asynccvat.transfer.bugs import of_one_task
from asynccvat.transfer.outages import OF_EVERY_TASK, OutageDetector, end_of_run, refusing_all
from asynccvat.transfer.report import ReportBuilder


class CreateDispatcher:
    """Create tasks, and report how each ended.

    Attributes:
        stopped_by: The failure that ended the run early, None as long as there is none.
    """

    def __init__(self, context: CreateContext, report: ReportBuilder) -> None:
        """Prepare to create tasks. The report receives outcomes and warnings."""
        self.stopped_by: AsyncCvatError | None = None
        self._context = context
        self._report = report
        self._outages = OutageDetector()
        self._left = 0
        options = context.options
        self._poller = Poller(
            context.client,
            timeout=options.import_timeout,
            queue_timeout=options.queue_timeout,
            demand=lambda: Demand(more_to_request=self._left > 0),
            action="create",
            on_started=lambda task_id: self._note_event(ImportStarted(task_id)),
            on_stalled=lambda stall: context.emit(QueueStalled(stall)),
        )
        self._creator = TaskCreator(context, self._poller)
        self._under_way = anyio.Semaphore(
            (options.concurrency or MOST_IN_FLIGHT) + options.transfers
        )
        self._scope = anyio.CancelScope()
        self._to_annotate: list[tuple[CreateStep, TaskOutcome]] = []

    async def create_all(self, steps: Sequence[CreateStep]) -> None:
        """Create tasks, and import the annotations next to their media afterwards."""
        for step in steps:
            if step.kind is CreateStepKind.ANNOTATE:
                made = made_before(step, Action.CREATED, self._context.root)
                self._to_annotate.append((step, made))
        to_create = [step for step in steps if step.kind is not CreateStepKind.ANNOTATE]
        self._left = len(to_create)
        with self._scope:
            await self._poller.during(self._create_each(to_create))
        if self.stopped_by is None and self._to_annotate:
            self.stopped_by = await import_all(self._context, self._to_annotate, self._report)

    async def _create_each(self, steps: Sequence[CreateStep]) -> None:
        async with task_group() as group:
            for step in steps:
                await self._under_way.acquire()
                group.start_soon(partial(self._create, step))

    async def _create(self, step: CreateStep) -> None:
        try:
            outcome = await of_one_task(self._creator.create(step), step.task_id or 0)
        except AsyncCvatError as error:
            if not self._note_failure(step, error):
                self._report.done(failed(step, error, self._context.root))
            return
        finally:
            self._left -= 1
            self._under_way.release()
        if step.unit.annotations is None:
            self._report.done(outcome)
        else:
            self._to_annotate.append((step, outcome))

    def _note_event(self, event: Event) -> None:
        self._outages.note(event)
        self._context.emit(event)

    def _note_failure(self, step: CreateStep, error: AsyncCvatError) -> bool:
        """Stop the run if every other task would fail, too. Returns whether the run says why."""
        why = error if isinstance(error, OF_EVERY_TASK) else end_of_run(error)
        if isinstance(error, StoreError) or _is_refused_for_all(error):
            why = error
        if self._outages.is_refusing_all(step.task_id or 0, error):
            why = refusing_all(error)
        if why is not None and self.stopped_by is None:
            self.stopped_by = why
            self._scope.cancel()
        return why is error


def _is_refused_for_all(error: AsyncCvatError) -> bool:
    """Whether no task can be made: no permission, a limit is reached, or the project is gone."""
    if error.step != "create" or not isinstance(error, ResponseError):
        return False
    return isinstance(error, PermissionDeniedError | NotFoundError)


def failed(step: CreateStep, error: AsyncCvatError | None, root: Path) -> TaskOutcome:
    """Return the outcome of a unit whose task could not be created."""
    assert error is not None, "a refused step says why"
    return FailedOutcome(
        task_id=error.task_id or step.task_id or 0,
        name=step.unit.name,
        action=Action.FAILED,
        reason=step.reason,
        location=str(root / step.unit.path),
        error=error,
        warnings=step.unit.problems[1:],
    )


def made_before(step: CreateStep, action: Action, root: Path) -> TaskOutcome:
    """Return the outcome of a task that an earlier run created.

    Args:
        step: What is done for it now.
        action: What this run does with it.
        root: The folder that the media's paths begin in.
    """
    return TaskOutcome(
        task_id=step.task_id or 0,
        name=step.unit.name,
        action=action,
        reason=step.reason,
        location=str(root / step.unit.path),
        new_id=step.task_id,
    )
