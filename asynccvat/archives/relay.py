"""Pass an archive on while it is read, with no file on disk, and check its members on the way.

The archive's end is fetched first, and with it the directory. The bytes then come in their order,
each piece when the receiver asks for it. `client.tus` sends them. After a break of either
connection the same result is read on from the receiver's offset: `If-Range` refuses any other.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from asynccvat.archives.backoff import Backoff
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.archives.remote import (
    ArchiveChangedError,
    ArchiveSource,
    BodyBrokenError,
    RemoteArchive,
)
from asynccvat.client import CvatClient
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.paths import NameRules
from asynccvat.core.zip import Directory, TailNeeded, ZipReader, read_directory
from asynccvat.errors import AsyncCvatError, ExportExpiredError, IntegrityError
from asynccvat.http import ResultStream

# A receiver of another system may hold names that no disk here could.
_ANY_NAMES = NameRules(component_bytes=1 << 16, path_bytes=1 << 16)
_TAIL = 256 * 1024


class UnknownSizeError(Exception):
    """The server sends the whole archive, without telling its size or without ranges.

    It stays inside the package: the caller spools the archive instead.
    """


@dataclass(slots=True)
class MemberCheck:
    """Check the members of an archive whose bytes come in order, some of them again.

    Attributes:
        directory: The archive's directory.
        position: The offset of the next byte that was not checked.
    """

    directory: Directory
    position: int
    _reader: ZipReader

    @classmethod
    def of(cls, directory: Directory, limits: ArchiveLimits) -> MemberCheck:
        """Begin at the first member.

        Raises:
            ArchiveLimitError: The members are beyond the limits.
        """
        return cls(directory, 0, ZipReader(directory, directory.entries, limits))

    def feed(self, offset: int, data: bytes) -> None:
        """Check the next bytes; those that came before are passed over.

        Raises:
            ArchiveError: A member is not what its headers and the directory say.
            ValueError: Bytes are missing before them.
        """
        if offset > self.position:
            raise ValueError(f"bytes {self.position} to {offset} were not checked")
        fresh = data[self.position - offset :]
        if not fresh:
            return
        members = fresh[: max(self.directory.start - self.position, 0)]
        if members:
            for _ in self._reader.feed(members):
                pass
        self.position += len(fresh)

    def close(self) -> None:
        """Make sure that every member was checked to its end.

        Raises:
            TruncatedArchiveError: Bytes are missing.
        """
        self._reader.close()


class ArchiveRelay:
    """One archive at a server, as bytes for a receiver. Use `open`, and close it in the end.

    It is a `client.upload_file.ByteSource`.

    Attributes:
        size: Bytes of the archive.
        etag: Its ETag, None if the server sent none.
        directory: Its members.
        filename: Its name for the receiver.
        shown: What messages call it.
    """

    filename = "backup.zip"

    def __init__(
        self,
        task_id: int,
        source: ArchiveSource,
        archive: RemoteArchive,
        check: MemberCheck,
        backoff: Callable[[], Backoff],
    ) -> None:
        self.size = archive.total
        self.etag = archive.etag
        self.shown = f"the backup of task {task_id}"
        self.directory = check.directory
        self._source = source
        self._archive = archive
        self._check = check
        self._backoff = backoff
        self._stack = AsyncExitStack()
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self._position = 0
        self._left = b""
        self._failure: AsyncCvatError | None = None

    @classmethod
    async def open(
        cls,
        client: CvatClient,
        result_url: str,
        task_id: int,
        *,
        limits: ArchiveLimits,
        backoff: Callable[[], Backoff],
        bandwidth: Bandwidth | None = None,
        on_open: Callable[[ResultStream], None] | None = None,
    ) -> ArchiveRelay:
        """Fetch the archive's end, and read its directory.

        Args:
            client: The server that has the archive.
            result_url: As the finished request has it.
            task_id: The task, for messages.
            limits: Bounds on the archive.
            backoff: Makes the waits of one transfer before broken connections are made again.
            bandwidth: The bandwidth that all transfers share.
            on_open: Called with the response when the server begins to send the archive.

        Raises:
            UnknownSizeError: The server tells no size, or knows no ranges.
            ArchiveError: The archive's end is broken, or beyond the limits.
            ExportExpiredError: The result is gone, or another one is there.
            AsyncCvatError: The server cannot be reached, or refuses it.
        """
        source = ArchiveSource(client, result_url, task_id, bandwidth, on_open)
        waits = backoff()
        length = _TAIL
        while True:
            try:
                archive = await _tail(source, length)
            except BodyBrokenError as broken:
                await waits.retry_or_raise(broken.error)
                continue
            found = read_directory(archive.tail, archive.total, limits=limits, rules=_ANY_NAMES)
            if not isinstance(found, TailNeeded):
                return cls(task_id, source, archive, MemberCheck.of(found, limits), backoff)
            length = found.length

    @property
    def transferred(self) -> int:
        """Bytes that came over the network."""
        return self._source.transferred

    async def pieces(self, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from an offset on, in their order.

        A request is kept open from one call to the next, as long as the offsets follow each other.
        Bytes before the offset that were not checked yet are read and checked first.

        Raises:
            ArchiveError: A member is damaged.
            ExportExpiredError: The server has another result now.
            AsyncCvatError: The connection broke too often.
        """
        try:
            async for piece in self._checked(offset, offset + length):
                yield piece
        except AsyncCvatError as error:
            # The receiver's connection breaks of it, and reports that instead.
            self._failure = error
            raise

    async def _checked(self, offset: int, end: int) -> AsyncIterator[bytes]:
        waits = self._backoff()
        wanted, offset = offset, min(offset, self._check.position)
        while offset < end:
            try:
                piece = await self._next(offset, end)
            except BodyBrokenError as broken:
                await self.close()
                await waits.retry_or_raise(broken.error)
                continue
            except ArchiveChangedError as error:
                raise _other_result() from error
            waits.progress(len(piece))
            self._check.feed(offset, piece)
            known = max(wanted - offset, 0)
            offset += len(piece)
            if known < len(piece):
                yield piece[known:]

    async def check_members(self) -> None:
        """Make sure that every member is as its CRC says.

        Bytes that were not read yet are read: an earlier process may have sent them.

        Raises:
            ArchiveError: A member is damaged, or bytes are missing.
            AsyncCvatError: As `pieces`.
        """
        async for _ in self.pieces(self._check.position, self.size - self._check.position):
            pass
        self._check.close()

    async def check_unchanged(self) -> None:
        """Raise what kept the bytes from being read, if anything did.

        Each request asks for the same result, and the source refuses it otherwise.

        Raises:
            AsyncCvatError: As `pieces`.
        """
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Close the request that is open, if one is."""
        self._chunks, self._left = None, b""
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    async def _next(self, offset: int, end: int) -> bytes:
        """Return the next bytes from an offset on, at most up to another one."""
        if offset >= self._archive.tail_start:
            await self.close()
            return bytes(self._archive.between(offset, end))
        if self._chunks is None or self._position != offset:
            await self.close()
            stream = await self._stack.enter_async_context(
                self._source.open(self._archive, offset, self._archive.tail_start)
            )
            self._chunks, self._position = self._source.chunks(stream), offset
            self._stack.push_async_callback(self._chunks.aclose)
        if not self._left:
            piece = await anext(self._chunks, b"")
            if not piece:
                raise IntegrityError("the server ended the archive early. Fetch it again.")
            self._left = piece
        piece, self._left = self._left[: end - offset], self._left[end - offset :]
        self._position += len(piece)
        return piece


async def _tail(source: ArchiveSource, length: int) -> RemoteArchive:
    async with source.open_tail(length) as stream:
        if stream.total is None or (stream.status == 200 and stream.total > length):
            raise UnknownSizeError
        return RemoteArchive(stream.total, stream.etag, await source.collect(stream))


def _other_result() -> ExportExpiredError:
    return ExportExpiredError(
        "the server has another result of this backup now: it was made again meanwhile. Run again.",
        step="download",
        retryable=True,
    )
