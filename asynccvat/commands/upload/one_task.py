"""Upload to one task: prepare the file, send it, import it, and note it in the receipt.

The steps live in `commands.upload.local_files`, `client.tus`, `transfer.imports` and `store`. This
module has their order and the limits they run under.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import anyio
import msgspec

from asynccvat.aio.threads import entered_in_thread, in_thread, shielded
from asynccvat.client import CvatClient, internals
from asynccvat.client.upload_file import FileToSend
from asynccvat.commands.upload.discovery import MirrorLocation
from asynccvat.commands.upload.json_put import (
    put_refused,
    put_uncertain,
    read_to_put,
    replace_and_read,
)
from asynccvat.commands.upload.json_translation import fitted
from asynccvat.commands.upload.keeping import Keeper
from asynccvat.commands.upload.local_files import AnnotationSource, prepared
from asynccvat.commands.upload.loss_guard import LossGuard
from asynccvat.commands.upload.replacement import Replacement
from asynccvat.commands.upload.task_dates import TaskDates
from asynccvat.core.annotations.counts import TaskAnnotations
from asynccvat.core.annotations.files import FileKind
from asynccvat.core.options.upload import ImportMode, UploadOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.upload import Upload
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.requests import ServerRequest
from asynccvat.core.specs import CVAT_JSON
from asynccvat.errors import AsyncCvatError, ResponseError, StoreError
from asynccvat.events import Event, UploadProgress, UploadStarted
from asynccvat.http import HeldBackError
from asynccvat.store import ReplacedAnnotations
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
        replaced: Keeps what the upload replaces. None if nothing does.
    """

    step: Upload
    source: AnnotationSource
    kind: FileKind
    mirrored: MirrorLocation | None = None
    replaced: ReplacedAnnotations | None = None


@dataclass(frozen=True, slots=True)
class Imported:
    """A finished import.

    Attributes:
        outcome: The task's outcome.
        records: The files as they were read, for the receipt. Empty if there is no receipt.
        between: When the import began and ended, on the server's clock. None if it did not say.
        keeper: Kept what the upload replaced.
    """

    outcome: TaskOutcome
    keeper: Keeper
    records: tuple[MemberRecord, ...] = ()
    between: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, slots=True)
class _Brought:
    """A file whose annotations are in the task.

    Attributes:
        sent: Bytes that were sent.
        between: As of `Imported`.
        after: What the task has now, None if it was not read yet.
    """

    sent: int
    between: tuple[datetime, datetime] | None
    after: TaskAnnotations | None = None


def replacement_of(
    client: CvatClient,
    order: UploadOrder,
    options: UploadOptions,
    dates: TaskDates | None = None,
) -> Replacement:
    """Return the replacement of what a task has."""
    guard = LossGuard(
        order.step.task_id,
        order.source,
        order.kind,
        order.step.importer,
        mode=options.mode,
        lossy=options.lossy,
        allow_empty=options.allow_empty,
    )
    step = order.step
    keeper = Keeper(step.task_id, order.replaced, options)
    return Replacement(
        client,
        step.task_id,
        guard,
        keeper,
        mirrored_date=step.mirrored_date,
        left_date=step.left_date,
        mirror=None if order.mirrored is None else order.mirrored.store,
        dates=dates,
    )


class TaskUploader:
    """Upload files into tasks, many at once.

    Large files being sent and imports in flight have separate limits. A slow network takes no slot
    of an import, and an import that waits in the server's queue takes no transfer.

    Attributes:
        resendable: The tasks that hold a slot and whose file is sent with the request: another
            request costs nothing more.
    """

    def __init__(
        self,
        client: CvatClient,
        imports: Imports,
        slots: RequestSlots,
        options: UploadOptions,
        *,
        emit: Callable[[Event], None],
        before_request: Callable[[int], None],
    ) -> None:
        """Prepare uploads.

        Args:
            client: The server.
            imports: Requests imports, and waits for them.
            slots: Slots for imports in flight.
            options: Limits and the mode.
            emit: Receives the events.
            before_request: Called before each request of an import, with the task's id.
        """
        self._client = client
        self._imports = imports
        self._slots = slots
        self._options = options
        self._dates = TaskDates(client)
        self._sending = anyio.CapacityLimiter(options.transfers)
        self._emit = emit
        self._before_request = before_request
        self.resendable: set[int] = set()

    async def upload(self, order: UploadOrder) -> Imported:
        """Upload one file, and wait until it is imported.

        Raises:
            AsyncCvatError: It failed. The error says whether anything was imported.
        """
        clock = asyncio.get_running_loop().time
        began, step = clock(), order.step
        replacement = replacement_of(self._client, order, self._options, self._dates)
        bring = self._put if step.importer == CVAT_JSON else self._import
        async with entered_in_thread(prepared(order.source, order.kind)) as (file, records):
            brought = await bring(order, file, records, replacement)
        annotations, warnings = await replacement.result(brought.after)
        outcome = TaskOutcome(
            task_id=step.task_id,
            name=step.name,
            action=Action.UPLOADED,
            reason=step.reason,
            location=str(step.path),
            files=len(records),
            bytes=sum(record.size for record in records),
            transferred=brought.sent,
            seconds=clock() - began,
            annotations=annotations,
            kept=replacement.keeper.path,
            warnings=warnings,
        )
        imported = Imported(outcome, replacement.keeper, records, brought.between)
        return await self._note_in_receipt(order, imported)

    async def _import(
        self,
        order: UploadOrder,
        file: FileToSend,
        records: tuple[MemberRecord, ...],
        replacement: Replacement,
    ) -> _Brought:
        """Send a file, and have the server import it."""
        del records
        step = order.step
        upload = internals(self._client).begin_upload(
            step.task_id,
            file,
            importer=step.importer,
            mode=self._options.mode,
            on_progress=lambda sent: self._emit(UploadProgress(step.task_id, sent)),
            prepare=replacement.prepare,
        )
        self._emit(UploadStarted(step.task_id, file.size))
        if not upload.is_small:
            await replacement.read()
            async with self._sending:
                await upload.send()
        await self._slots.acquire()
        try:
            if upload.is_small:
                self.resendable.add(step.task_id)
            self._before_request(step.task_id)
            request = await self._imports.run(upload)
        except AsyncCvatError as error:
            await replacement.explain(error)
            raise
        finally:
            self.resendable.discard(step.task_id)
            self._slots.release()
        return _Brought(upload.sent, self._between(request))

    async def _put(
        self,
        order: UploadOrder,
        file: FileToSend,
        records: tuple[MemberRecord, ...],
        replacement: Replacement,
    ) -> _Brought:
        """Replace the annotations by a file of CVAT's own JSON, without an import."""
        task_id, client = order.step.task_id, self._client
        content = await in_thread(read_to_put, file.path, records[0])
        if order.mirrored is None or order.mirrored.is_earlier:
            content = await fitted(client, task_id, file.path, content)
        self._emit(UploadStarted(task_id, len(content)))
        async with self._slots:
            try:
                after, begun = None, client.server_date
                while after is None:
                    await replacement.prepare()
                    self._before_request(task_id)
                    begun = client.server_date
                    replacing = replace_and_read(
                        client,
                        task_id,
                        content,
                        wanted=content,
                        before=replacement.before,
                        uncertain=lambda lost: put_uncertain(lost, task_id, file.shown),
                        append=self._options.mode == ImportMode.APPEND,
                    )
                    with suppress(HeldBackError):  # the task may have changed meanwhile
                        # A cancellation in between would leave a task of which nothing tells how
                        # it came about.
                        after = await shielded(replacing)
            except ResponseError as error:
                refused = put_refused(error, task_id, file.shown)
                if refused is None:
                    raise
                raise refused from error
            except AsyncCvatError as error:
                await replacement.explain(error)
                raise
        self._emit(UploadProgress(task_id, len(content)))
        between = None
        if begun is not None and client.server_date is not None:
            between = begun, client.server_date + _DATE_RESOLUTION
        return _Brought(len(content), between, after)

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
        if mirrored is None or mirrored.is_earlier:
            return replace(imported, records=())
        records = mirrored.records(imported.records)
        try:
            await mirrored.store.note_upload(order.step.task_id, records)
        except StoreError as error:
            warning = f"uploaded, but not noted in the receipt: {error}"
            warnings = (*imported.outcome.warnings, warning)
            outcome = msgspec.structs.replace(imported.outcome, warnings=warnings)
            return Imported(outcome, imported.keeper)
        return replace(imported, records=records)
