"""Upload to one task: prepare the file, send it, import it, and note it in the receipt.

The steps live in `commands.upload.local_files`, `client.tus`, `transfer.imports` and `store`. This
module has their order and the limits they run under.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import anyio
import msgspec

from asynccvat.aio.threads import entered_in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.commands.upload.discovery import MirrorLocation
from asynccvat.commands.upload.local_files import AnnotationSource, prepared
from asynccvat.commands.upload.loss_guard import LossGuard
from asynccvat.core.annotation_counts import TaskAnnotations
from asynccvat.core.annotation_files import FileKind
from asynccvat.core.models import ServerRequest
from asynccvat.core.options import UploadOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.upload import Upload, changed_since
from asynccvat.core.receipts import MemberRecord
from asynccvat.errors import StoreError
from asynccvat.events import Event, UploadProgress, UploadStarted
from asynccvat.transfer.imports import Imports
from asynccvat.transfer.slots import RequestSlots

# The Date header has whole seconds, rounded down.
_DATE_RESOLUTION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class UploadOrder:
    """Files to upload to one task.

    Attributes:
        step: The plan's step.
        source: The files.
        kind: The kind of file that is sent.
        mirrored: Where the files are in a mirror, None if they are in none.
    """

    step: Upload
    source: AnnotationSource
    kind: FileKind
    mirrored: MirrorLocation | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """A finished import.

    Attributes:
        outcome: The task's outcome.
        records: The files as they were read, for the receipt. Empty if there is no receipt.
        between: When the import began and ended, on the server's clock. None if it did not say.
    """

    outcome: TaskOutcome
    records: tuple[MemberRecord, ...] = ()
    between: tuple[datetime, datetime] | None = None


def guard_of(order: UploadOrder, options: UploadOptions) -> LossGuard:
    """Return the guard of what a task has."""
    return LossGuard(
        order.step.task_id,
        order.source,
        order.kind,
        order.step.importer,
        mode=options.mode,
        lossy=options.lossy,
        allow_empty=options.allow_empty,
    )


class TaskUploader:
    """Upload files into tasks, many at once.

    Large files being sent and imports in flight have separate limits. A slow network takes no slot
    of an import, and an import that waits in the server's queue takes no transfer.
    """

    def __init__(
        self,
        client: CvatClient,
        imports: Imports,
        slots: RequestSlots,
        options: UploadOptions,
        *,
        emit: Callable[[Event], None],
        before_request: Callable[[], None],
    ) -> None:
        """Prepare uploads.

        Args:
            client: The server.
            imports: Requests imports, and waits for them.
            slots: Slots for imports in flight.
            options: Limits and the mode.
            emit: Receives the events.
            before_request: Called before each request of an import.
        """
        self._client = client
        self._imports = imports
        self._slots = slots
        self._options = options
        self._sending = anyio.CapacityLimiter(options.transfers)
        self._emit = emit
        self._before_request = before_request

    async def upload(self, order: UploadOrder) -> Imported:
        """Upload one file, and wait until it is imported.

        Raises:
            AsyncCvatError: It failed. The error says whether anything was imported.
        """
        clock = asyncio.get_running_loop().time
        began, step = clock(), order.step
        guard = guard_of(order, self._options)
        async with entered_in_thread(prepared(order.source, order.kind)) as (file, records):
            upload = internals(self._client).begin_upload(
                step.task_id,
                file,
                importer=step.importer,
                mode=self._options.mode,
                on_progress=lambda sent: self._emit(UploadProgress(step.task_id, sent)),
            )
            self._emit(UploadStarted(step.task_id, file.size))
            existing: TaskAnnotations | None = None
            if not upload.is_small:
                existing = await self._read_existing(order, guard)
                async with self._sending:
                    await upload.send()
            await self._slots.acquire()
            try:
                # `_check_unchanged` below shows that what was read before the sending is current.
                if existing is None or step.mirrored_date is None:
                    existing = await self._read_existing(order, guard)
                await self._keep_existing(order, existing)
                await self._check_unchanged(step)
                self._before_request()
                request = await self._imports.run(upload)
            finally:
                self._slots.release()
        annotations, warnings = await guard.result(self._client)
        outcome = TaskOutcome(
            task_id=step.task_id,
            name=step.name,
            action=Action.UPLOADED,
            reason=step.reason,
            location=str(step.path),
            files=len(records),
            bytes=sum(record.size for record in records),
            transferred=upload.sent,
            seconds=clock() - began,
            annotations=annotations,
            warnings=warnings,
        )
        return await self._note_in_receipt(
            order, Imported(outcome, records, self._between(request))
        )

    async def _read_existing(self, order: UploadOrder, guard: LossGuard) -> TaskAnnotations:
        """Read what the task has now, and refuse an import that would lose it."""
        existing = await self._client.annotations(order.step.task_id)
        await guard.check(existing.counts)
        return existing

    async def _keep_existing(self, order: UploadOrder, existing: TaskAnnotations) -> None:
        """Keep what the import replaces. Called right before the import is requested."""

    async def _check_unchanged(self, step: Upload) -> None:
        """Check the task again right before the import. The listing of a long run is old by now."""
        if step.mirrored_date is None:
            return
        task = await self._client.task(step.task_id)
        if task.updated_date != step.mirrored_date:
            raise changed_since(step.task_id)

    def _between(self, request: ServerRequest) -> tuple[datetime, datetime] | None:
        begun = request.started_date or request.created_date
        ended = request.finished_date
        if ended is None and self._client.server_date is not None:
            # CVAT sets this date a moment later. The answer that showed the end is no earlier.
            ended = self._client.server_date + _DATE_RESOLUTION
        return None if begun is None or ended is None else (begun, ended)

    async def _note_in_receipt(self, order: UploadOrder, imported: Imported) -> Imported:
        """Note an upload in the receipt. A failure of that becomes a warning."""
        mirrored = order.mirrored
        if mirrored is None:
            return replace(imported, records=())
        records = mirrored.records(imported.records)
        try:
            await mirrored.store.note_upload(order.step.task_id, records)
        except StoreError as error:
            warning = f"uploaded, but not noted in the receipt: {error}"
            warnings = (*imported.outcome.warnings, warning)
            return Imported(msgspec.structs.replace(imported.outcome, warnings=warnings))
        return replace(imported, records=records)
