"""Read one archive into one file, checked member by member as its bytes come.

The archive's end comes first, and with it the directory. Then its bytes come in order, into the
file and through the reader, which compares each member with its CRC. An earlier process may have
left a part of the same result: it is read again, and the archive continued after it. A server
without ranges sends the whole archive, which is checked once the directory at its end is there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace

from asynccvat.aio.threads import entered_in_thread, in_thread
from asynccvat.archives.attempts import new_backoff, until_whole
from asynccvat.archives.options import ReadOptions
from asynccvat.archives.progress import TransferEvents
from asynccvat.archives.receiving import receive
from asynccvat.archives.remote import (
    ArchiveSource,
    BodyBrokenError,
    RemoteArchive,
    check_signature,
)
from asynccvat.archives.room import LOOK_AFTER, require_room
from asynccvat.archives.staged_archive import StagedArchive
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.wire.ranges import if_range
from asynccvat.core.zip import Directory, TailNeeded, ZipReader, read_directory
from asynccvat.errors import ArchiveError
from asynccvat.events import Event
from asynccvat.fs import disk_errors, files
from asynccvat.fs.zip_files import directory_of_file, read_file_bytes
from asynccvat.http import ResultStream
from asynccvat.store import StagedBackup
from asynccvat.store.backup_check import BACKUP_RULES

# Bytes that are read again before a cancellation can take effect.
_PIECE_BYTES = 32 * 1024 * 1024
_READ_BYTES = 1024 * 1024


class FileSession:
    """One archive being read into one file."""

    def __init__(
        self,
        source: ArchiveSource,
        staged: StagedBackup,
        options: ReadOptions,
        result_url: str,
        *,
        emit: Callable[[Event], None],
    ) -> None:
        self._source = source
        self._staged = staged
        self._options = replace(options, rules=BACKUP_RULES, map_names=False)
        self._result_url = result_url
        self._events = TransferEvents(staged.task_id, emit)
        self._stack = AsyncExitStack()
        self._fd = -1
        self._room = 0
        self._size = 0
        self._reused = 0
        self._directory: Directory | None = None
        self._reader: ZipReader | None = None
        # Whether the file begins with bytes that an earlier process left.
        self._continued = False

    async def run(self) -> StagedArchive:
        """Read the archive, as often as that is worth trying."""
        opening = entered_in_thread(self._staged.open_part())
        self._fd = await self._stack.enter_async_context(opening)
        directory = await until_whole(
            self._read_once,
            self._source,
            new_backoff(self._options, self._events),
            self._events,
            continues=self._continues,
            start_over=self._start_over,
        )
        members = tuple(
            MemberRecord(entry.name, entry.size, entry.crc, 0)
            for entry in directory.entries
            if not entry.is_directory
        )
        return StagedArchive(
            members, directory.digest, self._source.transferred, self._reused, self._size
        )

    async def close(self) -> None:
        """Close the file."""
        await self._stack.aclose()

    async def _read_once(self) -> Directory:
        async with self._source.open_tail(self._options.ranges.tail) as stream:
            if stream.status == 200:
                return await self._read_whole(stream)
            assert stream.total is not None
            archive = RemoteArchive(stream.total, stream.etag, await self._source.collect(stream))
        self._events.progressed(len(archive.tail))
        while isinstance(directory := await in_thread(self._read_directory, archive), TailNeeded):
            before = len(archive.tail)
            archive = await self._source.with_longer_tail(archive, directory.length)
            self._events.progressed(len(archive.tail) - before)
        await in_thread(self._begin, archive, directory)
        self._events.started(archive.total, self._reused)
        await self._check_file(directory)
        await self._fetch(archive)
        await in_thread(self._finish, archive, directory)
        return directory

    def _read_directory(self, archive: RemoteArchive) -> Directory | TailNeeded:
        options = self._options
        return read_directory(
            archive.tail, archive.total, limits=options.limits, rules=options.rules
        )

    def _begin(self, archive: RemoteArchive, directory: Directory) -> None:
        """Keep the bytes on disk if they are of this result; otherwise begin anew."""
        origin = self._staged.origin()
        etag = if_range(archive.etag)
        here = os.fstat(self._fd).st_size
        same = (
            origin is not None
            and etag is not None
            and (origin.etag, origin.total) == (etag, archive.total)
            and here <= archive.total
        )
        if same and origin is not None:
            # Of the directory, only what has just come is known to be right.
            self._size = min(here, directory.start)
            files.truncate(self._fd, self._size)
            self._staged.requested_at = origin.requested_at
            self._staged.is_continued = here > 0
            self._continued = self._continued or (self._reader is None and here > 0)
        else:
            self._truncate()
            self._staged.is_continued = False
            if etag is not None:
                self._staged.note_origin(self._result_url, etag, archive.total)
        if not self._continued:
            self._reused = 0
        elif self._reader is None:
            self._reused = self._size
        require_room(self._fd, archive.total - self._size, self._staged.task_id)
        self._directory = directory
        self._reader = ZipReader(directory, directory.entries, self._options.limits)

    async def _check_file(self, directory: Directory) -> None:
        """Read the bytes on disk again, up to the directory."""
        assert self._reader is not None
        stop = min(self._size, directory.start)
        while self._reader.position < stop:
            await in_thread(self._check_piece, stop)

    def _check_piece(self, stop: int) -> None:
        assert self._reader is not None
        piece_stop = min(stop, self._reader.position + _PIECE_BYTES)
        while (position := self._reader.position) < piece_stop:
            data = read_file_bytes(self._fd, position, min(position + _READ_BYTES, piece_stop))
            self._feed(data)

    async def _fetch(self, archive: RemoteArchive) -> None:
        """Fetch what is missing before the tail, however often the connection breaks."""
        backoff = new_backoff(self._options, self._events)
        write = self._events.timed(self._write)
        while (start := self._size) < archive.tail_start:
            try:
                async with self._source.open(archive, start, archive.tail_start) as stream:
                    await receive(self._source, stream, write, self._events.progressed)
            except BodyBrokenError as broken:
                backoff.progress(self._size - start)
                await backoff.retry_or_raise(broken.error)

    def _finish(self, archive: RemoteArchive, directory: Directory) -> None:
        """Write the tail, and end the reading."""
        if self._size < archive.total:
            self._append(archive.between(self._size, archive.total), directory.start)
        self._checked_to_the_end()

    # The whole archive, from a server without ranges

    async def _read_whole(self, stream: ResultStream) -> Directory:
        await in_thread(self._begin_whole, stream.total or 0)
        self._events.started(stream.total, 0)
        write = self._events.timed(self._write)
        await receive(self._source, stream, write, self._events.progressed)
        directory = await in_thread(self._directory_of_file)
        await self._check_file(directory)
        self._checked_to_the_end()
        return directory

    def _begin_whole(self, size: int) -> None:
        self._truncate()
        self._continued, self._reused = False, 0
        self._directory = self._reader = None
        self._options.limits.check_archive(size)
        require_room(self._fd, size, self._staged.task_id)

    def _directory_of_file(self) -> Directory:
        options = self._options
        directory = directory_of_file(
            self._fd, self._size, options.ranges.tail, limits=options.limits, rules=options.rules
        )
        self._reader = ZipReader(directory, directory.entries, options.limits)
        return directory

    # Bytes

    def _write(self, chunks: Iterable[bytes | memoryview]) -> None:
        """Append the next bytes to the file, and check them."""
        for chunk in chunks:
            if not self._size:
                check_signature(chunk)
            self._append(chunk, None if self._directory is None else self._directory.start)

    def _append(self, data: bytes | memoryview, checked_up_to: int | None) -> None:
        """Append bytes to the file, and check those before an offset; None checks none yet."""
        start = self._size
        try:
            self._reserve(len(data))
            os.lseek(self._fd, start, os.SEEK_SET)
            files.write(self._fd, data)
        except OSError as error:
            raise disk_errors.explain(
                error, "write", self._staged.path, task_id=self._staged.task_id
            ) from error
        self._size += len(data)
        if checked_up_to is None:
            self._options.limits.check_archive(self._size)
        elif start < checked_up_to:
            self._feed(memoryview(data)[: checked_up_to - start])

    def _feed(self, data: bytes | memoryview) -> None:
        assert self._reader is not None
        for _ in self._reader.feed(data):
            pass

    def _checked_to_the_end(self) -> None:
        assert self._reader is not None
        self._reader.close()

    def _reserve(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            require_room(self._fd, size, self._staged.task_id)
            self._room = LOOK_AFTER

    def _continues(self, error: ArchiveError) -> bool:
        del error
        return self._continued

    def _start_over(self) -> None:
        self._continued = False
        self._truncate()

    def _truncate(self) -> None:
        """Empty the file. First what says where its bytes came from goes."""
        with disk_errors.explained("empty", self._staged.path, task_id=self._staged.task_id):
            self._staged.forget_origin()
            files.truncate(self._fd, 0)
        self._size = 0
