"""Threads that read files, report what they read, and end soon after a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

import anyio

from asynccvat.aio.threads import shielded, start_in_thread

P = ParamSpec("P")
T = TypeVar("T")


class _StoppedError(Exception):
    """The verification was cancelled while a thread was reading."""


class ReadingThreads:
    """Run blocking calls that read files."""

    def __init__(self, threads: int, on_read: Callable[[int, int], None]) -> None:
        """Begin without a thread.

        Args:
            threads: How many calls run at once.
            on_read: Called in the event loop with the files and bytes read since the last call.
        """
        self._limiter = anyio.CapacityLimiter(threads)
        self._loop = asyncio.get_running_loop()
        self._on_read = on_read
        self._stopped = False

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call in one of the threads; a cancellation ends it soon."""
        work = start_in_thread(self._limiter, call, *args, **kwargs)
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            self._stopped = True
            # The result, or the error, has no receiver any more.
            with suppress(Exception):
                await shielded(work)
            raise
        return work.result()

    def tell(self, files: int, read: int) -> None:
        """Report progress from a thread; raise if the verification was cancelled."""
        if self._stopped:
            raise _StoppedError
        if files or read:
            self._loop.call_soon_threadsafe(self._on_read, files, read)
