"""A blocking look at many things: some at a time, and in several threads if the disk waits."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from asynccvat.aio.task_groups import task_group

T = TypeVar("T")
Item = TypeVar("Item")

CHUNK = 512
# How many times longer than its processor time a look at files takes where it waits for the disk.
_DISK_WAITS = 4


async def in_chunks(
    in_thread: Callable[[Callable[[], tuple[T, bool]]], Awaitable[tuple[T, bool]]],
    call: Callable[[Sequence[Item]], T],
    items: Sequence[Item],
    *,
    threads: int,
) -> list[T]:
    """Make a call for each chunk of many things.

    Where all is in memory, threads would only wait for each other: the interpreter runs one at a
    time, and handing over at each look at a file costs more than the look itself. So it is one
    thread until a call has waited.

    Args:
        in_thread: Makes a call in a thread.
        call: What is to be done with a chunk.
        items: All of the things.
        threads: How many calls are made at once, at most.

    Returns:
        What the calls returned, in the order in which they ended.

    Raises:
        StoreError: The first that a call raised.
    """
    results: list[T] = []
    at_once = anyio.CapacityLimiter(1)

    async def run(chunk: Sequence[Item]) -> None:
        def timed() -> tuple[T, bool]:
            began, busy = time.perf_counter(), time.thread_time()
            result = call(chunk)
            busy = time.thread_time() - busy
            return result, time.perf_counter() - began > _DISK_WAITS * busy

        async with at_once:
            result, waited = await in_thread(timed)
        results.append(result)
        if waited:
            at_once.total_tokens = threads

    async with task_group() as group:
        for start in range(0, len(items), CHUNK):
            group.start_soon(run, items[start : start + CHUNK])
    return results
