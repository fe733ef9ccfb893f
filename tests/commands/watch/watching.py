"""A clock whose hours pass at once, and a watch that uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from engine_serving import QUICK, Serving

import asynccvat as ac


class QuickClock:
    """A clock that goes on only where a watch waits; then at once.

    Attributes:
        waits: The seconds of each wait.
        before_waits: Called at the beginning of each wait.
    """

    def __init__(self) -> None:
        self.waits: list[float] = []
        self.before_waits: Callable[[], Awaitable[object]] | None = None
        self._seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)

    def seconds(self) -> float:
        return self._seconds

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        self.waits.append(seconds)
        if self.before_waits is not None:
            await self.before_waits()
        if not event.is_set():
            self._seconds += seconds


def watch(serve: Serving, data: Path, **given: Any) -> ac.Watch:
    """Watch everything that a server has."""
    given = {"options": QUICK, "clock": QuickClock(), **given}
    return ac.watch(serve.client, data, **given)


async def rounds(watched: ac.Watch, count: int) -> list[ac.WatchRound]:
    """Return the next rounds of a watch."""
    return [await anext(watched) for _ in range(count)]


async def until_stopped(watched: ac.Watch) -> AsyncIterator[ac.WatchRound]:
    """Yield the rounds of a watch until it is stopped."""
    async for ended in watched:
        yield ended
