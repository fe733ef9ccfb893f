"""Read a long body straight from its connection into buffers that one thread empties.

aiohttp copies each piece that the socket gives twice, and wakes the event loop for it. A
`BodyReceiver` takes the connection over from aiohttp once the headers are read. The kernel (with
TLS: the cipher) then writes into a few buffers that circulate between the event loop and one
worker thread. Measured: `docs/decisions/long-bodies.md`.

`result_stream` uses it where it can, and reads the pieces from aiohttp where it cannot. What the
bytes mean is up to the thread's `Consumer`; `failures` translates errors.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from asynccvat.errors import AsyncCvatError
from asynccvat.http.failures import TrickleError
from asynccvat.http.stall import PROGRESS_BYTES

BUFFER_BYTES = 512 * 1024
"""Large enough to make the cost of a handover negligible, and within a processor's cache."""

BUFFERS = 3
"""One is being filled, one is being emptied, and the third spares each side a wait."""

WORTHWHILE = 4 * 1024 * 1024
"""The least length in bytes that pays, because the connection is lost for further requests. It is
also more than aiohttp can have read of a body before the takeover."""

Consumer = Callable[[Iterable[memoryview]], None]


class _ReadingProtocol(Protocol):
    """The parts of aiohttp's protocol that are used after the takeover."""

    def pause_reading(self) -> None: ...

    def connection_lost(self, exc: BaseException | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Takeover:
    """A response's connection that can be taken over from aiohttp.

    Attributes:
        transport: The transport that reads the body.
        protocol: aiohttp's protocol, which the transport calls until the takeover.
        content: aiohttp's buffer of what was read already.
    """

    transport: asyncio.Transport
    protocol: _ReadingProtocol
    content: aiohttp.StreamReader

    @classmethod
    def of(cls, response: aiohttp.ClientResponse) -> Self | None:
        """Look for all parts of a response's connection that a takeover needs.

        aiohttp does not document them. With a version that lacks one of them, or that put a
        layer between transport and protocol, there is no takeover.

        Returns:
            None if the connection cannot be taken over, or has failed or ended already.
        """
        connection: Any = getattr(response, "connection", None)
        transport: Any = getattr(connection, "transport", None)
        protocol: Any = getattr(connection, "protocol", None)
        content = response.content
        if (
            not _has(transport, "get_protocol", "set_protocol", "pause_reading", "resume_reading")
            or not _has(protocol, "pause_reading", "connection_lost")
            or not _has(content, "read_nowait", "exception")
            or transport.get_protocol() is not protocol
            or content.exception() is not None
        ):
            return None
        return cls(transport, protocol, content)


def _has(part: object, *methods: str) -> bool:
    return all(callable(getattr(part, method, None)) for method in methods)


class BodyReceiver(asyncio.BufferedProtocol):
    """Receive the rest of a body: `drain` runs in a thread, all else in the event loop.

    Use it as a context manager. Leaving the block ends the body and lets `drain` return.
    """

    def __init__(
        self,
        takeover: Takeover,
        length: int,
        *,
        failure_of: Callable[[BaseException], AsyncCvatError],
        stall_timeout: float,
        on_bytes: Callable[[int], None],
    ) -> None:
        """Take the connection over from aiohttp; use `ResultStream.body_receiver` instead.

        Args:
            takeover: The response's connection. The caller closes the response afterwards.
            length: Bytes of the body, at least `WORTHWHILE`.
            failure_of: Translates aiohttp's exceptions.
            stall_timeout: Seconds without 1 KiB after which the body has failed.
            on_bytes: Called with the number of bytes of each buffer that was filled.
        """
        self._failure: AsyncCvatError | None = None
        self._failure_of = failure_of
        self._stall_timeout = stall_timeout
        self._on_bytes = on_bytes
        self._loop = asyncio.get_running_loop()
        self._free = deque(memoryview(bytearray(BUFFER_BYTES)) for _ in range(BUFFERS))
        self._buffer = self._free.popleft()
        self._size = 0
        self._filled: SimpleQueue[memoryview | None] = SimpleQueue()
        self._full = False
        self._open = True
        self._progress_at = self._loop.time()
        self._since_progress = 0
        self._timer = self._loop.call_later(stall_timeout, self._check_stall)
        self._transport = takeover.transport
        self._aiohttp_protocol = takeover.protocol
        self._read_ahead = _read_ahead(takeover.content)
        # Positive, because aiohttp cannot hold all of so long a body (see `WORTHWHILE`).
        self._missing = length - sum(map(len, self._read_ahead))
        self._aiohttp_protocol.pause_reading()  # this stops aiohttp's read timeout, too
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    # The worker thread's side

    def drain(self, consume: Consumer) -> None:
        """Pass the body to `consume`, piece by piece, until it ends.

        A piece is valid until the next one is requested.
        """
        consume(self._pieces())

    def _pieces(self) -> Iterator[memoryview]:
        for chunk in self._read_ahead:
            yield memoryview(chunk)
        self._read_ahead.clear()
        while (piece := self._filled.get()) is not None:
            yield piece
            self._free.append(memoryview(piece.obj))
            if self._full:
                self._loop.call_soon_threadsafe(self._resume)

    # The event loop's side

    def __enter__(self) -> Self:
        self._on_bytes(sum(map(len, self._read_ahead)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._end()

    def check(self) -> None:
        """Check that the whole body arrived; whatever arrived was drained in any case.

        Raises:
            ReadError: The connection broke, or the body is shorter than announced.
            StallError: Less than 1 KiB arrived within the stall timeout.
        """
        if self._failure is not None:
            raise self._failure

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's, -1 always
        """Return the memory for the next bytes."""
        return self._buffer[self._size : self._size + self._missing]

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that arrived."""
        self._since_progress += nbytes
        if self._since_progress >= PROGRESS_BYTES:
            self._progress_at, self._since_progress = self._loop.time(), 0
        self._size += nbytes
        self._missing -= nbytes
        if not self._missing:
            self._end()
        elif self._size == BUFFER_BYTES:
            self._hand_over()
            self._next_buffer()

    def eof_received(self) -> None:
        """Let the connection close; `connection_lost` then reports a body that is too short."""

    def connection_lost(self, exc: Exception | None) -> None:
        """End the body if it has not ended; tell aiohttp, which counts its connections."""
        if self._open:
            self._fail(exc or aiohttp.ClientPayloadError("the body is not complete"))
        self._aiohttp_protocol.connection_lost(exc)

    def _hand_over(self) -> None:
        size, self._size = self._size, 0
        if size:
            self._filled.put(self._buffer[:size])
            self._on_bytes(size)

    def _next_buffer(self) -> None:
        # `_full` is set before `_free` is read. The thread returns a buffer before it reads
        # `_full`, so one of the two sides always sees the other.
        self._full = True
        if self._free:
            self._full = False
            self._buffer = self._free.popleft()
        else:
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._open and self._full and self._free:
            self._full = False
            self._buffer = self._free.popleft()
            self._progress_at = self._loop.time()
            self._transport.resume_reading()

    def _check_stall(self) -> None:
        """Fail if no bytes arrived lately; while all buffers are full, none can arrive."""
        now = self._loop.time()
        due = (now if self._full else self._progress_at) + self._stall_timeout
        if due <= now:
            self._fail(TrickleError() if self._since_progress else aiohttp.SocketTimeoutError())
        else:
            self._timer = self._loop.call_at(due, self._check_stall)

    def _fail(self, exc: BaseException) -> None:
        self._failure = self._failure_of(exc)
        self._end()

    def _end(self) -> None:
        """Give the thread what arrived, then let it end."""
        if self._open:
            self._open = False
            self._timer.cancel()
            self._transport.pause_reading()
            try:
                if not self._full:
                    self._hand_over()
            finally:
                self._filled.put(None)


def _read_ahead(content: aiohttp.StreamReader) -> list[bytes]:
    """Return what aiohttp has read of a body; reading makes it parse more of what it holds."""
    chunks = []
    while chunk := content.read_nowait(-1):
        chunks.append(chunk)
    return chunks
