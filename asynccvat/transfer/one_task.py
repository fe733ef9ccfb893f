"""One task: export -> wait -> read -> commit.

The steps themselves live in `exports`, `archives` and `store`; here is their order, the limits
they run under, and what is done again when a result goes away between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, Self

import anyio
import msgspec

from asynccvat.archives import ArchiveReader, StagedArchive
from asynccvat.core.models import ExportSpec, Task
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.refresh import fits, is_worth_refreshing, media_here
from asynccvat.core.receipts import Receipt, ReceiptHead
from asynccvat.errors import (
    ArchiveError,
    AsyncCvatError,
    ExportExpiredError,
    ExportNotReadyError,
    ProtocolError,
    ResponseError,
    StoreError,
)
from asynccvat.events import Event, Retrying, TransferFinished
from asynccvat.store import Committed, KeptArchives, Staging, TaskStore
from asynccvat.transfer.exports import Exports, RequestSlots, Result
from asynccvat.transfer.media import Media

# What a server may say of a result that it does not have, beside that its export has not ended.
_NO_SUCH_RESULT = (400, 403, 404, 410)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an order goes.

    Attributes:
        folders: Where its tree is staged and committed.
        reader: The reader that knows what names can be held there.
        archives: Where its archive is kept as it came, None where it is not.
    """

    folders: TaskStore
    reader: ArchiveReader
    archives: KeptArchives | None = None


class Destinations(Protocol):
    """Has a place for each order."""

    def place(self, order: FetchOrder) -> AbstractAsyncContextManager[Destination]:
        """Hold the place of an order while its archive is read."""


class FetchOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is to be brought, and where it belongs.

    Attributes:
        task: The task, as listed.
        folder: The folder's name.
        reason: Why, in the plan's words.
        previous: What is mirrored of it now, None where nothing is or it does not matter.
        adopt: Whether a folder that is in the way and not ours is put aside.
    """

    task: Task
    folder: str
    reason: str
    previous: ReceiptHead | None = None
    adopt: bool = False


class _Export:
    """The export of one task, as its transfer sees it.

    It holds a place among the exports in flight from the beginning until its result is there.

    Attributes:
        spec: What is exported.
    """

    def __init__(
        self, exports: Exports, slots: RequestSlots, task_id: int, spec: ExportSpec
    ) -> None:
        self.spec = spec
        self._exports = exports
        self._slots = slots
        self._task_id = task_id
        self._holds_place = True
        # Of a result that was predicted, and that the server has not begun to send.
        self._predicted: Result | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._predicted is not None:
            self._exports.give_up(self._predicted)
        self.give_place_back()

    async def url(self) -> str:
        """Have the task exported, and wait for the result, which is there then, or should be."""
        if not self._holds_place:
            await self._slots.acquire()
            self._holds_place = True
        return self._take(await self._exports.result(self._task_id, self.spec))

    def was_early(self, why: AsyncCvatError) -> bool:
        """Whether a failed reading means only that the result was predicted too early."""
        return self._predicted is not None and (
            isinstance(why, ExportNotReadyError | ExportExpiredError | ProtocolError)
            or (isinstance(why, ResponseError) and why.status in _NO_SUCH_RESULT)
        )

    async def url_after(self, why: AsyncCvatError) -> str:
        """Wait on, after what was predicted too early."""
        assert self._predicted is not None
        predicted, self._predicted = self._predicted, None
        return self._take(await self._exports.not_yet(predicted, why))

    def found(self) -> None:
        """Note that the server sends the result."""
        if self._predicted is not None:
            self._exports.found(self._predicted)
            self._predicted = None
        self.give_place_back()

    def give_place_back(self) -> None:
        """Let another export have the place: this one has ended, or should have."""
        if self._holds_place:
            self._holds_place = False
            self._slots.release()

    def _take(self, result: Result) -> str:
        if result.predicted is None:
            self.give_place_back()
        else:
            self._predicted = result
        return result.url


class TaskFetcher:
    """Carries tasks from the server to a destinations, one by one or many at once.

    Exports in flight and archives being read are limited apart: waiting in the server's queue
    holds no place among the transfers, and a slow network none among the exports.
    """

    def __init__(
        self,
        *,
        exports: Exports,
        slots: RequestSlots,
        destinations: Destinations,
        spec: ExportSpec,
        origin: str,
        organization: str | None,
        transfers: int,
        retries: int,
        emit: Callable[[Event], None],
        media: Media | None = None,
        on_staged: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Prepare transfers.

        Args:
            exports: Has tasks exported.
            slots: Places for exports in flight.
            destinations: Has a place for each task.
            spec: Format and images, for the receipts.
            origin: The server, for the receipts.
            organization: Its organization, for the receipts.
            transfers: How many archives are read at once.
            retries: How often a result that went away is asked for again.
            emit: Told what happens.
            media: Tells whether images need not be exported again; None exports all.
            on_staged: Told each task that has its place in staging.
        """
        self._exports = exports
        self._slots = slots
        self._destinations = destinations
        self._spec = spec
        self._origin = origin
        self._organization = organization
        self._reading = anyio.CapacityLimiter(transfers)
        self._retries = retries
        self._emit = emit
        self._media = media
        self._on_staged = on_staged

    async def bring(self, order: FetchOrder) -> TaskOutcome:
        """Bring one task; a place among the exports must be held, and is given back.

        Raises:
            AsyncCvatError: It failed; nothing of it is under its final name.
        """
        clock = asyncio.get_running_loop().time
        began, requested_at = clock(), _now()
        with self._export(order) as export:
            export.spec = await self._spec_of(order)
            url = await export.url()
            async with self._destinations.place(order) as place:
                staging = await place.folders.stage(order.task.id)
                self._on_staged(order.task.id)
                try:
                    bring = self._fetch if export.spec == self._spec else self._refresh
                    read, media = await bring(order, export, url, staging, place)
                    self._emit(TransferFinished(order.task.id))
                    receipt = self._receipt(order, read, media, requested_at)
                    committed = await self._commit(order, staging, receipt, place)
                except BaseException as error:
                    await _abandon(place.folders, staging, error)
                    raise
        return TaskOutcome(
            task_id=order.task.id,
            name=order.task.name,
            action=Action.FETCHED,
            reason=order.reason,
            location=str(committed.path),
            files=len(read.members),
            bytes=receipt.head.bytes,
            transferred=read.transferred,
            seconds=clock() - began,
            warnings=committed.warnings,
        )

    @property
    def has_room(self) -> bool:
        """Whether an archive could be read at once."""
        return self._reading.available_tokens > 0

    def _export(self, order: FetchOrder) -> _Export:
        """An export of a task, whole; a place among the exports must be held."""
        return _Export(self._exports, self._slots, order.task.id, self._spec)

    async def _spec_of(self, order: FetchOrder) -> ExportSpec:
        """How to export a task: without images where those that are here are still right."""
        here = media_here(order.task, order.reason, order.previous, self._spec)
        if self._media is None or here is None:
            return self._spec
        unchanged = await self._media.is_still(here, order.task)
        return replace(self._spec, images=not unchanged)

    async def _fetch(
        self, order: FetchOrder, export: _Export, url: str, staging: Staging, place: Destination
    ) -> tuple[StagedArchive, str | None]:
        """Read all of a task; tell by what its images can be known later, if they are worth it."""
        read = await self._read(export, url, staging, place)
        media = None
        if self._media is not None and is_worth_refreshing(read.members, self._spec):
            media = await self._media.held(order.task, read.members)
        return read, media

    async def _refresh(
        self, order: FetchOrder, export: _Export, url: str, staging: Staging, place: Destination
    ) -> tuple[StagedArchive, str | None]:
        """Read the annotations and take the images over; or all, where that will not do."""
        assert self._media is not None
        annotations = await self._read(export, url, staging, place)
        previous = staging.previous
        if (
            previous is not None
            and previous.head.media_fingerprint is not None
            and fits(annotations.members, previous.members)
            and await self._media.is_still(previous.head.media_fingerprint, order.task)
        ):
            async with self._reading:
                read = await place.reader.complete(annotations, staging, previous.members)
            if read is not None:
                return read, previous.head.media_fingerprint
        why = "its images are not those any more that are here: all of it is exported"
        self._emit(Retrying(order.task.id, "export", why, 0.0))
        await self._slots.acquire()
        with self._export(order) as whole:
            read, media = await self._fetch(order, whole, await whole.url(), staging, place)
        return replace(read, transferred=annotations.transferred + read.transferred), media

    async def _read(
        self, export: _Export, url: str, staging: Staging, place: Destination
    ) -> StagedArchive:
        """Read the archive; a result that went away meanwhile is exported again."""
        attempt = 0
        while True:
            try:
                return await self._read_when_there(export, url, staging, place)
            except (ExportExpiredError, ExportNotReadyError) as error:
                self._retry_or_raise(error, staging.task_id, attempt)
            attempt += 1
            url = await export.url()

    async def _read_when_there(
        self, export: _Export, url: str, staging: Staging, place: Destination
    ) -> StagedArchive:
        """Read the archive; where it was tried too early, once it is there."""
        while True:
            try:
                return await self._read_once(export, url, staging, place)
            except AsyncCvatError as error:
                if not export.was_early(error):
                    raise
                url = await export.url_after(error)

    def _retry_or_raise(
        self, error: ExportExpiredError | ExportNotReadyError, task_id: int, attempt: int
    ) -> None:
        """Raise an error, unless the export can be asked for again."""
        if attempt < self._retries:
            self._emit(Retrying(task_id, "download", str(error), 0.0))
        elif isinstance(error, ExportExpiredError):
            raise error
        else:
            raise _never_there(task_id, error) from error

    async def _read_once(
        self, export: _Export, url: str, staging: Staging, place: Destination
    ) -> StagedArchive:
        # Neither the server's queue nor the commit, which waits for others to join it, holds
        # a place among the transfers; nor does waiting for one hold a place among the exports.
        if not self.has_room:
            export.give_place_back()
        async with self._reading:
            archives = place.archives
            copy = None if archives is None else await archives.begin(staging.task_id)
            return await place.reader.read(
                url,
                staging,
                expected=staging.expected(export.spec),
                keep_archive=copy,
                on_open=export.found,
            )

    async def _commit(
        self, order: FetchOrder, staging: Staging, receipt: Receipt, place: Destination
    ) -> Committed:
        """Commit a tree, and before it the archive that is kept of it.

        In this order a run that is killed between the two fetches the task again, and its archive;
        in the other the task would be done, and its archive missing for ever. So it stays, too,
        where a commit fails that recovery may finish.
        """
        archives = place.archives
        if archives is None:
            return await place.folders.commit(staging, receipt, adopt=order.adopt)
        try:
            await archives.publish(order.task.id)
            committed = await place.folders.commit(staging, receipt, adopt=order.adopt)
        except BaseException as error:
            if not staging.published:
                await _take_back(archives, order.task.id, error)
            raise
        try:
            await archives.drop_earlier(order.task.id)
        except StoreError as error:
            return replace(committed, warnings=(*committed.warnings, str(error)))
        return committed

    def _receipt(
        self, order: FetchOrder, read: StagedArchive, media: str | None, requested_at: str
    ) -> Receipt:
        head = ReceiptHead(
            task_id=order.task.id,
            task_name=order.task.name,
            folder=order.folder,
            format=self._spec.format,
            images=self._spec.images,
            updated_date=order.task.updated_date,
            origin=self._origin,
            organization=self._organization,
            digest=read.digest,
            media_fingerprint=media,
            files=len(read.members),
            bytes=sum(member.size for member in read.members),
            requested_at=requested_at,
            committed_at=_now(),
        )
        return Receipt(head, read.members)


async def _abandon(folders: TaskStore, staging: Staging, why: BaseException) -> None:
    """Give a tree up; what goes wrong with that is only a note to what went wrong before."""
    # A broken archive is worth nothing to the next run.
    keep = not isinstance(why, ArchiveError)
    with anyio.CancelScope(shield=True):
        try:
            await folders.abandon(staging, keep=keep)
        except AsyncCvatError as error:
            why.add_note(str(error))


async def _take_back(archives: KeptArchives, task_id: int, why: BaseException) -> None:
    """Take a task's archive back; as with `_abandon`, what goes wrong with that is only a note."""
    with anyio.CancelScope(shield=True):
        try:
            await archives.roll_back(task_id)
        except AsyncCvatError as error:
            why.add_note(str(error))


def failed(order: FetchOrder, error: AsyncCvatError, seconds: float) -> TaskOutcome:
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
