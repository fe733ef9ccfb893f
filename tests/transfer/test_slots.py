"""Check slots for exports in flight: first come, first served, and none is lost."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest
from engine_serving import serving

from asynccvat.client.poller import Poller
from asynccvat.transfer.slots import RequestSlots

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(5):
        await anyio.lowlevel.checkpoint()


async def test_the_longest_waiter_gets_the_next_slot() -> None:
    async with serving(0, projects=0) as serve:
        slots = RequestSlots(Poller(serve.client, timeout=1.0), 2)
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
    async with serving(0, projects=0) as serve:
        slots = RequestSlots(Poller(serve.client, timeout=1.0), 1)
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
    async with serving(0, projects=0) as serve:
        slots = RequestSlots(Poller(serve.client, timeout=1.0), 1)
        await slots.acquire()
        waiting = asyncio.create_task(slots.acquire())
        await settle()
        slots.release()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with anyio.fail_after(1):
            await slots.acquire()
