"""Run a blocking call on many items in chunks, in several threads if the disk is slow."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from asynccvat.aio.task_groups import task_group

T = TypeVar("T")
Item = TypeVar("Item")

CHUNK = 512
# A call that takes this many times its processor time has waited for the disk.
_DISK_WAITS = 4


async def in_chunks(
    in_thread: Callable[[Callable[[], tuple[T, bool]]], Awaitable[tuple[T, bool]]],
    call: Callable[[Sequence[Item]], T],
    items: Sequence[Item],
    *,
    threads: int,
) -> list[T]:
    """Make a call for each chunk of many items.

    While the files are in the system's cache, one thread makes the calls. More threads would wait
    for each other: the interpreter runs one at a time, and a switch at each system call costs more
    than the call. After a call has waited for the disk, there are several threads.

    Args:
        in_thread: Runs a call in a thread.
        call: The call for a chunk.
        items: All items.
        threads: How many calls run at once, at most.

    Returns:
        The results of the calls, in the order in which they ended.

    Raises:
        StoreError: The first error that a call raised.
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
