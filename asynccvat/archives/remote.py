"""The requests for one archive: its end, parts of it, all of it; and the counting of what came.

What an answer means for the reading is told by two errors that stay inside the package; what then
happens is left to `reading`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from asynccvat.archives.backoff import Bandwidth
from asynccvat.client import CvatClient
from asynccvat.core.ranges import if_range, is_same_archive
from asynccvat.errors import ProtocolError, ResponseError, TransportError, TruncatedArchiveError
from asynccvat.http import BodyReceiver, ResultStream

_SIGNATURE = b"PK"


class ArchiveChangedError(Exception):
    """The archive is no longer the one whose directory is known. Stays inside the package."""


class BodyBrokenError(Exception):
    """A body broke off. Errors before it began were tried again by the client already.

    Stays inside the package.

    Attributes:
        error: How.
    """

    def __init__(self, error: TransportError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class RemoteArchive:
    """One state of the archive at the server, and its end."""

    total: int
    etag: str | None
    tail: bytes

    @property
    def tail_start(self) -> int:
        return self.total - len(self.tail)

    def between(self, start: int, stop: int) -> memoryview:
        """The bytes from one offset in the tail to another."""
        return memoryview(self.tail)[start - self.tail_start : stop - self.tail_start]


class ArchiveSource:
    """The requests for one archive, and the counting of what they bring."""

    def __init__(
        self,
        client: CvatClient,
        result_url: str,
        task_id: int,
        bandwidth: Bandwidth | None,
        on_open: Callable[[], None] | None = None,
    ) -> None:
        self._on_open = on_open
        self._client = client
        self._result_url = result_url
        self._task_id = task_id
        self._bandwidth = bandwidth
        self.transferred = 0

    @asynccontextmanager
    async def open_tail(self, size: int) -> AsyncIterator[ResultStream]:
        """Ask for the last `size` bytes; what comes is all of it where there is no Range."""
        try:
            async with self._client.open_result(
                self._result_url, suffix=size, task_id=self._task_id
            ) as stream:
                if self._on_open is not None:
                    self._on_open()
                    self._on_open = None
                yield stream
        except ResponseError as error:
            if error.status != 416:
                raise
            raise TruncatedArchiveError("the archive is empty: fetch it again") from error

    @asynccontextmanager
    async def open(
        self, archive: RemoteArchive, start: int, stop: int
    ) -> AsyncIterator[ResultStream]:
        """Ask for bytes of a known archive.

        Raises:
            ArchiveChangedError: There is another version now.
        """
        try:
            async with self._client.open_result(
                self._result_url,
                first=start,
                last=stop - 1,
                if_range=if_range(archive.etag),
                task_id=self._task_id,
            ) as stream:
                if not is_same_archive(
                    status=stream.status,
                    total=stream.total,
                    etag=stream.etag,
                    known_total=archive.total,
                    known_etag=archive.etag,
                ):
                    raise ArchiveChangedError
                yield stream
        except ResponseError as error:
            if error.status != 416:
                raise
            raise ArchiveChangedError from error  # it is shorter now

    async def chunks(self, stream: ResultStream) -> AsyncGenerator[bytes, None]:
        """Yield a body as it comes.

        Raises:
            BodyBrokenError: It broke off.
            ProtocolError: It should begin as a zip archive, and does not.
        """
        position = stream.start
        try:
            async for chunk in stream.chunks():
                if position == 0:
                    check_signature(chunk)
                position += len(chunk)
                self.transferred += len(chunk)
                if self._bandwidth is not None:
                    await self._bandwidth.take(len(chunk))
                yield chunk
        except TransportError as error:
            raise BodyBrokenError(error) from error

    def body_receiver(
        self, stream: ResultStream, on_bytes: Callable[[int], None]
    ) -> BodyReceiver | None:
        """Take a long body off its connection, which cannot be done where it is slowed down.

        Args:
            stream: The body, not read yet.
            on_bytes: Told how many bytes came, every now and then.
        """

        def count(size: int) -> None:
            self.transferred += size
            on_bytes(size)

        return None if self._bandwidth is not None else stream.body_receiver(count)

    async def collect(self, stream: ResultStream) -> bytes:
        async with aclosing(self.chunks(stream)) as chunks:
            return b"".join([chunk async for chunk in chunks])


def check_signature(chunk: bytes | memoryview) -> None:
    """Make sure that a body's first bytes are the beginning of a zip archive.

    Raises:
        ProtocolError: They are not.
    """
    start = bytes(chunk[:16])
    if not start.startswith(_SIGNATURE[: len(start)]):
        raise ProtocolError(
            f"what the server sent as an archive starts with {start!r} and is none: check the "
            "server, or a proxy before it",
            step="download",
        )
