"""Work for worker threads, in order: one piece is worked on while the next one gathers.

What the pieces are is left to `reading`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self, TypeVarTuple

import anyio

from asynccvat.aio.threads import begun, shielded

Ts = TypeVarTuple("Ts")


async def run_limited(limit: int, jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Run jobs in their order, at most `limit` at once; the first failure cancels the others.

    Raises:
        Exception: Whatever failed first, itself and not in a group.
    """
    waiting = iter(jobs)
    failures: list[Exception] = []

    async def work() -> None:
        try:
            for job in waiting:
                await job()
        except Exception as error:  # noqa: BLE001 - raised below, once the others have ended
            failures.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for _ in range(limit):
            group.start_soon(work)
    if failures:
        raise failures[0]


class SerialWorker:
    """Pieces of work for a worker thread, one at a time and in order.

    They take no place among the threads that everybody shares: a piece may last as long as an
    archive, and short work must not wait for it.

    Leaving the `async with` block waits for the piece under way, even when cancelled.
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
            await self.settle()
            return
        running, self._running = self._running, None
        if running is not None:
            # The block has failed already; that the last piece did, too, adds nothing.
            await shielded(asyncio.gather(running, return_exceptions=True))

    async def submit(self, work: Callable[[*Ts], None], *args: *Ts) -> None:
        """Wait for the piece under way, then start this one.

        Raises:
            Exception: Whatever the piece before raised.
        """
        await self.settle()
        self._running = begun(self._limiter, work, *args)

    async def ended(self) -> None:
        """Wait until the piece under way has ended, however: `settle` tells. Can be cancelled."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def settle(self) -> None:
        """Wait for the piece under way.

        Raises:
            Exception: Whatever it raised.
        """
        running, self._running = self._running, None
        if running is not None:
            await shielded(running)
