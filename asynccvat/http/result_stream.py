"""An archive's bytes as they arrive, checked against what the headers promised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from asynccvat.core.responses import ByteRange, is_json, media_type
from asynccvat.errors import AsyncCvatError, ProtocolError, ReadError
from asynccvat.http.body_receiver import WORTHWHILE, BodyReceiver
from asynccvat.http.exchange import Exchange
from asynccvat.http.failures import HTTP_FAILURES
from asynccvat.http.stall import StallDetector


class ResultStream:
    """The body of one download.

    Attributes:
        status: 200 for the whole archive, 206 for a part of it.
        start: Offset in the archive of the body's first byte.
        length: Bytes that the body will have, None where the server does not say.
        total: Size of the whole archive in bytes, None where the server does not say.
        etag: As the server wrote it, for `if_range`; None where there is none.
    """

    def __init__(
        self,
        exchange: Exchange,
        asked: ByteRange | None,
    ) -> None:
        self._exchange = exchange
        self._response = response = exchange.response
        self._stall = StallDetector(exchange.stall_timeout)
        headers = response.headers
        self.status = response.status
        self.length: int | None
        self.total: int | None
        self.etag = headers.get("ETag")
        _check_type(headers.get("Content-Type"), headers.get("Content-Encoding"))
        content_length = response.content_length
        if self.status == 206:
            if asked is None:
                raise ProtocolError("the server sent a part of the archive that nobody asked for")
            first, last, total = asked.check(headers.get("Content-Range"))
            self.start, self.length, self.total = first, last - first + 1, total
            if content_length not in (None, self.length):
                raise ProtocolError(
                    f"the server promised {content_length} bytes for a range of {self.length}"
                )
        else:
            self.start, self.length, self.total = 0, content_length, content_length
        self._broken: AsyncCvatError | None = None

    @property
    def received(self) -> int:
        """Bytes of the body that were read so far."""
        return self._exchange.received

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, in pieces of whatever size.

        There is no limit on the whole, but one on each silence, which takes a KiB to end: the
        stall timeout.

        Raises:
            ReadError: The connection broke, or the body is shorter than promised.
            StallError: Nothing, or next to nothing, came for longer than the stall timeout.
            ProtocolError: The body is longer than promised.
        """
        while chunk := await self._read():
            self._exchange.received += len(chunk)
            if self.length is not None and self.received > self.length:
                raise ProtocolError(f"the server sent more than the {self.length} bytes promised")
            yield chunk
        if self.length is not None and self.received < self.length:
            raise ReadError(f"the body ended after {self.received} of {self.length} bytes")

    def body_receiver(self, on_bytes: Callable[[int], None]) -> BodyReceiver | None:
        """Take the body off its connection, for a worker thread; instead of `chunks`.

        Args:
            on_bytes: Told how many bytes came, every now and then.

        Returns:
            None where that does not pay, or cannot be done: the body is short, its length is not
            known, or it has broken already.
        """
        response = self._response
        if (
            self.length is None
            or self.length < WORTHWHILE
            or response.content_length != self.length
            or response.connection is None
            or response.connection.transport is None
            or response.content.exception() is not None
        ):
            return None

        def count(size: int) -> None:
            self._exchange.received += size
            on_bytes(size)

        return BodyReceiver(
            response,
            self.length,
            failure_of=self._exchange.failure_of,
            stall_timeout=self._exchange.stall_timeout,
            on_bytes=count,
        )

    async def _read(self) -> bytes:
        if self._broken is not None:
            raise self._broken
        try:
            return await self._next_chunk()
        except HTTP_FAILURES as exc:
            failure = self._exchange.failure_of(exc)
        # Outside the handler, so that aiohttp's exception is no context of ours.
        self._broken = failure
        if left := self._arrived_before_the_break():
            return left
        raise failure

    async def _next_chunk(self) -> bytes:
        """The next piece just as it arrived, b"" at the end: joining pieces would copy them."""
        content = self._response.content
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            chunk, _ = await content.readchunk()
            self._stall.received(len(chunk), clock() - began)
            # In a chunked body, pieces that only end a chunk are empty, too.
            if chunk or content.at_eof():
                return chunk

    def _arrived_before_the_break(self) -> bytes:
        """What aiohttp holds back: it raises first, whatever came before is still unread.

        There is no public way to it. Without it a reader that is slower than the network would
        lose a whole buffer with each break, and fetch it again.
        """
        read_nowait = getattr(self._response.content, "_read_nowait", None)
        left: bytes = b"" if read_nowait is None else read_nowait(-1)
        return left

    def close(self) -> None:
        """Leave the rest unread.

        Closing the connection spares both sides what is not wanted; after a body that was read
        whole, the connection is back in the pool already and stays open.
        """
        self._exchange.close()


def _check_type(content_type: str | None, encoding: str | None) -> None:
    kind = media_type(content_type)
    if is_json(content_type) or kind.startswith(("text/", "multipart/")):
        raise ProtocolError(f"the server sent {kind} where an archive was due")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        # Unpacked on the way, offsets in the archive would no longer be those of its ranges.
        raise ProtocolError(
            f"the server sent the archive with Content-Encoding {encoding!r}, which was not asked "
            "for: a proxy before it should not compress downloads"
        )
