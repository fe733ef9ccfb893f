"""Work for worker threads, in order: one piece is worked on while the next one gathers.

What the pieces are is left to `reading`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def in_thread(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run `work` in a worker thread and wait for it, even when cancelled meanwhile.

    A cancellation is raised once the thread has ended, so that nothing goes on behind the
    caller's back.
    """
    return await _settle(_start(work, *args))


async def together(limit: int, jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
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


class Lane:
    """Pieces of work for a worker thread, one at a time and in order.

    Leaving the `async with` block waits for the piece under way, even when cancelled.
    """

    def __init__(self) -> None:
        """Begin without work."""
        self._running: asyncio.Future[None] | None = None

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
            await _settle(asyncio.gather(running, return_exceptions=True))

    async def submit(self, work: Callable[[*Ts], None], *args: *Ts) -> None:
        """Wait for the piece under way, then start this one.

        Raises:
            Exception: Whatever the piece before raised.
        """
        await self.settle()
        self._running = _start(work, *args)

    async def settle(self) -> None:
        """Wait for the piece under way.

        Raises:
            Exception: Whatever it raised.
        """
        running, self._running = self._running, None
        if running is not None:
            await _settle(running)


def _start(work: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
    return asyncio.ensure_future(anyio.to_thread.run_sync(work, *args))


async def _settle(running: asyncio.Future[T]) -> T:
    """Wait for a future to end; a cancellation meanwhile is raised then, and not passed on."""
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        running.exception()  # seen: the cancellation is what the caller hears of
        raise cancelled
    return running.result()
