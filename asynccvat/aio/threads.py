"""Run blocking calls in threads, to their end even when cancelled.

Groups of tasks are in `task_groups`, work in one thread piece by piece in `serial_worker`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ParamSpec, TypeVar

import anyio
import anyio.to_thread

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a thread, to its end.

    A cancellation (anyio's or asyncio's own) is raised after the call has ended. Its effects are
    complete then, and no thread works on after the caller has gone on.
    """
    return await _in_thread(functools.partial(call, *args, **kwargs), None)


async def in_limited_thread(
    limiter: anyio.CapacityLimiter, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a blocking call as `in_thread` does, within a limiter."""
    return await _in_thread(functools.partial(call, *args, **kwargs), limiter)


@asynccontextmanager
async def entered_in_thread(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """Hold a context; enter and leave it in a thread.

    Each of the two runs to its end.
    """
    entered = False

    def enter() -> T:
        nonlocal entered
        value = manager.__enter__()
        entered = True
        return value

    try:
        yield await in_thread(enter)
    finally:
        # A cancellation may have come while the context was being entered.
        if entered:
            await in_thread(manager.__exit__, None, None, None)


def start_in_thread(
    limiter: anyio.CapacityLimiter, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> asyncio.Future[T]:
    """Start a blocking call in a thread.

    Await the returned future with `shielded`.
    """
    return asyncio.ensure_future(_call_to_end(functools.partial(call, *args, **kwargs), limiter))


async def shielded(work: Awaitable[T]) -> T:
    """Await something to its end, even when cancelled.

    A cancellation is raised after that.
    """
    task = asyncio.ensure_future(work)
    return _result(task, await wait_for_end(task))


async def _in_thread(call: Callable[[], T], limiter: anyio.CapacityLimiter | None) -> T:
    task = asyncio.ensure_future(_call_to_end(call, limiter))
    cancelled = await wait_for_end(task)
    while task.cancelled():
        # Only a task that has not made its first step ends so, and the call must still be made.
        task = asyncio.ensure_future(_call_to_end(call, limiter))
        cancelled = await wait_for_end(task) or cancelled
    return _result(task, cancelled)


async def _call_to_end(call: Callable[[], T], limiter: anyio.CapacityLimiter | None) -> T:
    """Make a call in a thread, to its end even when cancelled.

    `asyncio.run` cancels all tasks of its loop at the end, this one included. A thread that went
    on then would use what has been closed, and a call that closes something would not be made.
    """
    while True:
        work: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            await anyio.to_thread.run_sync(_run_unless_cancelled, work, call, limiter=limiter)
            return work.result()
        except asyncio.CancelledError:
            if work.cancel():
                continue  # the call had not started
            ended = asyncio.wrap_future(work)
            await wait_for_end(ended)
            return ended.result()
        finally:
            # The exception of the future holds this frame: without this they would be a cycle.
            del work


def _run_unless_cancelled(work: concurrent.futures.Future[T], call: Callable[[], T]) -> None:
    """Make a call in its thread, unless its future was cancelled."""
    try:
        if work.set_running_or_notify_cancel():
            work.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised where the call is awaited
        work.set_exception(error)
    finally:
        del work


async def wait_for_end(task: asyncio.Future[T]) -> asyncio.CancelledError | None:
    """Wait until something has ended, even when cancelled.

    Returns:
        The cancellation that came before that, for the caller to raise; None if none came.
    """
    cancelled: asyncio.CancelledError | None = None
    # The shield holds anyio's cancellations off. asyncio's own come once each, and are kept.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


def _result(task: asyncio.Future[T], cancelled: asyncio.CancelledError | None) -> T:
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it as never retrieved
        raise cancelled
    return task.result()
