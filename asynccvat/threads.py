"""Blocking work in threads that a cancellation never leaves half watched."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a thread and stay until it ends, whatever happens meanwhile.

    A cancellation, be it anyio's or asyncio's own, is raised after the call has ended: its effects
    are then either there or not, and nothing goes on behind the caller's back.
    """
    return await uninterrupted(anyio.to_thread.run_sync(functools.partial(call, *args, **kwargs)))


async def in_limited_thread(
    limiter: anyio.CapacityLimiter, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """As `in_thread`, with so many threads at once as a limiter allows."""
    work = functools.partial(call, *args, **kwargs)
    return await uninterrupted(anyio.to_thread.run_sync(work, limiter=limiter))


@asynccontextmanager
async def in_threads(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Hold a context whose entering and leaving block, each in a thread and each to its end."""
    entered = False

    def enter() -> T:
        nonlocal entered
        value = manager.__enter__()
        entered = True
        return value

    try:
        yield await in_thread(enter)
    finally:
        # Also where a cancellation came while it was being entered.
        if entered:
            await in_thread(manager.__exit__, None, None, None)


def begun(
    limiter: anyio.CapacityLimiter, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> asyncio.Future[T]:
    """Begin a blocking call in a thread; wait for what is returned with `uninterrupted`."""
    work = functools.partial(call, *args, **kwargs)
    return asyncio.ensure_future(anyio.to_thread.run_sync(work, limiter=limiter))


async def uninterrupted(work: Awaitable[T]) -> T:
    """Await something to its end, and raise a cancellation that came meanwhile only then."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    # The shield holds anyio's cancellations off; asyncio's own come once, and are kept.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain of it
        raise cancelled
    return task.result()
