"""Check that a watch of a day keeps up, asks for little, and needs no more memory over time.

The hours pass at once. The server is another process, so that only the watch's memory counts.
"""

from __future__ import annotations

import gc
import logging
import random
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest
from watching import QuickClock

import asynccvat as ac
from asynccvat.simulator import ServerProcess, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Soak")]

TASKS = 30
HOURS = 24
HOUR = 3600
WATCHING = ac.WatchOptions(every=HOUR / 4, full_every=4 * HOUR)
SETTLED_AFTER = 14 * HOUR
"""The status has all the rounds that it keeps by then."""

MOST_GROWTH = 50_000
"""Bytes in the hours after that: some 40 rounds."""


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with ServerProcess(SimulatorOptions(tasks=TASKS, frames=1, boxes_per_frame=1)) as running:
        yield running


async def test_a_watch_of_a_day_keeps_up_and_grows_no_more(
    server: ServerProcess, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "asynccvat")  # pytest keeps what is logged
    chance, clock = random.Random(1), QuickClock()
    quiet: list[int] = []
    async with ac.CvatClient(server.url, token=server.token) as client:
        options = ac.MirrorOptions(durable=False)
        watched = ac.watch(client, data, options=options, watching=WATCHING, clock=clock)
        assert (await anext(watched)).changed == TASKS
        begun = clock.seconds()
        before = None
        tracemalloc.start()
        try:
            while clock.seconds() - begun < HOURS * HOUR:
                edited = set(chance.sample(range(1, TASKS + 1), chance.random() < 0.2))
                for task_id in edited:
                    edit = partial(server.do, "edit_task", task_id=task_id)
                    await anyio.to_thread.run_sync(edit)
                done = await anext(watched)
                assert done.ok
                assert {change.task_id for change in done.changes} == edited
                if done.quiet and done.full_because is None:
                    quiet.append(done.requests)
                if before is None and clock.seconds() - begun > SETTLED_AFTER:
                    gc.collect()
                    before = tracemalloc.get_traced_memory()[0]
            gc.collect()
            assert before is not None
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert set(quiet) == {1}
    assert watched.status.rounds_total > 0.8 * HOURS * 4
    assert grown < MOST_GROWTH
