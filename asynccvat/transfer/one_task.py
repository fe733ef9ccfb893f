"""Fetch one task, project or job: export, wait, read, commit.

The steps live in `transfer.one_export` and in the destination (`transfer.orders`). This module has
their order, the limits they run under, and what is repeated if a result vanishes between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio

from asynccvat.archives import StagedArchive
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.refresh import fingerprint_on_disk, fits_folder, is_worth_refreshing
from asynccvat.core.specs import ExportSpec, RequestSpec
from asynccvat.errors import (
    ArchiveError,
    AsyncCvatError,
    ExportExpiredError,
    ExportNotReadyError,
    ResponseError,
)
from asynccvat.events import Event, Retrying, TransferFinished
from asynccvat.store import StagingStore
from asynccvat.transfer.content_fingerprints import ContentFingerprints
from asynccvat.transfer.exports import Exports
from asynccvat.transfer.media_fingerprints import MediaFingerprints
from asynccvat.transfer.one_export import OneExport
from asynccvat.transfer.orders import Destination, Destinations, Fetched, FetchOrder
from asynccvat.transfer.slots import RequestSlots

EarlierResult = Callable[[FetchOrder], Awaitable[str | None]]
"""Returns the URL of a result of which a part is on disk, None if there is none."""


class TaskFetcher:
    """Fetch tasks from the server into their destinations, many at once.

    Exports in flight and archives being read have separate limits. A task that waits in the
    server's queue takes no transfer, and a slow network takes no slot of an export.
    """

    def __init__(
        self,
        *,
        exports: Exports,
        slots: RequestSlots,
        destinations: Destinations,
        spec: RequestSpec,
        origin: str,
        organization: str | None,
        transfers: int,
        retries: int,
        emit: Callable[[Event], None],
        media: MediaFingerprints | None = None,
        on_staged: Callable[[int], None] = lambda _: None,
        action: Action = Action.FETCHED,
        contents: ContentFingerprints | None = None,
        earlier_result: EarlierResult | None = None,
    ) -> None:
        """Prepare to fetch tasks.

        Args:
            exports: Exports tasks.
            slots: Slots for exports in flight.
            destinations: Gives each task its destination.
            spec: What the server makes of each.
            origin: The server, for the receipts.
            organization: Its organization, for the receipts.
            transfers: How many archives are read at once.
            retries: How often a task is exported again if its result vanished.
            emit: Receives the events.
            media: Compares fingerprints of images. None exports all images again.
            on_staged: Receives each task that has its folder in staging.
            action: What is done with a task, for its outcome.
            contents: Tells what an export depends on. None leaves that out.
            earlier_result: Finds results of which a part is on disk. These are read first; if one
                is gone, another one is requested. None finds none.
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
        self._action = action
        self._contents = contents
        self._earlier_result = earlier_result

    async def fetch(self, order: FetchOrder) -> TaskOutcome:
        """Fetch one task. The caller holds a slot for its export, which is given back.

        Raises:
            AsyncCvatError: It failed. Nothing of it is under its final name.
        """
        clock = asyncio.get_running_loop().time
        began, requested_at = clock(), _now()
        with self._export(order) as export:
            whole = export.spec
            if self._earlier_result is not None:
                export.earlier_url = await self._earlier_result(order)
            export.spec = await self._spec_of(order, whole)
            url = await export.url()
            async with self._destinations.destination(order) as destination:
                staging = await destination.store.stage(order.task.id)
                self._on_staged(order.task.id)
                try:
                    fetch = self._fetch if export.spec == whole else self._refresh
                    read, media = await fetch(order, export, url, staging, destination)
                    self._emit(TransferFinished(order.task.id))
                    contents = self._contents
                    content = None if contents is None else await contents.of_export(order.task)
                    fetched = Fetched(
                        order=order,
                        spec=whole,
                        archive=read,
                        media_fingerprint=media,
                        content=content,
                        origin=self._origin,
                        organization=self._organization,
                        requested_at=requested_at,
                    )
                    committed = await destination.commit(fetched, staging)
                except BaseException as error:
                    await _abandon(destination.store, staging, error)
                    raise
        return TaskOutcome(
            task_id=order.task.id,
            target=whole.target,
            name=order.task.name,
            action=self._action,
            reason=order.reason,
            location=str(committed.path),
            files=len(read.members),
            bytes=sum(member.size for member in read.members),
            transferred=read.transferred,
            seconds=clock() - began,
            emptied=bool(emptied := _emptied(order, read)),
            warnings=(*committed.warnings, *emptied),
        )

    @property
    def has_room(self) -> bool:
        """Whether a fetch would begin at once."""
        return self._reading.available_tokens > 0

    def _export(self, order: FetchOrder) -> OneExport:
        """Return the export of a whole task. The caller holds a slot."""
        spec = self._spec.for_mode(order.task.mode)
        return OneExport(self._exports, self._slots, order.task.id, spec)

    async def _spec_of(self, order: FetchOrder, whole: RequestSpec) -> RequestSpec:
        """Choose how to export a task: without images if those on disk are still current."""
        if self._media is None or not isinstance(whole, ExportSpec):
            return whole
        here = fingerprint_on_disk(order.task, order.reason, order.previous, whole)
        if here is None:
            return whole
        unchanged = await self._media.is_current(here, order.task)
        return replace(whole, images=not unchanged)

    async def _fetch(
        self,
        order: FetchOrder,
        export: OneExport,
        url: str,
        staging: Any,
        destination: Destination[Any],
    ) -> tuple[StagedArchive, str | None]:
        """Read all of a task. Take the fingerprint of its images if a refresh would pay."""
        read = await self._read(export, url, staging, destination)
        media = None
        spec = export.spec
        if (
            self._media is not None
            and isinstance(spec, ExportSpec)
            and is_worth_refreshing(read.members, spec)
        ):
            media = await self._media.of_export(order.task, read.members)
        return read, media

    async def _refresh(
        self,
        order: FetchOrder,
        export: OneExport,
        url: str,
        staging: Any,
        destination: Destination[Any],
    ) -> tuple[StagedArchive, str | None]:
        """Read the annotations and reuse the images. If these changed, read all of the task."""
        assert self._media is not None
        annotations = await self._read(export, url, staging, destination)
        previous = staging.previous
        if (
            previous is not None
            and previous.head.media_fingerprint is not None
            and fits_folder(annotations.members, previous.members)
            and await self._media.is_current(previous.head.media_fingerprint, order.task)
        ):
            async with self._reading:
                read = await destination.complete(annotations, staging, previous.members)
            if read is not None:
                return read, previous.head.media_fingerprint
        why = "its images changed during the export, so the whole task is exported"
        self._emit(Retrying(order.task.id, "export", why, 0.0))
        await self._slots.acquire()
        with self._export(order) as whole:
            read, media = await self._fetch(order, whole, await whole.url(), staging, destination)
        return replace(read, transferred=annotations.transferred + read.transferred), media

    async def _read(
        self, export: OneExport, url: str, staging: Any, destination: Destination[Any]
    ) -> StagedArchive:
        """Read the archive. If its result has vanished, export the task again."""

        async def read_once(url: str) -> StagedArchive:
            return await self._read_once(export, url, staging, destination)

        attempt = 0
        while True:
            try:
                return await export.read(url, read_once)
            except (ExportExpiredError, ExportNotReadyError) as error:
                if not export.forgets_earlier(error):
                    self._retry_or_raise(error, staging.task_id, attempt)
                    attempt += 1
            except ResponseError as error:
                if not export.forgets_earlier(error):
                    raise
            url = await export.url()

    def _retry_or_raise(
        self, error: ExportExpiredError | ExportNotReadyError, task_id: int, attempt: int
    ) -> None:
        """Raise an error, unless the task may be exported again."""
        if attempt < self._retries:
            self._emit(Retrying(task_id, "download", str(error), 0.0))
        elif isinstance(error, ExportExpiredError):
            raise error
        else:
            raise _never_there(self._spec, task_id, error) from error

    async def _read_once(
        self, export: OneExport, url: str, staging: Any, destination: Destination[Any]
    ) -> StagedArchive:
        # Only reading counts as a transfer. Waiting in the server's queue does not, nor does the
        # commit, which waits for others to join it. Waiting for a transfer takes no export's slot.
        if not self.has_room:
            export.release_slot()
        async with self._reading:
            export.check_prediction()
            return await destination.read(url, staging, export.spec, on_open=export.opened)


async def _abandon(store: StagingStore[Any], staging: Any, why: BaseException) -> None:
    """Give up a tree. An error here becomes a note of the error that led to it."""
    # The next run can reuse nothing of a broken archive.
    keep = not isinstance(why, ArchiveError)
    with anyio.CancelScope(shield=True):
        try:
            await store.abandon(staging, keep=keep)
        except AsyncCvatError as error:
            why.add_note(str(error))


def _never_there(spec: RequestSpec, task_id: int, error: ExportNotReadyError) -> ExportExpiredError:
    return ExportExpiredError(
        f"cannot read the {spec.noun} of {spec.target} {task_id}: each time another {spec.noun} "
        f"replaced it first. Check whether another client of the same user exports the same "
        f"{spec.target}s.",
        task_id=task_id,
        step=error.step,
        retryable=True,
    )


def _emptied(order: FetchOrder, read: StagedArchive) -> tuple[str, ...]:
    """Return a warning if an export holds nothing where the one before held something."""
    before = None if order.previous is None else order.previous.annotations
    if not before or read.annotations != 0:
        return ()
    warning = (
        f"the export holds no annotation, and the one before held {before:,}. If that is not "
        "meant, look at it in CVAT."
    )
    return (warning,)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
