"""A long body, from its connection into a few buffers that one worker thread empties.

aiohttp's way costs two copies, several objects and a turn of the event loop for each piece that
the socket gives. Here the connection is taken from it once the headers are read: the kernel (or
the cipher, with TLS) writes into buffers that go round between the loop and one thread, which
wait for each other only where one of them is slower. What the bytes mean is left to that thread;
what a failure means, to `failures`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from types import TracebackType
from typing import Self

import aiohttp

from asynccvat.errors import AsyncCvatError
from asynccvat.http.failures import TrickleError
from asynccvat.http.stall import SIGN_OF_LIFE

BUFFER_BYTES = 512 * 1024
"""Large enough that a handover costs nothing, and within a processor's cache."""

BUFFERS = 3
"""One being filled, one being emptied, and one so that neither waits for the other's last byte."""

WORTHWHILE = 4 * 1024 * 1024
"""Bytes from which it pays: the connection is lost for further requests. It has to be more than
aiohttp can have read of a body before anybody asks."""

Consumer = Callable[[Iterable[memoryview]], None]


class BodyReceiver(asyncio.BufferedProtocol):
    """The rest of a body. `drain` runs in a thread, everything else in the loop's.

    Used as a context manager: leaving it ends the body, and `drain` with it, wherever it is.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        length: int,
        *,
        failure_of: Callable[[BaseException], AsyncCvatError],
        stall_timeout: float,
        on_bytes: Callable[[int], None],
    ) -> None:
        """Take the connection over from aiohttp; use `ResultStream.body_receiver` instead.

        Args:
            response: The answer, which has to be closed afterwards; its connection is not used
                again.
            length: Bytes of its body, `WORTHWHILE` at least.
            failure_of: Says what an exception of the connection means.
            stall_timeout: Seconds without a KiB after which the body has failed.
            on_bytes: Told how many bytes came, with each buffer.
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
        self._heard_at = self._loop.time()
        self._unheard = 0
        self._timer = self._loop.call_later(stall_timeout, self._look)
        # So long a body is not over when aiohttp has handed out all that it holds.
        connection = response.connection
        assert connection is not None
        assert connection.transport is not None
        assert connection.protocol is not None
        self._transport = connection.transport
        self._former = connection.protocol
        self._arrived = _arrived(response)
        self._missing = length - sum(map(len, self._arrived))
        self._former.pause_reading()  # and its timeout with that
        self._transport.set_protocol(self)
        self._transport.resume_reading()

    # The worker thread's side

    def drain(self, consume: Consumer) -> None:
        """Hand the body to `consume`, piece by piece; return when both are through with it.

        A piece is valid until the next one is asked for.
        """
        consume(self._pieces())

    def _pieces(self) -> Iterator[memoryview]:
        for chunk in self._arrived:
            yield memoryview(chunk)
        self._arrived.clear()
        while (piece := self._filled.get()) is not None:
            yield piece
            self._free.append(memoryview(piece.obj))
            if self._full:
                self._loop.call_soon_threadsafe(self._resume)

    # The loop's side

    def __enter__(self) -> Self:
        self._on_bytes(sum(map(len, self._arrived)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._end()

    def check(self) -> None:
        """Make sure that the body came whole; whatever came was drained in any case.

        Raises:
            ReadError: The connection broke, or the body is shorter than promised.
            StallError: Nothing, or next to nothing, came for longer than the stall timeout.
        """
        if self._failure is not None:
            raise self._failure

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's, -1 always
        """Where the next bytes belong."""
        return self._buffer[self._size : self._size + self._missing]

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes that came."""
        self._unheard += nbytes
        if self._unheard >= SIGN_OF_LIFE:
            self._heard_at, self._unheard = self._loop.time(), 0
        self._size += nbytes
        self._missing -= nbytes
        if not self._missing:
            self._end()
        elif self._size == BUFFER_BYTES:
            self._hand_over()
            self._next_buffer()

    def eof_received(self) -> None:
        """Let the connection close: without the last bytes that is a failure."""

    def connection_lost(self, exc: Exception | None) -> None:
        """End the body, if it has not ended; tell aiohttp, which counts its connections."""
        if self._open:
            self._fail(exc or aiohttp.ClientPayloadError("the body is not complete"))
        self._former.connection_lost(exc)

    def _hand_over(self) -> None:
        size, self._size = self._size, 0
        if size:
            self._filled.put(self._buffer[:size])
            self._on_bytes(size)

    def _next_buffer(self) -> None:
        # In this order the thread, which gives back first and looks then, cannot miss it.
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
            self._heard_at = self._loop.time()
            self._transport.resume_reading()

    def _look(self) -> None:
        """Look whether bytes have come lately; while all buffers are full, none can."""
        now = self._loop.time()
        due = (now if self._full else self._heard_at) + self._stall_timeout
        if due <= now:
            self._fail(TrickleError() if self._unheard else aiohttp.SocketTimeoutError())
        else:
            self._timer = self._loop.call_at(due, self._look)

    def _fail(self, exc: BaseException) -> None:
        self._failure = self._failure_of(exc)
        self._end()

    def _end(self) -> None:
        """Let the thread have what came, and nothing more."""
        if self._open:
            self._open = False
            self._timer.cancel()
            self._transport.pause_reading()
            try:
                if not self._full:
                    self._hand_over()
            finally:
                self._filled.put(None)


def _arrived(response: aiohttp.ClientResponse) -> list[bytes]:
    """What aiohttp has read of a body already; taking it out makes it parse more of that."""
    arrived = []
    while chunk := response.content.read_nowait(-1):
        arrived.append(chunk)
    return arrived
