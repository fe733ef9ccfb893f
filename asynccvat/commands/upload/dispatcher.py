"""Upload many files at once, and decide when to stop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.aio.threads import shielded
from asynccvat.client import CvatClient
from asynccvat.client.poller import Poller
from asynccvat.commands.upload.one_task import Imported, TaskUploader, UploadOrder
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.outcomes import Action, AnnotationChange, FailedOutcome, TaskOutcome
from asynccvat.core.plans.upload import RefuseUpload, Upload
from asynccvat.core.scheduling.admission import MOST_IN_FLIGHT
from asynccvat.core.scheduling.polling import Demand
from asynccvat.core.texts import first_few
from asynccvat.errors import AnnotationLossError, AsyncCvatError
from asynccvat.events import (
    Event,
    ImportRequested,
    ImportStarted,
    QueueStalled,
    Retrying,
    TaskStarted,
)
from asynccvat.http import giving_way
from asynccvat.store import ReplacedAnnotations
from asynccvat.transfer.bugs import of_one_task
from asynccvat.transfer.imports import Imports
from asynccvat.transfer.outages import (
    OF_EVERY_TASK,
    OutageDetector,
    end_of_run,
    may_pass,
    refusing_all,
    second_try,
)
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.slots import RequestSlots


class UploadDispatcher:
    """Upload many files, and report how each task ended.

    Attributes:
        imported: What was imported, in the order in which it ended.
        stopped_by: The failure that ended the run early, None as long as there is none.
    """

    def __init__(
        self,
        client: CvatClient,
        options: UploadOptions,
        emit: Callable[[Event], None],
        report: ReportBuilder,
    ) -> None:
        """Prepare to upload files.

        Args:
            client: The server.
            options: Limits, retries and the mode.
            emit: Receives the events.
            report: Receives outcomes and warnings.
        """
        self.imported: list[tuple[UploadOrder, Imported]] = []
        self.stopped_by: AsyncCvatError | None = None
        self._emit = emit
        self._report = report
        self._outages = OutageDetector()
        # The tasks into which the server is not asked to import yet.
        self._to_request: set[int] = set()
        self._poller = Poller(
            client,
            timeout=options.import_timeout,
            queue_timeout=options.queue_timeout,
            demand=lambda: Demand(more_to_request=bool(self._to_request)),
            action="import",
            on_started=lambda task_id: self._note_event(ImportStarted(task_id)),
            on_stalled=lambda stall: emit(QueueStalled(stall)),
        )
        self._imports = Imports(
            client, self._poller, retries=options.retries, emit=self._note_event
        )
        self._uploader = TaskUploader(
            client,
            self._imports,
            RequestSlots(self._poller, options.concurrency),
            options,
            emit=self._note_event,
            before_request=self._to_request.discard,
        )
        self._under_way = anyio.Semaphore(
            (options.concurrency or MOST_IN_FLIGHT) + options.transfers
        )
        self._scope = anyio.CancelScope()
        self._second_chances: list[UploadOrder] = []
        self._requested: set[int] = set()

    async def upload_all(self, orders: Sequence[UploadOrder]) -> None:
        """Upload files. A cancellation cancels the imports that are still queued."""
        self._to_request.update(order.step.task_id for order in orders)
        try:
            with self._scope:
                await self._poller.during(self._upload_all(orders))
        finally:
            await shielded(self._cancel_queued(orders))

    async def _cancel_queued(self, orders: Sequence[UploadOrder]) -> None:
        left = (await self._imports.cancel_queued()).task_ids
        if left:
            self._report.warn(_still_running(left, orders))

    async def _upload_all(self, orders: Sequence[UploadOrder]) -> None:
        with giving_way(self._gives_way):
            await self._upload_each(orders)
        # What failed may pass by now.
        await self._upload_each(self._second_chances, is_second=True)

    async def _upload_each(self, orders: Sequence[UploadOrder], *, is_second: bool = False) -> None:
        async with task_group() as group:
            for order in orders:
                await self._under_way.acquire()
                group.start_soon(partial(self._upload, order, is_second=is_second))

    async def _upload(self, order: UploadOrder, *, is_second: bool = False) -> None:
        self._emit(TaskStarted(order.step.task_id, order.step.name))
        try:
            imported = await of_one_task(self._uploader.upload(order), order.step.task_id)
        except AsyncCvatError as error:
            self._note_failure(order.step.task_id, error)
            if isinstance(error, OF_EVERY_TASK):
                return
            # An import that was requested may have changed the task, whatever failed then.
            untouched = order.step.task_id not in self._requested
            if may_pass(error) and untouched and not is_second:
                self._emit(Retrying(order.step.task_id, error.step or "", second_try(error), 0.0))
                self._second_chances.append(order)
                return
            self._report.done(failed(order.step, error))
            return
        finally:
            self._to_request.discard(order.step.task_id)
            self._under_way.release()
        self.imported.append((order, imported))
        self._report.done(imported.outcome)

    def _gives_way(self, step: str, task_id: int) -> bool:
        """Whether an import whose request keeps failing leaves its slot to the next task."""
        if not self._to_request or step != "upload" or task_id in self._requested:
            return False
        return task_id in self._uploader.resendable and self._outages.may_give_way(task_id, step)

    def _note_event(self, event: Event) -> None:
        if isinstance(event, ImportRequested):
            self._requested.add(event.task_id)
        self._outages.note(event)
        self._emit(event)

    def _note_failure(self, task_id: int, error: AsyncCvatError) -> None:
        # A disk that cannot keep what is replaced keeps nothing of the next task either.
        why = error if isinstance(error, OF_EVERY_TASK) else end_of_run(error)
        if self._outages.is_refusing_all(task_id, error):
            why = refusing_all(error)
        if why is not None and self.stopped_by is None:
            self.stopped_by = why
            self._scope.cancel()


def failed(step: Upload | RefuseUpload, error: AsyncCvatError) -> TaskOutcome:
    """Return the outcome of a task whose upload failed or was refused."""
    change = None
    if isinstance(error, AnnotationLossError) and error.before is not None:
        change = AnnotationChange(error.before, error.in_file, error.after)
    return FailedOutcome(
        task_id=step.task_id,
        name=step.name,
        action=Action.FAILED,
        reason=step.reason,
        location=str(step.path),
        error=error,
        annotations=change,
    )


def _still_running(left: Sequence[int], orders: Sequence[UploadOrder]) -> str:
    """Return the warning about imports that an interrupted run could not cancel."""
    keeping: dict[ReplacedAnnotations, list[int]] = {}
    for order in orders:
        if order.step.task_id in left and order.replaced is not None:
            keeping.setdefault(order.replaced, []).append(order.step.task_id)
    back = "".join(
        f" `{replaced.command(*ids, overwrite=True)}` puts back what {_named(ids)} held before."
        for replaced, ids in keeping.items()
    )
    return (
        f"cannot cancel the import into {_named(left)}: the server runs it, or has ended it. Look "
        f"there before you upload again.{back}"
    )


def _named(task_ids: Sequence[int]) -> str:
    return ("task " if len(task_ids) == 1 else "tasks ") + first_few(task_ids)
