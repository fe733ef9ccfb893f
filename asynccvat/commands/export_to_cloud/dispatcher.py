"""Request many exports to a cloud storage, wait for them, and look the objects up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.aio.threads import shielded
from asynccvat.client import CvatClient, internals
from asynccvat.client.poller import Poller
from asynccvat.commands.export_to_cloud.objects import ObjectLookup
from asynccvat.core.options.cloud import CloudOptions
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.cloud import (
    EXPLANATIONS,
    CloudReason,
    CloudRecord,
    CloudStep,
    described,
)
from asynccvat.core.requests import RequestStatus, ServerRequest
from asynccvat.core.scheduling.polling import Demand
from asynccvat.core.specs import BucketKey, RequestSpec
from asynccvat.core.texts import first_few
from asynccvat.errors import (
    AsyncCvatError,
    ExportError,
    ExportExpiredError,
    ExportFailedError,
    ObjectExistsError,
    ResponseError,
    StoreError,
)
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ExportStarted,
    QueueStalled,
    Retrying,
    TaskStarted,
)
from asynccvat.transfer.bugs import of_one_task
from asynccvat.transfer.outages import OF_EVERY_TASK, end_of_run
from asynccvat.transfer.own_requests import OwnRequests
from asynccvat.transfer.slots import RequestSlots

# From this status on, a server may have done what it did not confirm.
_SERVER_ERRORS = 500

Note = Callable[[CloudRecord], Awaitable[None]]


class CloudDispatcher:
    """Let a server write archives to a cloud storage, and report how each ended.

    Attributes:
        stopped_by: The failure that ended the run early, None as long as there is none.
    """

    def __init__(
        self,
        client: CvatClient,
        spec: RequestSpec,
        options: CloudOptions,
        *,
        storage_id: int,
        objects: ObjectLookup,
        note: Note,
        emit: Callable[[Event], None],
        done: Callable[[TaskOutcome], None],
        warn: Callable[[str], None],
    ) -> None:
        """Prepare to request exports.

        Args:
            client: The server.
            spec: What it makes of each target.
            options: Limits and retries.
            storage_id: The cloud storage.
            objects: Looks objects up.
            note: Records an object that is about to be written, or that was found there.
            emit: Receives the events.
            done: Receives each outcome.
            warn: Receives warnings about the run.
        """
        self.stopped_by: AsyncCvatError | None = None
        self._client = client
        self._spec = spec
        self._storage_id = storage_id
        self._retries = options.retries
        self._objects = objects
        self._note = note
        self._emit = emit
        self._done = done
        self._warn = warn
        # The targets that the server is not asked to export yet.
        self._to_request: set[int] = set()
        self._accepted: set[int] = set()
        self._poller = Poller(
            client,
            timeout=options.export_timeout,
            queue_timeout=options.queue_timeout,
            demand=lambda: Demand(more_to_request=bool(self._to_request)),
            target=spec.target,
            noun=spec.noun,
            on_started=lambda target_id: emit(ExportStarted(target_id)),
            on_stalled=lambda stall: emit(QueueStalled(stall)),
        )
        self._own = OwnRequests(client, self._poller)
        self._slots = RequestSlots(self._poller, options.concurrency)
        self._scope = anyio.CancelScope()

    async def write_all(self, steps: Sequence[CloudStep]) -> None:
        """Request the exports, in the given order. A cancellation cancels those still queued."""
        self._to_request = {step.target_id for step in steps}
        try:
            with self._scope:
                await self._poller.during(self._write_each(steps))
        finally:
            await shielded(self._cancel_queued())

    async def _cancel_queued(self) -> None:
        left = (await self._own.cancel_queued()).task_ids
        if left:
            of = self._spec.target.plural if len(left) > 1 else str(self._spec.target)
            self._warn(
                f"the {self._spec.noun} of {of} {first_few(left)} may still be written to the "
                "cloud storage: the server did not cancel it. Run again when it has ended."
            )

    async def _write_each(self, steps: Sequence[CloudStep]) -> None:
        async with task_group() as group:
            for step in steps:
                await self._slots.acquire()
                group.start_soon(partial(self._write, step))

    async def _write(self, step: CloudStep) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        self._emit(TaskStarted(step.target_id, "" if step.task is None else step.task.name))
        try:
            outcome = await of_one_task(
                self._written(step, began), step.target_id, self._spec.target
            )
        except AsyncCvatError as error:
            why = error if isinstance(error, (*OF_EVERY_TASK, StoreError)) else end_of_run(error)
            if why is not None:
                if self.stopped_by is None:
                    self.stopped_by = why
                    self._scope.cancel()
                return
            outcome = failed(step, self._spec, error, clock() - began)
        finally:
            self._to_request.discard(step.target_id)
        self._done(outcome)

    async def _written(self, step: CloudStep, began: float) -> TaskOutcome:
        task = step.task
        assert task is not None, "only what was listed is written"
        name = step.key.rpartition("/")[2]
        try:
            if step.reason is CloudReason.NEW and not step.known and name in self._objects.seen:
                raise ObjectExistsError(
                    f"cannot {self._spec.verb} {self._spec.target} {step.target_id} to "
                    f"{step.key!r}: {EXPLANATIONS[CloudReason.EXISTS]}.",
                    task_id=step.target_id,
                    step="export",
                )
            # If the run is killed after the server wrote the object, the next one knows it.
            await self._note(self._record(step, what=described(self._spec, task), state=""))
            request = await self._exported(step, self._spec.for_mode(task.mode))
        except AsyncCvatError as error:
            if step.reason is not CloudReason.CHANGED and self._is_unwritten(step, error):
                await self._note(self._record(step, what="", state=""))
            raise
        finally:
            self._slots.release()
        self._emit(
            ExportFinished(step.target_id, request.worker_seconds, ended_at=request.finished_date)
        )
        if name not in await self._objects.names():
            # What may lie there later is somebody else's.
            await self._note(self._record(step, what="", state=""))
            raise ExportError(
                f"the {self._spec.noun} of {self._spec.target} {step.target_id} ended, but "
                f"{step.key!r} is not in the cloud storage. Look at the storage and its "
                "permissions in CVAT.",
                task_id=step.target_id,
                step="lookup",
            )
        await self._note(
            self._record(step, what=described(self._spec, task), state=task.updated_date)
        )
        return TaskOutcome(
            task_id=step.target_id,
            target=self._spec.target,
            name=step.name,
            action=Action.WRITTEN,
            reason=step.reason,
            location=step.key,
            seconds=asyncio.get_running_loop().time() - began,
        )

    def _is_unwritten(self, step: CloudStep, error: AsyncCvatError) -> bool:
        """Whether it is certain that the server wrote no object for an export that failed."""
        if isinstance(error, ExportFailedError):
            return True
        refused = isinstance(error, ResponseError) and error.status < _SERVER_ERRORS
        return refused and step.target_id not in self._accepted

    def _record(self, step: CloudStep, *, what: str, state: str) -> CloudRecord:
        return CloudRecord(
            storage=self._storage_id,
            key=step.key,
            target=self._spec.target,
            id=step.target_id,
            what=what,
            state=state,
            written_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )

    async def _exported(self, step: CloudStep, spec: RequestSpec) -> ServerRequest:
        """Request an export until one of our own has ended.

        The server has one request for a target and a format. One that another client began may go
        elsewhere, so it is only waited for.
        """
        to = BucketKey(self._storage_id, step.key)
        problem = ExportError(
            f"cannot {spec.verb} {spec.target} {step.target_id}: another client of the same user "
            "exports it again and again. Try again later.",
            task_id=step.target_id,
            step="export",
            retryable=True,
        )
        for _attempt in range(self._retries + 1):
            call = internals(self._client).request_to_bucket(step.target_id, spec, to)
            watched = await self._own.send(call, step.target_id)
            if watched.created:
                self._accepted.add(step.target_id)
            self._emit(ExportRequested(step.target_id, watched.rq_id, watched.created))
            self._to_request.discard(step.target_id)
            try:
                request = await self._poller.wait(watched)
            except ExportExpiredError as error:
                self._own.forget(watched)
                problem = error
                self._emit(Retrying(step.target_id, "export", str(error), 0.0))
                continue
            assert request is not None, "no result is predicted"
            if not watched.created:
                continue
            self._own.forget(watched)
            if request.state is RequestStatus.FAILED:
                raise ExportFailedError(
                    f"the server could not {spec.verb} {spec.target} {step.target_id} to "
                    f"{step.key!r}: {request.cause or 'no reason given'}",
                    task_id=step.target_id,
                    rq_id=request.id,
                    step="export",
                )
            return request
        raise problem


def failed(
    step: CloudStep, spec: RequestSpec, error: AsyncCvatError, seconds: float = 0.0
) -> TaskOutcome:
    """Return the outcome of a target whose object was not written."""
    return FailedOutcome(
        task_id=step.target_id,
        target=spec.target,
        name=step.name,
        action=Action.FAILED,
        reason=step.reason,
        location=step.key or None,
        error=error,
        seconds=seconds,
    )
