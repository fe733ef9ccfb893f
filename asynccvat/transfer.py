"""One task: export -> wait -> read -> commit.

The steps themselves live in `exports`, `archives` and `store`; here is their order, the limits
they run under, and what is done again when a result goes away between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import anyio

from asynccvat.archives import ArchiveRead, ArchiveReader
from asynccvat.core.models import ExportRequest, ExportSpec, Task
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.receipts import Receipt, ReceiptHead
from asynccvat.errors import (
    ArchiveError,
    AsyncCvatError,
    ExportExpiredError,
    ExportNotReadyError,
)
from asynccvat.events import Event, Retrying, TransferFinished
from asynccvat.exports import Exports, ExportSlots
from asynccvat.store import Committed, KeptArchives, Staging


class Folders(Protocol):
    """Where trees are staged and committed: a mirror's store, or one loose folder."""

    async def stage(self, task_id: int) -> Staging:
        """Begin a tree; what an interrupted run left of it can be taken over."""

    async def commit(self, staging: Staging, receipt: Receipt, *, adopt: bool = False) -> Committed:
        """Make a staged tree the task's folder, whole and durable."""

    async def abandon(self, staging: Staging, *, keep: bool) -> None:
        """Give a staged tree up; `keep` leaves what a later run can take over."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an order goes.

    Attributes:
        folders: Where its tree is staged and committed.
        reader: The reader that knows what names can be held there.
        archives: Where its archive is kept as it came, None where it is not.
    """

    folders: Folders
    reader: ArchiveReader
    archives: KeptArchives | None = None


class Shelf(Protocol):
    """Has a place for each order."""

    def place(self, order: Order) -> AbstractAsyncContextManager[Place]:
        """Hold the place of an order while its archive is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be brought, and where it belongs.

    Attributes:
        task: The task, as listed.
        folder: The folder's name.
        reason: Why, in the plan's words.
        adopt: Whether a folder that is in the way and not ours is put aside.
    """

    task: Task
    folder: str
    reason: str
    adopt: bool = False


class Transfers:
    """Carries tasks from the server to a shelf, one by one or many at once.

    Exports in flight and archives being read are limited apart: waiting in the server's queue
    holds no place among the transfers, and a slow network none among the exports.
    """

    def __init__(
        self,
        *,
        exports: Exports,
        slots: ExportSlots,
        shelf: Shelf,
        spec: ExportSpec,
        origin: str,
        organization: str | None,
        transfers: int,
        retries: int,
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare transfers.

        Args:
            exports: Has tasks exported.
            slots: Places for exports in flight.
            shelf: Has a place for each task.
            spec: Format and images, for the receipts.
            origin: The server, for the receipts.
            organization: Its organization, for the receipts.
            transfers: How many archives are read at once.
            retries: How often a result that went away is asked for again.
            emit: Told what happens.
        """
        self._exports = exports
        self._slots = slots
        self._shelf = shelf
        self._spec = spec
        self._origin = origin
        self._organization = organization
        self._reading = anyio.CapacityLimiter(transfers)
        self._retries = retries
        self._emit = emit

    async def bring(self, order: Order) -> TaskOutcome:
        """Bring one task; a place among the exports must be held, and is given back.

        Raises:
            AsyncCvatError: It failed; nothing of it is under its final name.
        """
        clock = asyncio.get_running_loop().time
        began, requested_at = clock(), _now()
        request = await self._exported(order)
        async with self._shelf.place(order) as place:
            staging = await place.folders.stage(order.task.id)
            try:
                read = await self._read(order, request, staging, place)
                self._emit(TransferFinished(order.task.id))
                receipt = self._receipt(order, read, requested_at)
                committed = await self._commit(order, staging, receipt, place)
            except BaseException as error:
                await _abandon(place.folders, staging, error)
                raise
        return TaskOutcome(
            task_id=order.task.id,
            name=order.task.name,
            action=Action.FETCHED,
            reason=order.reason,
            path=committed.path,
            files=len(read.members),
            bytes=receipt.head.bytes,
            transferred=read.transferred,
            seconds=clock() - began,
            warnings=committed.warnings,
        )

    async def _exported(self, order: Order) -> ExportRequest:
        try:
            return await self._exports.finished(order.task.id)
        finally:
            self._slots.release()

    async def _read(
        self, order: Order, request: ExportRequest, staging: Staging, place: Place
    ) -> ArchiveRead:
        """Read the archive; a result that went away meanwhile is exported again."""
        task_id = order.task.id
        attempt = 0
        while True:
            assert request.result_url is not None
            # Neither the server's queue nor the commit, which waits for others to join it, holds
            # a place among the transfers.
            async with self._reading:
                copy = None if place.archives is None else await place.archives.begin(task_id)
                try:
                    return await place.reader.read(request.result_url, staging, keep_archive=copy)
                except (ExportExpiredError, ExportNotReadyError) as error:
                    if attempt < self._retries:
                        self._emit(Retrying(task_id, "download", str(error), 0.0))
                    elif isinstance(error, ExportExpiredError):
                        raise
                    else:
                        raise _never_there(task_id, error) from error
            attempt += 1
            await self._slots.acquire()
            request = await self._exported(order)

    async def _commit(
        self, order: Order, staging: Staging, receipt: Receipt, place: Place
    ) -> Committed:
        """Commit a tree, and before it the archive that is kept of it.

        In this order a run that is killed between the two fetches the task again, and its archive;
        in the other the task would be done, and its archive missing for ever.
        """
        archives = place.archives
        try:
            if archives is not None:
                await archives.publish(order.task.id)
            return await place.folders.commit(staging, receipt, adopt=order.adopt)
        except BaseException:
            if archives is not None and not staging.settled:
                with anyio.CancelScope(shield=True):
                    await archives.remove([order.task.id])
            raise

    def _receipt(self, order: Order, read: ArchiveRead, requested_at: str) -> Receipt:
        head = ReceiptHead(
            task_id=order.task.id,
            task_name=order.task.name,
            folder=order.folder,
            format=self._spec.format,
            images=self._spec.images,
            updated_date=order.task.updated_date,
            origin=self._origin,
            organization=self._organization,
            digest=read.directory.digest,
            files=len(read.members),
            bytes=sum(member.size for member in read.members),
            requested_at=requested_at,
            committed_at=_now(),
        )
        return Receipt(head, read.members)


async def _abandon(folders: Folders, staging: Staging, why: BaseException) -> None:
    """Give a tree up; what goes wrong with that is only a note to what went wrong before."""
    # A broken archive is worth nothing to the next run.
    keep = not isinstance(why, ArchiveError)
    with anyio.CancelScope(shield=True):
        try:
            await folders.abandon(staging, keep=keep)
        except AsyncCvatError as error:
            why.add_note(str(error))


def failed(order: Order, error: AsyncCvatError, seconds: float) -> TaskOutcome:
    """The outcome of a task that failed."""
    return TaskOutcome(
        task_id=order.task.id,
        name=order.task.name,
        action=Action.FAILED,
        reason=order.reason,
        error=error,
        seconds=seconds,
    )


def _never_there(task_id: int, error: ExportNotReadyError) -> ExportExpiredError:
    return ExportExpiredError(
        f"the export of task {task_id} was replaced by another one each time before it could be "
        "read; another client of the same user may be at the same tasks",
        task_id=task_id,
        step=error.step,
        retryable=True,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
