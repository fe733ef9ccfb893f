"""An event loop whose seconds pass many times as fast as those of the clock on the wall.

So the waits of these tests are the real ones, second for second as their users meet them: backoff,
`Retry-After`, stall timeouts. Client and simulated server share the loop, so they agree on the
time; only what computes is, by this clock, as many times as slow.
"""

from __future__ import annotations

import asyncio
import selectors


class _Selector(selectors.DefaultSelector):
    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None else timeout / self._speed)


class FastLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self, speed: float) -> None:
        """So many of its seconds are one."""
        super().__init__(_Selector(speed))
        self._speed = speed

    def time(self) -> float:
        """Its seconds."""
        return super().time() * self._speed
