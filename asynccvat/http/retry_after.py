"""Hold all calls back while the server asks for a pause; the clock that tests replace.

`retry_budget` decides whether one failed call is retried.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio


@dataclass(frozen=True, slots=True)
class Timing:
    """Time and randomness, as functions that tests can replace.

    Attributes:
        clock: Returns monotonic seconds.
        sleep: Waits for a number of seconds.
        jitter: Returns a random number from 0 to 1.
    """

    clock: Callable[[], float] = anyio.current_time
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    jitter: Callable[[], float] = random.random


class RetryAfterGate:
    """Obey `Retry-After` for all calls of a session.

    Closing the gate does not interrupt calls that are running. No other call starts until the
    pause is over.

    Attributes:
        opens_at: When the last pause ends, by the clock of `timing`.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self.opens_at = 0.0

    @property
    def remaining(self) -> float:
        """Seconds until the gate opens, 0 while it is open."""
        return max(0.0, self.opens_at - self._timing.clock())

    def close_for(self, seconds: float) -> bool:
        """Keep the gate closed for `seconds` from now; False if it was closed for longer."""
        until = self._timing.clock() + seconds
        if seconds <= 0 or until <= self.opens_at:
            return False
        self.opens_at = until
        return True

    async def wait(self) -> None:
        """Wait until the gate is open."""
        # The server may ask for a longer pause in the meantime.
        while remaining := self.remaining:
            await self._timing.sleep(remaining)
