"""Request an archive or parts of it, and count the bytes.

Two errors stay inside the package: `ArchiveChangedError` and `BodyBrokenError`. `session` decides
what happens after them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.client import CvatClient, internals
from asynccvat.core.wire.ranges import if_range, is_same_archive
from asynccvat.errors import ProtocolError, ResponseError, TransportError, TruncatedArchiveError
from asynccvat.http import BodyReceiver, ResultStream

_SIGNATURE = b"PK"


class ArchiveChangedError(Exception):
    """The server no longer has the archive whose directory is known."""


class BodyBrokenError(Exception):
    """A body broke off.

    The client has already retried errors before the body.

    Attributes:
        error: Why it broke off.
    """

    def __init__(self, error: TransportError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class RemoteArchive:
    """The archive as the server has it now, and its last bytes.

    Attributes:
        total: Bytes of the whole archive.
        etag: Its ETag, None if the server sent none.
        tail: Its last bytes.
    """

    total: int
    etag: str | None
    tail: bytes

    @property
    def tail_start(self) -> int:
        """Offset in the archive at which the tail starts."""
        return self.total - len(self.tail)

    def between(self, start: int, stop: int) -> memoryview:
        """Return bytes of the tail, by their offsets in the archive."""
        return memoryview(self.tail)[start - self.tail_start : stop - self.tail_start]


class BodySource:
    """Bodies of one server's answers, within a bandwidth.

    Attributes:
        transferred: Bytes that came over the network.
    """

    def __init__(self, bandwidth: Bandwidth | None) -> None:
        self._bandwidth = bandwidth
        self.transferred = 0

    async def chunks(self, stream: ResultStream) -> AsyncGenerator[bytes, None]:
        """Yield a body as it comes.

        Raises:
            BodyBrokenError: It broke off.
            ProtocolError: It is the beginning of something else.
        """
        position = stream.start
        try:
            async for chunk in stream.chunks():
                self._check(chunk, position)
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
        """Take a body over from aiohttp; None if that does not pay.

        A limited bandwidth rules it out, too: then each piece has to pass through the event loop.

        Args:
            stream: The body, not read yet.
            on_bytes: Called with the number of bytes that came, for each buffer.
        """

        def count(size: int) -> None:
            self.transferred += size
            on_bytes(size)

        return None if self._bandwidth is not None else stream.body_receiver(count)

    def _check(self, chunk: bytes, position: int) -> None:
        """Check the next bytes of a body. Any are right."""


class ArchiveSource(BodySource):
    """Requests for one archive.

    Attributes:
        transferred: Bytes that came over the network.
    """

    def __init__(
        self,
        client: CvatClient,
        result_url: str,
        task_id: int,
        bandwidth: Bandwidth | None,
        on_open: Callable[[ResultStream], None] | None = None,
    ) -> None:
        super().__init__(bandwidth)
        self._on_open = on_open
        self._client = client
        self._result_url = result_url
        self._task_id = task_id

    def _check(self, chunk: bytes, position: int) -> None:
        if position == 0:
            check_signature(chunk)

    @asynccontextmanager
    async def open_tail(self, size: int) -> AsyncIterator[ResultStream]:
        """Request the last `size` bytes.

        A server without ranges sends the whole archive.
        """
        try:
            async with internals(self._client).open_result(
                self._result_url, suffix=size, task_id=self._task_id
            ) as stream:
                if self._on_open is not None:
                    self._on_open(stream)
                    self._on_open = None
                yield stream
        except ResponseError as error:
            if error.status != 416:
                raise
            raise TruncatedArchiveError("the archive is empty. Fetch it again.") from error

    @asynccontextmanager
    async def open(
        self, archive: RemoteArchive, start: int, stop: int
    ) -> AsyncIterator[ResultStream]:
        """Ask for bytes of a known archive.

        Raises:
            ArchiveChangedError: There is another version now.
        """
        try:
            async with internals(self._client).open_result(
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

    async def with_longer_tail(self, archive: RemoteArchive, length: int) -> RemoteArchive:
        """Fetch more of the end of a known archive.

        Args:
            archive: The archive.
            length: Bytes of its end that are wanted in all.

        Raises:
            ArchiveChangedError: There is another version now.
            BodyBrokenError: The response broke off.
        """
        start = archive.total - length
        async with self.open(archive, start, archive.tail_start) as stream:
            more = await self.collect(stream)
        return replace(archive, tail=more + archive.tail)

    async def collect(self, stream: ResultStream) -> bytes:
        """Return a whole body.

        Raises:
            BodyBrokenError: As `chunks`.
            ProtocolError: As `chunks`.
        """
        async with aclosing(self.chunks(stream)) as chunks:
            return b"".join([chunk async for chunk in chunks])


def check_signature(chunk: bytes | memoryview) -> None:
    """Check that a body begins like a zip archive.

    Raises:
        ProtocolError: They are not.
    """
    start = bytes(chunk[:16])
    if not start.startswith(_SIGNATURE[: len(start)]):
        raise ProtocolError(
            f"the server sent no zip archive: the response starts with {start!r}. Check the "
            "server, and any proxy in front of it.",
            step="download",
        )
