"""Task groups: the first failure comes out itself, a cancellation from outside wins over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from asynccvat.aio.task_groups import run_all, run_beside, run_limited, task_group

pytestmark = pytest.mark.anyio


class Sleeper:
    """A job that sleeps until it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = 0

    async def sleep(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled += 1


async def fail(message: str = "first") -> None:
    await anyio.lowlevel.checkpoint()
    raise ValueError(message)


async def in_group(sleeper: Sleeper) -> None:
    async with task_group() as group:
        group.start_soon(sleeper.sleep)
        group.start_soon(fail)
        group.start_soon(fail, "second")


async def in_block(sleeper: Sleeper) -> None:
    async with task_group() as group:
        group.start_soon(sleeper.sleep)
        await anyio.lowlevel.checkpoint()
        await fail()


async def all_at_once(sleeper: Sleeper) -> None:
    await run_all([sleeper.sleep, fail, fail])


async def limited(sleeper: Sleeper) -> None:
    await run_limited(3, [sleeper.sleep, fail, fail])


async def in_background(sleeper: Sleeper) -> None:
    await run_beside(fail, sleeper.sleep())


async def in_foreground(sleeper: Sleeper) -> None:
    await run_beside(sleeper.sleep, fail())


Run = Callable[[Sleeper], Awaitable[None]]
ALL: list[Run] = [in_group, in_block, all_at_once, limited, in_background, in_foreground]


@pytest.mark.parametrize("run", ALL)
async def test_the_first_failure_comes_out_itself_and_cancels_the_others(run: Run) -> None:
    sleeper = Sleeper()
    with pytest.raises(ValueError, match="first"):
        await run(sleeper)
    assert sleeper.cancelled == 1


@pytest.mark.parametrize("native", [True, False])
async def test_a_cancellation_wins_over_a_failure_during_it(native: bool) -> None:
    ended = asyncio.Event()
    raised = False

    async def fail_at_the_end() -> None:
        nonlocal raised
        try:
            await anyio.sleep_forever()
        finally:
            raised = True
            raise ValueError

    async def run() -> None:
        try:
            await run_all([fail_at_the_end])
        finally:
            ended.set()

    with anyio.CancelScope() as scope:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        if native:
            work = loop.create_task(run())
            loop.call_later(0, work.cancel)
            with pytest.raises(asyncio.CancelledError):
                await work
        else:
            loop.call_later(0, scope.cancel)
            await run()
    assert ended.is_set()
    assert raised
    assert native != scope.cancelled_caught


async def test_a_cancelled_group_ends_its_block_without_an_error() -> None:
    sleeper = Sleeper()
    async with task_group() as group:
        group.start_soon(sleeper.sleep)
        await anyio.lowlevel.checkpoint()
        group.cancel()
    assert sleeper.cancelled == 1


async def test_results_come_in_the_order_of_the_calls() -> None:
    second = asyncio.Event()

    async def slow() -> int:
        await second.wait()
        return 1

    async def quick() -> int:
        second.set()
        return 2

    assert await run_all([slow, quick]) == [1, 2]
    assert await run_all([]) == []


async def test_the_result_of_a_started_task_is_there_after_the_block() -> None:
    async def double(number: int) -> int:
        await anyio.lowlevel.checkpoint()
        return 2 * number

    async with task_group() as group:
        one, other = group.start(double, 4), group.start(double, 5)
    assert (one.result, other.result) == (8, 10)


async def test_no_more_jobs_run_at_once_than_allowed() -> None:
    running = most = done = 0

    async def job() -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        done += 1

    await run_limited(3, [job] * 10)

    assert (most, done) == (3, 10)


async def test_jobs_after_a_failure_are_not_started() -> None:
    started = []

    async def job() -> None:
        started.append(True)

    with pytest.raises(ValueError, match="first"):
        await run_limited(1, [fail, job, job])
    assert not started


async def test_a_background_job_ends_with_the_work_beside_it() -> None:
    sleeper = Sleeper()

    async def work() -> str:
        await anyio.lowlevel.checkpoint()
        return "done"

    assert await run_beside(sleeper.sleep, work()) == "done"
    assert sleeper.cancelled == 1


async def test_a_caller_whose_tasks_were_cancelled_with_it_goes_on_with_nothing() -> None:
    went_on = False
    with anyio.CancelScope() as cancelled:
        async with task_group() as group:
            group.start(anyio.sleep_forever)
            await anyio.lowlevel.checkpoint()
            cancelled.cancel()
            with anyio.CancelScope(shield=True):
                # The task ends here, before the caller notices.
                await anyio.wait_all_tasks_blocked()
        went_on = True
    assert not went_on
