"""Work in one thread: in order, one piece at a time, and to its end even when cancelled."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from asynccvat.aio.serial_worker import SerialWorker

pytestmark = pytest.mark.anyio


class Held:
    """Work that runs until it is let go."""

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

    async with SerialWorker() as worker:
        for number in range(50):
            await worker.submit(done.append, number)

    assert done == list(range(50))


async def test_a_piece_is_worked_on_while_the_next_one_is_prepared(held: Held) -> None:
    async with SerialWorker() as worker:
        await worker.submit(held.work)
        await held.begun.wait()
        assert not held.ended
        held.let_go()
    assert held.ended


def fail(message: str) -> None:
    raise ValueError(message)


async def test_a_failed_piece_fails_the_next_submission() -> None:
    done: list[int] = []
    async with SerialWorker() as worker:
        await worker.submit(fail, "broken")
        with pytest.raises(ValueError, match="broken"):
            await worker.submit(done.append, 1)
    assert done == []


async def test_a_failed_last_piece_fails_the_block() -> None:
    with pytest.raises(ValueError, match="broken"):
        async with SerialWorker() as worker:
            await worker.submit(fail, "broken")


async def test_the_blocks_own_failure_wins() -> None:
    async def block() -> None:
        async with SerialWorker() as worker:
            await worker.submit(fail, "broken")
            raise KeyError

    with pytest.raises(KeyError):
        await block()


async def test_a_failed_block_waits_for_its_piece(held: Held) -> None:
    async def block() -> None:
        async with SerialWorker() as worker:
            await worker.submit(held.work)
            await held.begun.wait()
            raise KeyError

    task = asyncio.create_task(block())
    await held.begun.wait()
    assert not task.done()
    held.let_go()
    with pytest.raises(KeyError):
        await task
    assert held.ended


async def test_the_end_of_a_piece_can_be_waited_for_without_its_failure() -> None:
    def fail() -> None:
        raise OverflowError("mine")

    with pytest.raises(OverflowError, match="mine"):  # noqa: PT012 - the block is what fails
        async with SerialWorker() as worker:
            await worker.wait()
            await worker.submit(fail)
            await worker.wait()
            await worker.join()


async def test_waiting_for_the_end_of_a_piece_can_be_cancelled(held: Held) -> None:
    async with SerialWorker() as worker:
        await worker.submit(held.work)
        with anyio.move_on_after(0):
            await worker.wait()
        assert not held.ended
        held.let_go()
    assert held.ended
