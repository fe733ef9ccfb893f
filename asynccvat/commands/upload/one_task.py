"""One upload: make ready -> bring -> ask -> wait -> note it in the receipt.

The steps themselves live in `sources`, `sending`, `imports` and `store`; here is their order and
the limits they run under.
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
from asynccvat.commands.upload.discovery import Mirrored
from asynccvat.commands.upload.local_files import Source, ready
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
    """What is to be uploaded, and where it lies.

    Attributes:
        step: The plan's step.
        source: Its files.
        kind: What is sent.
        mirrored: The mirror that they lie in, None where they do not.
    """

    step: Upload
    source: Source
    kind: FileKind
    mirrored: Mirrored | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """A file that is in its task.

    Attributes:
        outcome: What became of the task.
        records: The files as they were read, for the receipt; none where there is no receipt.
        between: When the server worked on it, by its own clock; None where it did not say.
    """

    outcome: TaskOutcome
    records: tuple[MemberRecord, ...] = ()
    between: tuple[datetime, datetime] | None = None


class TaskUploader:
    """Carries files into tasks, one by one or many at once.

    Large files being sent and imports in flight are limited apart: a slow network holds no place
    among the imports, and waiting in the server's queue none among the transfers.
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
            imports: Has files imported.
            slots: Places for imports in flight.
            options: Limits and the mode.
            emit: Told what happens.
            before_request: Called before each request of an import.
        """
        self._client = client
        self._imports = imports
        self._slots = slots
        self._mode = options.mode
        self._sending = anyio.CapacityLimiter(options.transfers)
        self._emit = emit
        self._before_request = before_request

    async def upload(self, order: UploadOrder) -> Imported:
        """Upload one file, and wait until it is imported.

        Raises:
            AsyncCvatError: It failed; the error says whether anything was imported.
        """
        clock = asyncio.get_running_loop().time
        began, step = clock(), order.step
        async with entered_in_thread(ready(order.source, order.kind)) as (file, records):
            upload = internals(self._client).begin_upload(
                step.task_id,
                file,
                importer=step.importer,
                mode=self._mode,
                on_progress=lambda sent: self._emit(UploadProgress(step.task_id, sent)),
            )
            self._emit(UploadStarted(step.task_id, file.size))
            if not upload.is_small:
                async with self._sending:
                    await upload.send()
            await self._slots.acquire()
            try:
                await self._check_unchanged(step)
                self._before_request()
                request = await self._imports.finished(upload)
            finally:
                self._slots.release()
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
        )
        return await self._noted(order, Imported(outcome, records, self._between(request)))

    async def _check_unchanged(self, step: Upload) -> None:
        """Look once more, right before the server is asked: a long run's listing is old by now."""
        if step.mirrored_date is None:
            return
        task = await self._client.task(step.task_id)
        if task.updated_date != step.mirrored_date:
            raise changed_since(step.task_id)

    def _between(self, request: ServerRequest) -> tuple[datetime, datetime] | None:
        begun = request.started_date or request.created_date
        ended = request.finished_date
        if ended is None and self._client.server_date is not None:
            # CVAT fills it in a moment later; the answer that showed the end is no earlier.
            ended = self._client.server_date + _DATE_RESOLUTION
        return None if begun is None or ended is None else (begun, ended)

    async def _noted(self, order: UploadOrder, imported: Imported) -> Imported:
        """Note an upload in the receipt; what goes wrong with that is a warning."""
        mirrored = order.mirrored
        if mirrored is None:
            return replace(imported, records=())
        records = mirrored.records(imported.records)
        try:
            await mirrored.store.note_upload(order.step.task_id, records)
        except StoreError as error:
            warning = f"uploaded, but the receipt does not know it: {error}"
            return Imported(msgspec.structs.replace(imported.outcome, warnings=(warning,)))
        return replace(imported, records=records)
