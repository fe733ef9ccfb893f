"""Read the files of tasks from exports: export, wait, read the archive.

The export itself lives in `transfer.one_export`. This module has the limit on archives that are
read at once, and what is repeated if a result vanishes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio

from asynccvat.archives import StagedArchive
from asynccvat.core.plans.refresh import fingerprint_on_disk, fits_folder, is_worth_refreshing
from asynccvat.core.specs import ExportSpec, RequestSpec
from asynccvat.errors import ExportExpiredError, ExportNotReadyError, ResponseError
from asynccvat.events import Event, Retrying
from asynccvat.transfer.exports import Exports
from asynccvat.transfer.media_fingerprints import MediaFingerprints
from asynccvat.transfer.one_export import OneExport
from asynccvat.transfer.orders import Destination, FetchOrder
from asynccvat.transfer.slots import RequestSlots

EarlierResult = Callable[[FetchOrder], Awaitable[str | None]]
"""Returns the URL of a result of which a part is on disk, None if there is none."""


@dataclass(frozen=True, kw_only=True)
class ExportSource:
    """Reads tasks from exports, many at once.

    Exports in flight and archives being read have separate limits. A task that waits in the
    server's queue takes no transfer, and a slow network takes no slot of an export.

    Attributes:
        exports: Exports tasks.
        slots: Slots for exports in flight.
        spec: What the server makes of each.
        transfers: How many archives are read at once.
        retries: How often a task is exported again if its result vanished.
        emit: Receives the events.
        media: Compares fingerprints of images. None exports all images again.
        earlier_result: Finds results of which a part is on disk. These are read first; if one is
            gone, another one is requested. None finds none.
    """

    exports: Exports
    slots: RequestSlots
    spec: RequestSpec
    transfers: anyio.CapacityLimiter
    retries: int
    emit: Callable[[Event], None]
    media: MediaFingerprints | None = None
    earlier_result: EarlierResult | None = None

    @property
    def has_room(self) -> bool:
        """Whether an archive would be read at once."""
        return self.transfers.available_tokens > 0

    def expect(self, orders: Sequence[FetchOrder]) -> None:
        """Each task is exported alone."""

    @contextmanager
    def reading(self, order: FetchOrder) -> Iterator[ExportReading]:
        """Begin to export a task. The caller holds a slot, which is given back."""
        with self.export(order) as export:
            yield ExportReading(self, order, export)

    def export(self, order: FetchOrder) -> OneExport:
        """Return the export of a whole task. The caller holds a slot."""
        spec = self.spec.for_mode(order.task.mode)
        return OneExport(self.exports, self.slots, order.task.id, spec)


class ExportReading:
    """One task while it is exported and its archive is read.

    Attributes:
        spec: What the folder will hold.
        jobs: None: the folder is not one of JSON.
        rule: None: the files are the server's own.
    """

    jobs = None
    rule = None

    def __init__(self, source: ExportSource, order: FetchOrder, export: OneExport) -> None:
        """Begin with a task whose export holds a slot."""
        self.spec = export.spec
        self._source = source
        self._order = order
        self._export = export
        self._url = ""

    async def prepare(self) -> None:
        """Export the task and wait for the result. An earlier result is tried first."""
        if self._source.earlier_result is not None:
            self._export.earlier_url = await self._source.earlier_result(self._order)
        self._export.spec = await self._spec_to_export()
        self._url = await self._export.url()

    async def fill(
        self, destination: Destination[Any], staging: Any
    ) -> tuple[StagedArchive, str | None]:
        """Read the archive. If only annotations were exported, reuse the images."""
        fill = self._fetch if self._export.spec == self.spec else self._refresh
        return await fill(self._export, self._url, staging, destination)

    async def _spec_to_export(self) -> RequestSpec:
        """Choose how to export the task: without images if those on disk are still current."""
        order, media = self._order, self._source.media
        if media is None or not isinstance(self.spec, ExportSpec):
            return self.spec
        here = fingerprint_on_disk(order.task, order.reason, order.previous, self.spec)
        if here is None:
            return self.spec
        unchanged = await media.is_current(here, order.task)
        return replace(self.spec, images=not unchanged)

    async def _fetch(
        self, export: OneExport, url: str, staging: Any, destination: Destination[Any]
    ) -> tuple[StagedArchive, str | None]:
        """Read all of a task. Take the fingerprint of its images if a refresh would pay."""
        read = await self._read(export, url, staging, destination)
        fingerprints, spec = self._source.media, export.spec
        if (
            fingerprints is None
            or not isinstance(spec, ExportSpec)
            or not is_worth_refreshing(read.members, spec)
        ):
            return read, None
        return read, await fingerprints.of_export(self._order.task, read.members)

    async def _refresh(
        self, export: OneExport, url: str, staging: Any, destination: Destination[Any]
    ) -> tuple[StagedArchive, str | None]:
        """Read the annotations and reuse the images. If these changed, read all of the task."""
        order, media = self._order, self._source.media
        assert media is not None
        annotations = await self._read(export, url, staging, destination)
        previous = staging.previous
        if (
            previous is not None
            and previous.head.media_fingerprint is not None
            and fits_folder(annotations.members, previous.members)
            and await media.is_current(previous.head.media_fingerprint, order.task)
        ):
            async with self._source.transfers:
                read = await destination.complete(annotations, staging, previous.members)
            if read is not None:
                return read, previous.head.media_fingerprint
        why = "its images changed during the export, so the whole task is exported"
        self._source.emit(Retrying(order.task.id, "export", why, 0.0))
        await self._source.slots.acquire()
        with self._source.export(order) as whole:
            read, found = await self._fetch(whole, await whole.url(), staging, destination)
        return replace(read, transferred=annotations.transferred + read.transferred), found

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
        if attempt < self._source.retries:
            self._source.emit(Retrying(task_id, "download", str(error), 0.0))
        elif isinstance(error, ExportExpiredError):
            raise error
        else:
            raise _never_there(self.spec, task_id, error) from error

    async def _read_once(
        self, export: OneExport, url: str, staging: Any, destination: Destination[Any]
    ) -> StagedArchive:
        # Only reading counts as a transfer. Waiting in the server's queue does not, nor does the
        # commit, which waits for others to join it. Waiting for a transfer takes no export's slot.
        if not self._source.has_room:
            export.release_slot()
        async with self._source.transfers:
            export.check_prediction()
            return await destination.read(url, staging, export.spec, on_open=export.opened)


def _never_there(spec: RequestSpec, task_id: int, error: ExportNotReadyError) -> ExportExpiredError:
    return ExportExpiredError(
        f"cannot read the {spec.noun} of {spec.target} {task_id}: each time another {spec.noun} "
        f"replaced it first. Check whether another client of the same user exports the same "
        f"{spec.target}s.",
        task_id=task_id,
        step=error.step,
        retryable=True,
    )
