"""Count how many of something run at once, where that number changes while they run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import anyio


class Slots:
    """Slots that tasks wait for, first come, first served."""

    def __init__(self, limit: Callable[[int], int]) -> None:
        """Begin with no slot taken.

        Args:
            limit: Returns how many slots there are now. It receives how many tasks wait for one.
        """
        self._limit = limit
        self._taken = 0
        self._waiting: deque[anyio.Event] = deque()

    @property
    def limit(self) -> int:
        """How many slots there are now."""
        return self._limit(len(self._waiting))

    async def acquire(self) -> None:
        """Wait for a slot and take it."""
        if self._taken < self.limit and not self._waiting:
            self._taken += 1
            return
        turn = anyio.Event()
        self._waiting.append(turn)
        self._hand_out()
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self.release()
            else:
                self._waiting.remove(turn)
            raise

    def release(self) -> None:
        """Give a slot back. The longest waiter gets it, if the limit still allows it."""
        self._taken -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and self._taken < self.limit:
            self._taken += 1
            self._waiting.popleft().set()

    async def __aenter__(self) -> None:
        """Wait for a slot and take it."""
        await self.acquire()

    async def __aexit__(self, *exc_info: object) -> None:
        self.release()
