"""Slots go to the longest waiter, also where their number changes, and none is lost."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

from asynccvat.aio.slots import Slots

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


async def test_the_longest_waiter_gets_the_next_slot() -> None:
    slots = Slots(lambda _waiting: 2)
    began: list[int] = []

    async def export(number: int) -> None:
        await slots.acquire()
        began.append(number)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(export, number)
            await settle()
        assert began == [0, 1]
        for expected in ([0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
            slots.release()
            await settle()
            assert began == expected


async def test_a_cancelled_waiter_takes_no_slot() -> None:
    slots = Slots(lambda _waiting: 1)
    await slots.acquire()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(slots.acquire)
            await settle()
            scope.cancel()
    slots.release()
    with anyio.fail_after(1):
        await slots.acquire()


async def test_a_waiter_cancelled_with_its_slot_hands_it_on() -> None:
    slots = Slots(lambda _waiting: 1)
    await slots.acquire()
    waiting = asyncio.create_task(slots.acquire())
    await settle()
    slots.release()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with anyio.fail_after(1):
        await slots.acquire()


async def test_more_slots_are_handed_out_once_one_is_given_back() -> None:
    limit = 1
    slots = Slots(lambda _waiting: limit)
    began: list[int] = []

    async def work(number: int) -> None:
        await slots.acquire()
        began.append(number)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(work, number)
            await settle()
        assert began == [0]
        limit = 3
        slots.release()
        await settle()
        assert began == [0, 1, 2, 3]
        limit = 1
        for _ in range(3):
            slots.release()
        await settle()
        assert began == [0, 1, 2, 3, 4]


async def test_those_that_wait_can_raise_the_limit_themselves() -> None:
    slots = Slots(lambda waiting: 1 + waiting // 3)
    began: list[int] = []

    async def work(number: int) -> None:
        async with slots:
            began.append(number)
            await done.wait()

    done = anyio.Event()
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(work, number)
            await settle()
        assert began == [0]
        group.start_soon(work, 3)
        await settle()
        assert began == [0, 1]
        done.set()
    assert began == [0, 1, 2, 3]
