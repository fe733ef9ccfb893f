"""The gate that every call passes, closed while the server asked for a pause; and the clock."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio


@dataclass(frozen=True, slots=True)
class Timing:
    """Time and chance, as values that tests can replace.

    Attributes:
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.
        jitter: A random number from 0 to 1.
    """

    clock: Callable[[], float] = anyio.current_time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    jitter: Callable[[], float] = random.random


class RetryAfterGate:
    """Obeys `Retry-After` for all calls at once.

    A call that is under way when the gate closes is not interrupted; no other one starts until
    the pause is over.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._opens_at = 0.0

    @property
    def remaining(self) -> float:
        """Seconds until the gate opens, 0 while it is open."""
        return max(0.0, self._opens_at - self._timing.clock())

    def close_for(self, seconds: float) -> bool:
        """Keep the gate closed for so many seconds from now; False if that changes nothing."""
        until = self._timing.clock() + seconds
        if seconds <= 0 or until <= self._opens_at:
            return False
        self._opens_at = until
        return True

    async def wait(self) -> None:
        """Return once the gate is open."""
        # The pause may grow while it is waited for.
        while remaining := self.remaining:
            await self._timing.sleep(remaining)
