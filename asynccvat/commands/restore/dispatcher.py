"""Restore many backups at once, and decide when to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient
from asynccvat.client.poller import Poller
from asynccvat.commands.restore.one_backup import BackupRestorer, RestoreOrder
from asynccvat.commands.restore.records import RestoreJournal
from asynccvat.core.options.restore import RestoreOptions
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.restore import RefuseRestore, Restore
from asynccvat.core.scheduling.admission import MOST_IN_FLIGHT
from asynccvat.core.scheduling.polling import Demand
from asynccvat.core.texts import first_few
from asynccvat.errors import AsyncCvatError, StoreError
from asynccvat.events import Event, ImportRequested, ImportStarted, QueueStalled, TaskStarted
from asynccvat.transfer.bugs import of_one_task
from asynccvat.transfer.outages import (
    OF_EVERY_TASK,
    OutageDetector,
    end_of_run,
    may_make_nothing,
    refusing_all,
)
from asynccvat.transfer.report import ReportBuilder


class RestoreDispatcher:
    """Restore many backups, and report how each ended.

    Attributes:
        stopped_by: The failure that ended the run early, None as long as there is none.
    """

    def __init__(
        self,
        client: CvatClient,
        journal: RestoreJournal,
        options: RestoreOptions,
        report: ReportBuilder,
        *,
        project_id: int | None,
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare to restore backups.

        Args:
            client: The server.
            journal: The journal.
            options: Limits and retries.
            report: Receives outcomes and warnings.
            project_id: The project that the tasks are moved into, None for none.
            emit: Receives the events.
        """
        self.stopped_by: AsyncCvatError | None = None
        self._journal = journal
        self._emit = emit
        self._report = report
        self._outages = OutageDetector()
        # The targets of the backups that the server is not asked to restore yet.
        self._to_send: set[int] = set()
        self._poller = Poller(
            client,
            timeout=options.import_timeout,
            queue_timeout=options.queue_timeout,
            demand=lambda: Demand(more_to_request=bool(self._to_send)),
            action="import",
            by_task=False,
            on_started=lambda target_id: self._note_event(ImportStarted(target_id)),
            on_stalled=lambda stall: emit(QueueStalled(stall)),
        )
        self._restorer = BackupRestorer(
            client,
            journal,
            self._poller,
            options,
            project_id=project_id,
            is_busy=lambda: bool(self._to_send),
            emit=self._note_event,
        )
        self._under_way = anyio.Semaphore(
            (options.concurrency or MOST_IN_FLIGHT) + options.transfers
        )
        self._scope = anyio.CancelScope()

    async def restore_all(self, orders: Sequence[RestoreOrder]) -> None:
        """Restore backups. What the server has begun goes on after a cancellation."""
        self._to_send = {order.target_id for order in orders}
        try:
            with self._scope:
                await self._poller.during(self._restore_all(orders))
        finally:
            self._tell_of_the_rest(orders)

    def _tell_of_the_rest(self, orders: Sequence[RestoreOrder]) -> None:
        told = {one.location for one in self._report.outcomes}
        states = [
            (order, self._journal.of(order.key))
            for order in orders
            if str(order.step.path) not in told
        ]
        left = [
            str(order.step.path)
            for order, state in states
            if state.rq_id is not None and state.new_id is None
        ]
        if left:
            self._report.warn(
                f"the server goes on with the restore of {first_few(left)}. Run the same command "
                "again to follow it."
            )
        unanswered = self._journal.states.unanswered
        lost = [str(order.step.path) for order, _ in states if order.key in unanswered]
        if lost:
            self._report.warn(
                f"the answer to the restore of {first_few(lost)} was lost. Run the same command "
                "again: it looks for what that made before anything is sent."
            )

    async def _restore_all(self, orders: Sequence[RestoreOrder]) -> None:
        try:
            await self._restorer.maker.settle_lost_calls()
        except AsyncCvatError as error:
            self.stopped_by = error
            return
        async with task_group() as group:
            for order in orders:
                await self._under_way.acquire()
                group.start_soon(partial(self._restore, order))

    async def _restore(self, order: RestoreOrder) -> None:
        target_id = order.step.target_id
        self._emit(TaskStarted(target_id, order.step.name))
        try:
            outcome = await of_one_task(self._restorer.restore(order), target_id)
        except AsyncCvatError as error:
            self._note_failure(target_id, error)
            is_of_run = isinstance(error, OF_EVERY_TASK) or error is self._restorer.refused
            if not (is_of_run or may_make_nothing(error)):
                self._report.done(failed(order.step, error))
            return
        finally:
            self._to_send.discard(target_id)
            self._under_way.release()
        self._report.done(outcome)

    def _note_event(self, event: Event) -> None:
        if isinstance(event, ImportRequested):
            self._to_send.discard(event.task_id)
        self._outages.note(event)
        self._emit(event)

    def _note_failure(self, target_id: int, error: AsyncCvatError) -> None:
        if may_make_nothing(error):
            self._restorer.refused = error
        if self._restorer.refused is not None:
            # What the server has begun goes on, and is compared.
            self.stopped_by = self.stopped_by or self._restorer.refused
            return
        why = error if isinstance(error, OF_EVERY_TASK) else end_of_run(error)
        if isinstance(error, StoreError):
            why = error  # no other restore can be noted, either
        if self._outages.is_refusing_all(target_id, error):
            why = refusing_all(error)
        if why is not None and self.stopped_by is None:
            self.stopped_by = why
            self._scope.cancel()


def failed(step: Restore | RefuseRestore, error: AsyncCvatError) -> TaskOutcome:
    """Return the outcome of a backup whose restore failed or was refused."""
    return FailedOutcome(
        task_id=step.target_id,
        target=step.target,
        name=step.name,
        action=Action.FAILED,
        reason=step.reason,
        location=str(step.path),
        error=error,
    )
