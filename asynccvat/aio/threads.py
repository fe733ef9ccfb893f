"""Blocking work in threads that a cancellation never leaves half watched, and groups of tasks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import ParamSpec, TypeVar

import anyio
import anyio.abc
import anyio.to_thread

from asynccvat.errors import AsyncCvatError

P = ParamSpec("P")
T = TypeVar("T")


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a thread and stay until it ends, whatever happens meanwhile.

    A cancellation, be it anyio's or asyncio's own, is raised after the call has ended: its effects
    are then either there or not, and nothing goes on behind the caller's back.
    """
    return await _in_thread(functools.partial(call, *args, **kwargs), None)


async def in_limited_thread(
    limiter: anyio.CapacityLimiter, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """As `in_thread`, with so many threads at once as a limiter allows."""
    return await _in_thread(functools.partial(call, *args, **kwargs), limiter)


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
    """Begin a blocking call in a thread; wait for what is returned with `shielded`."""
    return asyncio.ensure_future(_made(functools.partial(call, *args, **kwargs), limiter))


async def shielded(work: Awaitable[T]) -> T:
    """Await something to its end, and raise a cancellation that came meanwhile only then."""
    task = asyncio.ensure_future(work)
    return _result(task, await _end(task))


@asynccontextmanager
async def task_group() -> AsyncIterator[anyio.abc.TaskGroup]:
    """A task group whose first error is raised as it is: its kind is what callers look for."""
    try:
        async with anyio.create_task_group() as group:
            yield group
    except* AsyncCvatError as errors:
        problem: BaseException = errors
        while isinstance(problem, BaseExceptionGroup):
            problem = problem.exceptions[0]
        raise problem from None


async def _in_thread(call: Callable[[], T], limiter: anyio.CapacityLimiter | None) -> T:
    task = asyncio.ensure_future(_made(call, limiter))
    cancelled = await _end(task)
    while task.cancelled():
        # Before its first step, which is the one moment in which that ends it.
        task = asyncio.ensure_future(_made(call, limiter))
        cancelled = await _end(task) or cancelled
    return _result(task, cancelled)


async def _made(call: Callable[[], T], limiter: anyio.CapacityLimiter | None) -> T:
    """Have a call made in a thread, and stay until it has ended, even when cancelled.

    So this coroutine's own task is where all tasks of a loop are, as at the end of `asyncio.run`.
    A thread that went on then would use what is closed meanwhile; and what was to be closed in a
    thread would stay open.
    """
    while True:
        work: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            await anyio.to_thread.run_sync(_make, work, call, limiter=limiter)
            return work.result()
        except asyncio.CancelledError:
            if work.cancel():
                continue  # it had not begun
            ended = asyncio.wrap_future(work)
            await _end(ended)
            return ended.result()
        finally:
            # Its exception holds this very frame.
            del work


def _make(work: concurrent.futures.Future[T], call: Callable[[], T]) -> None:
    """Make a call, in its thread, unless it was called off before it began."""
    try:
        if work.set_running_or_notify_cancel():
            work.set_result(call())
    except BaseException as error:  # noqa: BLE001 - raised where the call is awaited
        work.set_exception(error)
    finally:
        del work


async def _end(task: asyncio.Future[T]) -> asyncio.CancelledError | None:
    """Wait until something has ended; returns the cancellation that came meanwhile, if one did."""
    cancelled: asyncio.CancelledError | None = None
    # The shield holds anyio's cancellations off; asyncio's own come once, and are kept.
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
            task.exception()  # looked at, so that asyncio does not complain of it
        raise cancelled
    return task.result()
