"""Run tasks in groups, and raise their first failure itself.

Callers look for the type of an error. A cancellation from outside wins over a failure.
Blocking calls go to `threads`, one after the other to `serial_worker`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, TypeVarTuple

import anyio
import anyio.abc
import anyio.lowlevel

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Started(Generic[T]):
    """A task that a group has started.

    Attributes:
        result: What it returned. Set once the block of the group has ended without an error.
    """

    result: T


class TaskGroup:
    """Tasks that are cancelled when one fails. Made by `task_group`.

    Attributes:
        failures: What the tasks raised, in the order in which they failed.
        is_cut_off: Whether a task was cancelled.
    """

    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        """Start tasks in a group of anyio's."""
        self.failures: list[Exception] = []
        self.is_cut_off = False
        self._group = group

    def start_soon(self, func: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start a task."""
        self._group.start_soon(self._run, func, args)

    def start(self, func: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> Started[T]:
        """Start a task whose result is needed after the block."""
        started: Started[T] = Started()

        async def run() -> None:
            started.result = await func(*args)

        self.start_soon(run)
        return started

    def cancel(self) -> None:
        """Cancel the tasks and the block, which ends without an error."""
        self._group.cancel_scope.cancel()

    def fail(self, error: Exception) -> None:
        """Note a failure and cancel the tasks."""
        self.failures.append(error)
        self.cancel()

    async def _run(self, func: Callable[[*Ts], Awaitable[object]], args: tuple[*Ts]) -> None:
        try:
            await func(*args)
        except Exception as error:  # noqa: BLE001 - `task_group` raises it after the group's end
            self.fail(error)
        except anyio.get_cancelled_exc_class():
            self.is_cut_off = True
            raise


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """Run tasks while a block runs.

    Leaving the block waits for all of them.

    Raises:
        Exception: The first failure, of a task or of the block. The others are cancelled.
    """
    async with anyio.create_task_group() as anyio_group:
        group = TaskGroup(anyio_group)
        try:
            yield group
        except Exception as error:  # noqa: BLE001 - raised below
            group.fail(error)
    # Raised outside the group: inside, anyio would wrap it.
    if group.failures:
        raise group.failures[0]
    if group.is_cut_off:
        # The caller was cancelled with its tasks, which may have ended before it could notice.
        await anyio.lowlevel.checkpoint_if_cancelled()


async def run_all(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Run all calls at once; return the results in their order.

    Raises:
        Exception: The first failure. The other calls are cancelled.
    """
    results: dict[int, T] = {}

    async def run(index: int, call: Callable[[], Awaitable[T]]) -> None:
        results[index] = await call()

    async with task_group() as group:
        for index, call in enumerate(calls):
            group.start_soon(run, index, call)
    return [results[index] for index in range(len(calls))]


async def run_limited(limit: int, jobs: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Start jobs in their order, at most `limit` at once.

    Raises:
        Exception: The first failure. Running jobs are cancelled, the others are not started.
    """
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job()

    async with task_group() as group:
        for _ in range(limit):
            group.start_soon(work)


async def run_beside(background: Callable[[], Awaitable[object]], work: Awaitable[T]) -> T:
    """Await `work` while a background job runs; cancel the job afterwards.

    Raises:
        Exception: The first failure of the two.
    """
    results: list[T] = []
    async with task_group() as group:
        group.start_soon(background)
        results.append(await work)
        group.cancel()
    return results[0]
