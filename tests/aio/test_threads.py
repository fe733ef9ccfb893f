"""Blocking calls in threads: a cancellation goes on only after the call has ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asynccvat.aio.threads import in_limited_thread, in_thread, start_in_thread

pytestmark = pytest.mark.anyio


class Work:
    """A call that lasts until it may end."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.ended = False

    def __call__(self) -> str:
        self.began.set()
        assert self.may_end.wait(30)
        self.ended = True
        return "done"


def cancel_one(task: asyncio.Task[str], _: set[asyncio.Task[object]]) -> None:
    task.cancel()


def cancel_all(_: asyncio.Task[str], before: set[asyncio.Task[object]]) -> None:
    """As `asyncio.run` does when its coroutine has ended and others have not."""
    for task in asyncio.all_tasks() - before:
        task.cancel()


Cancel = Callable[[asyncio.Task[str], set[asyncio.Task[object]]], None]


@pytest.mark.parametrize("cancel", [cancel_one, cancel_all])
async def test_a_cancellation_waits_for_the_call_under_way(cancel: Cancel) -> None:
    work, before = Work(), asyncio.all_tasks()
    task = asyncio.create_task(in_thread(work))
    assert await anyio.to_thread.run_sync(work.began.wait, 30)
    for _ in range(3):
        cancel(task, before)
        await asyncio.sleep(0)
    assert not task.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("cancel", [cancel_one, cancel_all])
async def test_a_call_is_made_even_if_it_is_cancelled_before_its_start(
    cancel: Cancel, turns: int
) -> None:
    """The call may be one that closes something."""
    work, before = Work(), asyncio.all_tasks()
    work.may_end.set()
    limiter = anyio.CapacityLimiter(1)
    async with limiter:
        task = asyncio.create_task(in_limited_thread(limiter, work))
        await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        cancel(task, before)
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended


async def test_a_started_call_ends_even_if_its_own_task_is_cancelled() -> None:
    work = Work()
    future = start_in_thread(anyio.CapacityLimiter(1), work)
    assert await anyio.to_thread.run_sync(work.began.wait, 30)
    future.cancel()
    work.may_end.set()
    assert await future == "done"


async def test_what_a_call_raises_is_raised() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await in_thread(broken)


async def test_a_cancellation_of_anyio_waits_for_the_call_under_way() -> None:
    work = Work()
    ended_inside: list[bool] = []

    async def run() -> None:
        try:
            await in_thread(work)
            await anyio.lowlevel.checkpoint()
        finally:
            ended_inside.append(work.ended)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        assert await anyio.to_thread.run_sync(work.began.wait, 30)
        group.cancel_scope.cancel()
        work.may_end.set()

    assert ended_inside == [True]


async def test_what_a_call_returns_is_returned() -> None:
    assert await in_thread(sum, [1, 2, 3]) == 6
