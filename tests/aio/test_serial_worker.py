"""Work in threads: in order, one piece at a time, and never left behind by a cancellation."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from asynccvat.aio.serial_worker import SerialWorker, run_limited
from asynccvat.aio.threads import in_thread

pytestmark = pytest.mark.anyio


class Held:
    """Work that begins, and ends when it is let go."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.begun = asyncio.Event()
        self.ended = False
        self._loop = loop
        self._go = threading.Event()

    def work(self) -> None:
        self._loop.call_soon_threadsafe(self.begun.set)
        assert self._go.wait(10)
        self.ended = True

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
async def held() -> Held:
    return Held(asyncio.get_running_loop())


async def test_pieces_are_worked_on_in_their_order() -> None:
    done: list[int] = []

    async with SerialWorker() as lane:
        for number in range(50):
            await lane.submit(done.append, number)

    assert done == list(range(50))


async def test_a_piece_is_worked_on_while_the_next_one_gathers(held: Held) -> None:
    async with SerialWorker() as lane:
        await lane.submit(held.work)
        await held.begun.wait()
        assert not held.ended
        held.let_go()
    assert held.ended


def fail(message: str) -> None:
    raise ValueError(message)


async def test_a_failed_piece_fails_the_next_submission() -> None:
    done: list[int] = []
    async with SerialWorker() as lane:
        await lane.submit(fail, "broken")
        with pytest.raises(ValueError, match="broken"):
            await lane.submit(done.append, 1)
    assert done == []


async def test_a_failed_last_piece_fails_the_block() -> None:
    with pytest.raises(ValueError, match="broken"):
        async with SerialWorker() as lane:
            await lane.submit(fail, "broken")


async def test_the_blocks_own_failure_wins() -> None:
    async def block() -> None:
        async with SerialWorker() as lane:
            await lane.submit(fail, "broken")
            raise KeyError

    with pytest.raises(KeyError):
        await block()


async def test_a_failed_block_waits_for_its_piece(held: Held) -> None:
    async def block() -> None:
        async with SerialWorker() as lane:
            await lane.submit(held.work)
            await held.begun.wait()
            raise KeyError

    task = asyncio.create_task(block())
    await held.begun.wait()
    assert not task.done()
    held.let_go()
    with pytest.raises(KeyError):
        await task
    assert held.ended


async def test_asyncio_cancels_only_once_the_thread_has_ended(held: Held) -> None:
    task = asyncio.create_task(in_thread(held.work))
    await held.begun.wait()
    for _ in range(3):
        task.cancel()
        await anyio.lowlevel.checkpoint()
    assert not task.done()
    held.let_go()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held.ended


async def test_anyio_cancels_only_once_the_thread_has_ended(held: Held) -> None:
    ended_inside: list[bool] = []

    async def run() -> None:
        try:
            await in_thread(held.work)
            await anyio.lowlevel.checkpoint()
        finally:
            ended_inside.append(held.ended)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await held.begun.wait()
        group.cancel_scope.cancel()
        held.let_go()

    assert ended_inside == [True]


async def test_the_result_of_a_thread_comes_back() -> None:
    assert await in_thread(sum, [1, 2, 3]) == 6


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


async def test_the_first_failure_comes_out_bare_and_cancels_the_others() -> None:
    cancelled = []

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    async def fail_at_once() -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await run_limited(3, [wait, fail_at_once, wait])

    assert cancelled


async def test_the_end_of_a_piece_can_be_waited_for_without_its_failure() -> None:
    def fail() -> None:
        raise OverflowError("mine")

    with pytest.raises(OverflowError, match="mine"):  # noqa: PT012 - the block is what fails
        async with SerialWorker() as lane:
            await lane.ended()
            await lane.submit(fail)
            await lane.ended()
            await lane.settle()


async def test_waiting_for_the_end_of_a_piece_can_be_cancelled(held: Held) -> None:
    async with SerialWorker() as lane:
        await lane.submit(held.work)
        with anyio.move_on_after(0):
            await lane.ended()
        assert not held.ended
        held.let_go()
    assert held.ended
