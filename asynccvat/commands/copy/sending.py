"""Pass a task's backup from the source to the target, as a stream or by a file on disk.

`archives.relay` reads the source and checks every member, `client.restores` sends. Nothing is made
of the backup here: `commands.restore.making` asks for that, after every member was checked.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import msgspec

from asynccvat.aio.threads import in_thread, shielded
from asynccvat.archives.backoff import Backoff
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.archives.relay import ArchiveRelay, UnknownSizeError
from asynccvat.client import internals
from asynccvat.client.restores import restore_place
from asynccvat.client.tus import BegunUpload, SentFile
from asynccvat.client.upload_file import ByteSource, LocalFile
from asynccvat.commands.copy.state import BothSides
from asynccvat.commands.restore.zip_files import check_members
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.records.restores import Failed, Sending
from asynccvat.core.specs import BackupSpec
from asynccvat.core.targets import TargetKind
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import (
    ArchiveError,
    AsyncCvatError,
    CopyError,
    ExportExpiredError,
    ExportNotReadyError,
    TransportError,
    UploadTooLargeError,
)
from asynccvat.events import Retrying, UploadProgress, UploadStarted
from asynccvat.fs import disk_errors
from asynccvat.http.retry_after import Timing
from asynccvat.transfer.exports import Exports
from asynccvat.transfer.one_export import OneExport
from asynccvat.transfer.slots import RequestSlots

_LIMITS = ArchiveLimits()


@dataclass(slots=True)
class PassedBackup:
    """One backup that is passed on.

    Attributes:
        task_id: The task at the source.
        key: The attempt, as the journals call it.
        size: Bytes of its backup.
        sent: Bytes that went to the target.
    """

    task_id: int
    key: str
    size: int = 0
    sent: int = 0


class BackupSender:
    """Pass backups from one server to another, several at once."""

    def __init__(self, sides: BothSides, exports: Exports, slots: RequestSlots) -> None:
        """Prepare to pass backups on.

        Args:
            sides: Both servers, the journals and the limits.
            exports: Requests backups at the source, and waits for them.
            slots: Slots for backups in flight at the source.
        """
        self._source = sides.source
        self._state = sides.state
        self._calls = internals(sides.target).restores
        self._exports = exports
        self._slots = slots
        self._options = sides.options
        self._emit = sides.emit
        self._passing = anyio.CapacityLimiter(sides.options.transfers)
        self._spooling = anyio.Lock()
        self._timing = Timing()
        rate = sides.options.bandwidth
        self._bandwidth = None if rate is None else Bandwidth(rate, self._timing)

    async def send(self, passed: PassedBackup) -> SentFile:
        """Have the source back a task up, and pass the backup on to the target.

        Args:
            passed: Which backup. It receives what that cost.

        Raises:
            UploadTooLargeError: The target takes no file so large. Nothing was sent.
            ArchiveError: The backup is damaged, and was so again after it was made again.
            AsyncCvatError: It failed. The next run goes on, or begins again.
        """
        attempt = 0
        while True:
            try:
                return await self._send_once(passed, may_resume=attempt == 0)
            except (ExportExpiredError, ExportNotReadyError, ArchiveError) as error:
                if isinstance(error, ArchiveError):
                    await self._forget_upload(passed, error)
                if attempt >= self._options.retries or not error.retryable:
                    raise
                self._emit(Retrying(passed.task_id, error.step or "download", str(error), 0.0))
            attempt += 1

    async def _send_once(self, passed: PassedBackup, *, may_resume: bool) -> SentFile:
        if may_resume:
            relay, upload = await self._interrupted(passed)
            if relay is not None:
                return await self._pass_on(relay, passed, upload)
        await self._slots.acquire()
        with OneExport(self._exports, self._slots, passed.task_id, BackupSpec()) as export:
            url = await export.url()
            return await export.read(url, partial(self._read, export, passed))

    async def _forget_upload(self, passed: PassedBackup, error: ArchiveError) -> None:
        """Note that an upload is not to be gone on with: the target may have damaged bytes of it.

        The bytes that come next time are checked, but not those that were sent.
        """
        if self._state.restores.of(passed.key).sending is not None:
            await self._state.restores.note(Failed(key=passed.key, why=str(error)))

    async def _interrupted(
        self, passed: PassedBackup
    ) -> tuple[ArchiveRelay | None, BegunUpload | None]:
        """Return the same result that an interrupted run was passing on, and its upload."""
        begun = self._state.ledger.begun[passed.task_id]
        sending = self._state.restores.of(passed.key).sending
        if sending is None or not begun.url or begun.etag is None:
            return None, None
        try:
            relay = await self._open(begun.url, passed.task_id)
        except (AsyncCvatError, UnknownSizeError):
            return None, None  # it is gone, or is made again now: begin again
        if (relay.etag, relay.size) != (begun.etag, begun.size):
            await shielded(relay.close())
            return None, None
        return relay, BegunUpload(sending.file_id, sending.address)

    async def _read(self, export: OneExport, passed: PassedBackup, url: str) -> SentFile:
        """Pass on the backup at a URL."""
        try:
            relay = await self._open(url, passed.task_id, export)
        except UnknownSizeError:
            async with self._spooled(url, passed) as file:
                self._check_size(file.size, passed.task_id)
                return await self._deliver(file, passed, None)
        return await self._pass_on(relay, passed, None, url)

    async def _open(self, url: str, task_id: int, export: OneExport | None = None) -> ArchiveRelay:
        return await ArchiveRelay.open(
            self._source,
            url,
            task_id,
            limits=_LIMITS,
            backoff=partial(self._backoff, task_id),
            bandwidth=self._bandwidth,
            on_open=None if export is None else export.opened,
        )

    async def _pass_on(
        self,
        relay: ArchiveRelay,
        passed: PassedBackup,
        upload: BegunUpload | None,
        url: str = "",
    ) -> SentFile:
        try:
            self._check_size(relay.size, passed.task_id)
            begun = self._state.ledger.begun[passed.task_id]
            if url:
                await self._state.note(
                    msgspec.structs.replace(begun, url=url, etag=relay.etag, size=relay.size)
                )
            sent = await self._deliver(relay, passed, upload)
            # Nothing may be made of a backup of which a member was not checked.
            await relay.check_members()
            return sent
        finally:
            await shielded(relay.close())

    async def _deliver(
        self,
        source: ByteSource,
        passed: PassedBackup,
        upload: BegunUpload | None,
    ) -> SentFile:
        passed.size = source.size

        def count(length: int) -> None:
            passed.sent += length
            self._emit(UploadProgress(passed.task_id, length))

        async def note(begun: BegunUpload) -> None:
            await self._state.restores.note(
                Sending(
                    key=passed.key,
                    size=source.size,
                    mtime_ns=0,
                    file_id=begun.file_id,
                    address=begun.address,
                )
            )

        async with self._passing:
            self._emit(UploadStarted(passed.task_id, source.size))
            return await self._calls.send(
                source, restore_place(TargetKind.TASK), upload, on_sent=count, on_begun=note
            )

    def _check_size(self, size: int, task_id: int) -> None:
        most = self._options.upload_limit
        if size > most:
            raise UploadTooLargeError(
                f"cannot copy task {task_id}: its backup has {size:,} bytes, and the target takes "
                f"{most:,} at most. Nothing was sent. If the target takes more, give "
                "--upload-limit; otherwise split the task.",
                task_id=task_id,
                step="upload",
            )

    @contextlib.asynccontextmanager
    async def _spooled(self, url: str, passed: PassedBackup) -> AsyncIterator[LocalFile]:
        """Write a backup whose size is unknown to a file, checked, for the time of its sending.

        There is one such file at a time, so that the limit is that of all of them.
        """
        folder = self._state.spool
        path = folder / f"{passed.key}.zip"
        async with self._spooling:
            try:
                with disk_errors.explained("write", path):
                    await in_thread(folder.mkdir, parents=True, exist_ok=True)
                    await self._write(url, path, passed.task_id)
                    status = await in_thread(path.stat)
                await check_members(path)
                yield LocalFile(
                    path=path, shown=path, size=status.st_size, mtime_ns=status.st_mtime_ns
                )
            finally:
                await in_thread(path.unlink, missing_ok=True)

    async def _write(self, url: str, path: Path, task_id: int) -> None:
        waits = self._backoff(task_id)
        while True:
            size = 0
            try:
                with path.open("wb") as file:
                    async with internals(self._source).open_result(url, task_id=task_id) as stream:
                        self._check_spool(stream.total or 0, task_id)
                        async for chunk in stream.chunks():
                            size += len(chunk)
                            self._check_spool(size, task_id)
                            await in_thread(file.write, chunk)
            except TransportError as error:
                await waits.retry_or_raise(error)
            else:
                return

    def _check_spool(self, size: int, task_id: int) -> None:
        if size > self._options.spool_limit:
            raise CopyError(
                f"cannot copy task {task_id}: the source sends its backup without a size or "
                f"without ranges, and it has more than {self._options.spool_limit:,} bytes, which "
                "--spool-limit allows on disk. Allow more, or have the proxy before the source "
                "send Content-Length and ranges.",
                task_id=task_id,
                step="download",
            )

    def _backoff(self, task_id: int) -> Backoff:
        def retrying(error: AsyncCvatError, delay: float) -> None:
            self._emit(Retrying(task_id, "download", str(error), delay))

        budget = internals(self._source).retry_budget
        policy = RetryPolicy(attempts=self._options.retries)
        return Backoff(policy, budget, retrying, self._timing)
