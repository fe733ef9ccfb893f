"""An archive's bytes as they arrive, checked against the response's headers.

`exchange` reads short bodies whole. `body_receiver` passes long ones to a worker thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from asynccvat.core.wire.responses import ByteRange, is_json, media_type, parse_date
from asynccvat.errors import AsyncCvatError, ProtocolError, ReadError
from asynccvat.http.body_receiver import WORTHWHILE, BodyReceiver, Takeover
from asynccvat.http.exchange import Exchange
from asynccvat.http.failures import HTTP_FAILURES
from asynccvat.http.stall import StallDetector


class ResultStream:
    """Read the body of one download.

    Attributes:
        status: 200 for the whole archive, 206 for a part of it.
        start: Offset in the archive of the body's first byte.
        length: Length of the body in bytes, None if the server does not send it.
        total: Size of the whole archive in bytes, None if the server does not send it.
        etag: The ETag as the server wrote it, for `if_range`; None if it sent none.
        modified: `Last-Modified`, None if the server sent none.
        sent: `Date`, None if the server sent none.
    """

    def __init__(self, exchange: Exchange, requested: ByteRange | None) -> None:
        """Check the headers against the requested part; the body is not read yet.

        Args:
            exchange: The request and its response.
            requested: The part that was requested, None for the whole archive.

        Raises:
            ProtocolError: The headers are not those of an archive, or of the requested part.
        """
        self._exchange = exchange
        self._response = response = exchange.response
        self._stall = StallDetector(exchange.stall_timeout)
        headers = response.headers
        self.status = response.status
        self.length: int | None
        self.total: int | None
        self.etag = headers.get("ETag")
        self.modified = parse_date(headers.get("Last-Modified"))
        self.sent = parse_date(headers.get("Date"))
        _check_type(headers.get("Content-Type"), headers.get("Content-Encoding"))
        content_length = response.content_length
        if self.status == 206:
            if requested is None:
                raise ProtocolError(
                    "the server sent a part of the archive, although all of it was requested"
                )
            first, last, total = requested.check(headers.get("Content-Range"))
            self.start, self.length, self.total = first, last - first + 1, total
            if content_length not in (None, self.length):
                raise ProtocolError(
                    f"the server announced {content_length} bytes for a range of {self.length}"
                )
        else:
            self.start, self.length, self.total = 0, content_length, content_length
        self._broken: AsyncCvatError | None = None

    def header(self, name: str) -> str | None:
        """Return a header's value, None if it was not sent."""
        return self._exchange.header(name)

    @property
    def received(self) -> int:
        """Bytes of the body that were read so far."""
        return self._exchange.received

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, in pieces of any size.

        The whole body may take any time, but each KiB must arrive within the stall timeout.

        Raises:
            ReadError: The connection broke, or the body is shorter than announced.
            StallError: Less than 1 KiB arrived within the stall timeout.
            ProtocolError: The body is longer than announced.
        """
        while chunk := await self._read():
            self._exchange.received += len(chunk)
            if self.length is not None and self.received > self.length:
                raise ProtocolError(f"the server sent more than the {self.length} bytes announced")
            yield chunk
        if self.length is not None and self.received < self.length:
            raise ReadError(f"the body ended after {self.received} of {self.length} bytes")

    def body_receiver(self, on_bytes: Callable[[int], None]) -> BodyReceiver | None:
        """Take the connection over for a worker thread; use it instead of `chunks`.

        Args:
            on_bytes: Called now and then with the number of bytes that arrived.

        Returns:
            None if `chunks` has to be used: the body is short, of unknown length or broken, or
            this aiohttp does not let its connection be taken over.
        """
        response = self._response
        if (
            self.length is None
            or self.length < WORTHWHILE
            or response.content_length != self.length
        ):
            return None
        takeover = Takeover.of(response)
        if takeover is None:
            return None

        def count(size: int) -> None:
            self._exchange.received += size
            on_bytes(size)

        return BodyReceiver(
            takeover,
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
        # Raised outside the handler: aiohttp's exception must not become its `__context__`.
        self._broken = failure
        if left := self._arrived_before_the_break():
            return left
        raise failure

    async def _next_chunk(self) -> bytes:
        """Return the next piece as it arrived, b"" at the end; joining pieces would copy them."""
        content = self._response.content
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            chunk, _ = await content.readchunk()
            self._stall.received(len(chunk), clock() - began)
            # In a chunked body, the end of a chunk is an empty piece, too.
            if chunk or content.at_eof():
                return chunk

    def _arrived_before_the_break(self) -> bytes:
        """Return what aiohttp read before the break: it raises first and keeps that unread.

        There is no public access to it. Without it, a reader slower than the network would lose
        a whole buffer with each break and download it again.
        """
        read_nowait = getattr(self._response.content, "_read_nowait", None)
        left: bytes = b"" if read_nowait is None else read_nowait(-1)
        return left

    def close(self) -> None:
        """Leave the rest unread.

        This closes the connection, unless the body was read to its end: then the connection is
        back in the pool already and stays open.
        """
        self._exchange.close()


def _check_type(content_type: str | None, encoding: str | None) -> None:
    kind = media_type(content_type)
    if is_json(content_type) or kind.startswith(("text/", "multipart/")):
        raise ProtocolError(f"the server sent {kind} instead of an archive")
    if encoding is not None and encoding.strip().lower() not in ("", "identity"):
        # After decompression, offsets in the body would not be offsets in the archive.
        raise ProtocolError(
            f"the server sent the archive with Content-Encoding {encoding!r}, which was not "
            "requested. Configure the proxy before it not to compress downloads"
        )
