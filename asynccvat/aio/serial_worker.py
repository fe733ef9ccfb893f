"""Run blocking work in one thread, piece by piece, while the loop prepares the next piece.

Single blocking calls go to `threads`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVarTuple

import anyio

from asynccvat.aio.threads import shielded, start_in_thread

Ts = TypeVarTuple("Ts")


class SerialWorker:
    """Run pieces of blocking work in one thread, in order.

    The thread is not one of those that all of anyio's callers share. A piece may last as long as
    an archive, and short calls must not wait for it.

    Leaving the `async with` block waits for the running piece, even when cancelled.
    """

    def __init__(self) -> None:
        """Begin without work."""
        self._running: asyncio.Future[None] | None = None
        self._limiter = anyio.CapacityLimiter(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if exc is None:
            await self.join()
            return
        running, self._running = self._running, None
        if running is not None:
            # The block has failed already, so an error of the last piece adds nothing.
            await shielded(asyncio.gather(running, return_exceptions=True))

    async def submit(self, work: Callable[[*Ts], None], *args: *Ts) -> None:
        """Wait for the running piece, then start this one.

        Raises:
            Exception: The error of the piece before.
        """
        await self.join()
        self._running = start_in_thread(self._limiter, work, *args)

    async def wait(self) -> None:
        """Wait for the end of the running piece. Can be cancelled.

        `join` raises the piece's error.
        """
        if self._running is not None:
            await asyncio.wait([self._running])

    async def join(self) -> None:
        """Wait for the running piece, even when cancelled.

        Raises:
            Exception: Its error.
        """
        running, self._running = self._running, None
        if running is not None:
            await shielded(running)
