"""An event loop whose seconds pass fifty times as fast as those of the clock on the wall.

So the waits of these tests are the real ones, second for second as their users meet them: backoff,
`Retry-After`, stall timeouts. Client and simulated server share the loop, so they agree on the
time; only what computes is, by this clock, fifty times as slow as it is.
"""

from __future__ import annotations

import asyncio
import selectors

SPEED = 50.0


class _Selector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout if timeout is None else timeout / SPEED)


class FastLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        super().__init__(_Selector())

    def time(self) -> float:
        """Seconds, fifty of them in one."""
        return super().time() * SPEED
