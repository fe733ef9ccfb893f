"""A watch of a day, whose hours pass at once, and how soon a webhook brings a change."""

from __future__ import annotations

import asyncio
import gc
import random
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import asynccvat as ac
from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.results import Curve, Goal, Result, at_most
from benchmarks.setting import Setting

_HOURS, _HOUR = 24, 3600
_EDITED_AT_ONCE = (0, 0, 0, 1, 2)
_DELIVERIES = 20
_SECRET = "benchmark"


class _QuickClock:
    """A clock that goes on only where a watch waits; then at once."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def seconds(self) -> float:
        return self._seconds

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        if not event.is_set():
            self._seconds += seconds


@dataclass(slots=True)
class _Day:
    """What was seen in a day."""

    quiet_requests: list[int] = field(default_factory=list)
    quiet_seconds: list[float] = field(default_factory=list)
    edited: int = 0
    late: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)


def watching(setting: Setting) -> Result:
    """A watch of many tasks for a day, and a webhook for each of a few changes."""
    tasks, work = setting.sizes.watched_tasks, setting.folder("watching")
    with ServerProcess(SimulatorOptions(tasks=tasks, frames=1, boxes_per_frame=1)) as server:
        day = asyncio.run(_watch_a_day(server, work / "day", tasks))
        delays = asyncio.run(_watch_webhooks(server, work / "webhooks"))
    shutil.rmtree(work)
    return Result(
        name="watching",
        title="A watch",
        scale=f"{tasks:,} tasks for 24 hours that pass at once, a round every 5 minutes, "
        f"{day.edited} edits; then {_DELIVERIES} changes that webhooks tell of, durable",
        goals=[
            at_most("requests of a quiet round", max(day.quiet_requests), 2),
            at_most("changes that the next round did not fetch", day.late, 0),
            _growth(day),
            at_most("from a change to the folder on disk, by webhook", max(delays), 2, " s"),
        ],
        notes=[
            f"{len(day.quiet_requests)} quiet rounds took {_milliseconds(day)} ms in the median.",
            f"The median of the webhooks: {statistics.median(delays):.2f} s.",
        ],
        curves=[
            Curve(
                "watching-held",
                "what a watch holds by hours",
                "hours",
                {"resident memory, MiB": day.memory},
                y_label="MiB",
            )
        ],
    )


def _milliseconds(day: _Day) -> int:
    return round(1000 * statistics.median(day.quiet_seconds))


def _growth(day: _Day) -> Goal:
    """The first hours fill what a status keeps."""
    hours = dict(day.memory)
    first, last = hours[4.0], hours[float(_HOURS)]
    return at_most(
        "memory after 24 hours / after 4",
        last / first,
        1.05,
        note=f"{last:.0f} and {first:.0f} MiB",
    )


async def _watch_a_day(server: ServerProcess, dest: Path, tasks: int) -> _Day:
    import psutil  # noqa: PLC0415 - an extra, and only this case needs it

    day, chance, clock = _Day(), random.Random(1), _QuickClock()
    process = psutil.Process()
    async with ac.CvatClient(server.url, token=server.token) as client:
        watch = ac.watch(client, dest, options=ac.MirrorOptions(durable=False), clock=clock)
        await anext(watch)
        begun, hour = clock.seconds(), 0
        while hour < _HOURS:
            edited = set(chance.sample(range(1, tasks + 1), chance.choice(_EDITED_AT_ONCE)))
            for task_id in edited:
                await asyncio.to_thread(partial(server.do, "edit_task", task_id=task_id))
            before = time.perf_counter()
            done = await anext(watch)
            day.edited += len(edited)
            day.late += len(edited - {change.task_id for change in done.changes})
            if done.quiet and done.full_because is None:
                day.quiet_requests.append(done.requests)
                day.quiet_seconds.append(time.perf_counter() - before)
            if (clock.seconds() - begun) // _HOUR > hour:
                hour += 1
                gc.collect()
                day.memory.append((float(hour), process.memory_info().rss / 2**20))
    return day


async def _watch_webhooks(server: ServerProcess, dest: Path) -> list[float]:
    """Return the seconds from each change to its folder on disk."""
    options = ac.WatchOptions(every=_HOUR)
    delays = []
    async with ac.CvatClient(server.url, token=server.token) as client:
        selection = ac.Selection(project_ids=[1])
        watch = ac.watch(client, dest, selection, watching=options)
        async with ac.serve_watch(watch, listen="127.0.0.1:0", secret=_SECRET) as addresses:
            assert addresses.webhook is not None
            await client.webhooks.register(addresses.webhook, secret=_SECRET, project_id=1)
            first = await anext(watch)
            ids = [change.task_id for change in first.changes]
            for number in range(_DELIVERIES):
                edit = partial(server.do, "edit_task", task_id=ids[number % len(ids)])
                delays.append(await _delay(watch, edit))
    return delays


async def _delay(watch: ac.Watch, edit: Callable[[], object]) -> float:
    async def until_changed() -> None:
        while not (await anext(watch)).changed:
            pass

    looking = asyncio.create_task(until_changed())
    await asyncio.sleep(0)
    before = time.perf_counter()
    await asyncio.to_thread(edit)
    await looking
    return time.perf_counter() - before
