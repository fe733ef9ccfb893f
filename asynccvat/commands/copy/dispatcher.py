"""Copy many tasks at once, within what both servers take, and decide when to stop."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial

import anyio

from asynccvat.aio.task_groups import run_beside, run_limited, task_group
from asynccvat.aio.threads import shielded
from asynccvat.client.lookups import TaskLookups
from asynccvat.client.poller import Poller
from asynccvat.commands.copy.one_task import TaskCopier
from asynccvat.commands.copy.sending import BackupSender
from asynccvat.commands.copy.state import BothSides
from asynccvat.commands.restore.making import SENT_AHEAD, BackupMaker
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.comparison import ComparedTask
from asynccvat.core.plans.copy_steps import (
    CopyStep,
    CopyTask,
    FinishCopy,
    KeepCopy,
    ProjectMatch,
    RefuseCopy,
    RemoveCopy,
    SkipCopy,
    UpdateCopy,
)
from asynccvat.core.scheduling.admission import MOST_IN_FLIGHT
from asynccvat.core.scheduling.polling import Demand
from asynccvat.errors import AsyncCvatError, CopyDiffersError, StoreError
from asynccvat.events import (
    Event,
    ExportStarted,
    ImportRequested,
    ImportStarted,
    QueueStalled,
    Retrying,
    TaskStarted,
)
from asynccvat.transfer.bugs import of_one_task
from asynccvat.transfer.exports import Exports
from asynccvat.transfer.outages import (
    OF_EVERY_TASK,
    OutageDetector,
    end_of_run,
    may_make_nothing,
    may_pass,
    refusing_all,
    second_try,
)
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.slots import RequestSlots

# With fewer tasks, all results are asked for, and nothing has to be known of earlier ones.
_ENOUGH_TO_PREDICT = 8
# Copies that are compared, or whose jobs are set, at once.
_SMALL_STEPS = 4


class CopyDispatcher:
    """Copy many tasks, and report how each ended.

    Attributes:
        stopped_by: The failure that ended the run early, None as long as there is none.
    """

    def __init__(self, sides: BothSides, report: ReportBuilder) -> None:
        """Prepare to copy tasks.

        Args:
            sides: Both servers, the journals and the limits.
            report: Receives outcomes and warnings.
        """
        options = sides.options
        self.stopped_by: AsyncCvatError | None = None
        self._emit = sides.emit
        self._report = report
        self._outages = OutageDetector()
        self._left = 0
        # The tasks of which the target is not asked to make a copy yet.
        self._to_send: set[int] = set()
        self._backups = Poller(
            sides.source,
            timeout=options.export_timeout,
            queue_timeout=options.queue_timeout,
            demand=self._demand_of_backups,
            noun="backup",
            on_started=lambda task_id: self._note_event(ExportStarted(task_id)),
            on_stalled=lambda stall: sides.emit(QueueStalled(stall)),
        )
        self._restores = Poller(
            sides.target,
            timeout=options.import_timeout,
            queue_timeout=options.queue_timeout,
            demand=self._demand,
            action="import",
            by_task=False,
            on_started=lambda task_id: self._note_event(ImportStarted(task_id)),
            on_stalled=lambda stall: sides.emit(QueueStalled(stall)),
        )
        self._exports = Exports(
            sides.source, self._backups, retries=options.retries, emit=self._note_event
        )
        slots = RequestSlots(self._backups, options.concurrency)
        self._maker = BackupMaker(
            sides.target,
            sides.state.restores,
            self._restores,
            concurrency=options.concurrency,
            # Those that the source makes ready count, too.
            ahead=lambda: slots.limit + options.transfers + SENT_AHEAD,
            emit=self._note_event,
        )
        self._sides = sides
        self._sender = BackupSender(sides, self._exports, slots)
        self._lookups = TaskLookups(sides.target, is_busy=lambda: bool(self._to_send))
        self._copier = TaskCopier(sides, self._sender, self._maker, self._lookups)
        most = options.concurrency or MOST_IN_FLIGHT
        self._under_way = anyio.Semaphore(2 * most + options.transfers)
        self._scope = anyio.CancelScope()
        self._second_chances: list[CopyTask | FinishCopy] = []

    async def settle_lost_calls(self) -> None:
        """Find out what earlier processes asked of the target, before the plan is made.

        Raises:
            AsyncCvatError: The target cannot be asked.
        """
        await self._restores.during(self._maker.settle_lost_calls())

    async def carry_out(
        self,
        steps: Sequence[CopyStep],
        *,
        projects: Mapping[int | None, ProjectMatch],
        jobs: Mapping[int, str],
    ) -> None:
        """Carry steps out. What the target has begun goes on after a cancellation.

        Args:
            steps: The plan's steps; refusals and removals are passed over.
            projects: The target's project for each project of the source; all of them are made.
            jobs: The digest of each task's jobs at the source; empty without `states`.
        """
        self._copier = TaskCopier(
            self._sides, self._sender, self._maker, self._lookups, projects=projects, jobs=jobs
        )
        copies = [step for step in steps if isinstance(step, CopyTask | FinishCopy)]
        self._left = len(copies)
        self._to_send = {step.task.id for step in copies}
        try:
            with self._scope:
                work = self._restores.during(self._carry_out(steps, copies))
                if len(copies) >= _ENOUGH_TO_PREDICT:
                    work = run_beside(self._exports.list_earlier_results, work)
                await self._backups.during(work)
        finally:
            await shielded(self._cancel_queued())

    async def remove(self, steps: Sequence[RemoveCopy]) -> None:
        """Remove copies, one after the other."""
        for step in steps:
            if self.stopped_by is None:
                await self._one(step, self._copier.remove(step))

    async def _cancel_queued(self) -> None:
        left = len((await self._exports.cancel_queued()).may_be_queued)
        if left:
            backups = "1 backup may remain" if left == 1 else f"{left} backups may remain"
            self._report.warn(
                f"{backups} queued at the source: it did not confirm the cancellation. "
                "`asynccvat requests cancel --all` removes what still waits."
            )

    async def _carry_out(
        self, steps: Sequence[CopyStep], copies: Sequence[CopyTask | FinishCopy]
    ) -> None:
        for step in steps:
            if isinstance(step, SkipCopy):
                self._report.done(_skipped(step))
        others = [step for step in steps if isinstance(step, KeepCopy | UpdateCopy)]
        await run_limited(_SMALL_STEPS, [partial(self._keep, step) for step in others])
        await self._copy_each(copies)
        # What failed may pass by now.
        again, self._second_chances = self._second_chances, []
        await self._copy_each(again, is_second=True)

    async def _keep(self, step: KeepCopy | UpdateCopy) -> None:
        copier = self._copier
        await self._one(
            step, copier.keep(step) if isinstance(step, KeepCopy) else copier.update(step)
        )

    async def _copy_each(
        self, steps: Sequence[CopyTask | FinishCopy], *, is_second: bool = False
    ) -> None:
        async with task_group() as group:
            for step in steps:
                await self._under_way.acquire()
                group.start_soon(partial(self._copy, step, is_second=is_second))

    async def _copy(self, step: CopyTask | FinishCopy, *, is_second: bool) -> None:
        try:
            if self.stopped_by is None:
                await self._one(step, self._copier.copy(step), may_repeat=not is_second)
        finally:
            self._left -= 1
            self._to_send.discard(step.task.id)
            self._under_way.release()

    async def _one(
        self, step: CopyStep, work: Awaitable[TaskOutcome], *, may_repeat: bool = False
    ) -> None:
        task_id = task_of(step)
        self._emit(TaskStarted(task_id, name_of(step)))
        try:
            outcome = await of_one_task(work, task_id)
        except AsyncCvatError as error:
            self._note_failure(task_id, error)
            if isinstance(error, OF_EVERY_TASK) or may_make_nothing(error):
                return
            if may_repeat and may_pass(error) and isinstance(step, CopyTask | FinishCopy):
                # The journals and the copier know how far it is, so that nothing is done twice.
                self._emit(Retrying(task_id, error.step or "", second_try(error), 0.0))
                self._second_chances.append(step)
                return
            self._report.done(failed(step, error))
            return
        self._report.done(outcome)

    def _demand(self) -> Demand:
        return Demand(more_to_request=bool(self._to_send))

    def _demand_of_backups(self) -> Demand:
        return Demand(
            more_to_request=self._left > 0, may_fetch=self._exports.can_predict, has_room=True
        )

    def _note_event(self, event: Event) -> None:
        if isinstance(event, ImportRequested):
            self._to_send.discard(event.task_id)
        self._outages.note(event)
        self._emit(event)

    def _note_failure(self, task_id: int, error: AsyncCvatError) -> None:
        if may_make_nothing(error):
            # What the target has begun goes on, and is compared.
            self.stopped_by = self.stopped_by or error
            return
        why = error if isinstance(error, OF_EVERY_TASK) else end_of_run(error)
        if isinstance(error, StoreError):
            why = error  # no other copy can be noted, either
        if self._outages.is_refusing_all(task_id, error):
            why = refusing_all(error)
        if why is not None and self.stopped_by is None:
            self.stopped_by = why
            self._scope.cancel()


def task_of(step: CopyStep) -> int:
    """Return the task that a step is about."""
    match step:
        case RemoveCopy(copied=copied):
            return copied.task
        case RefuseCopy(task_id=task_id):
            return task_id
        case _:
            return step.task.id


def name_of(step: CopyStep) -> str:
    """Return the name of the task that a step is about."""
    match step:
        case RemoveCopy(copied=copied):
            return copied.target.name
        case RefuseCopy(name=name):
            return name
        case _:
            return step.task.name


def failed(step: CopyStep, error: AsyncCvatError) -> TaskOutcome:
    """Return the outcome of a step that failed or was refused."""
    copy: int | None = None
    match step:
        case RemoveCopy(copied=copied) | UpdateCopy(copied=copied) | KeepCopy(copied=copied):
            copy = copied.copy
        case RefuseCopy() | FinishCopy():
            copy = step.copy
        case _:
            pass
    compared = error.compared if isinstance(error, CopyDiffersError) else None
    return FailedOutcome(
        task_id=task_of(step),
        name=name_of(step),
        action=Action.FAILED,
        reason=step.reason,
        error=error,
        new_id=copy,
        compared=compared if isinstance(compared, ComparedTask) else None,
    )


def _skipped(step: SkipCopy) -> TaskOutcome:
    return TaskOutcome(
        task_id=step.task.id,
        name=step.task.name,
        action=Action.SKIPPED,
        reason=step.reason,
        warnings=(step.detail,),
    )
