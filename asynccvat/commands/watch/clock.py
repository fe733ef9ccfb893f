"""The clock of a watch. Tests give another one, whose hours pass at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What a watch knows of time."""

    def now(self) -> datetime:
        """Return the date and time, in UTC."""

    def seconds(self) -> float:
        """Return seconds that never go back."""

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until an event is set, or until a time is over."""


class SystemClock:
    """The clock of the system."""

    def now(self) -> datetime:
        """Return the date and time, in UTC."""
        return datetime.now(UTC)

    def seconds(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until an event is set, or until a time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
