"""Slots for requests in flight, shared by exports and imports."""

from __future__ import annotations

from collections import deque

import anyio

from asynccvat.client.poller import Poller
from asynccvat.core.scheduling.admission import exports_allowed


class RequestSlots:
    """Slots for requests in flight, as many as the server's model calls for at the moment.

    Waiting is first come, first served. A slot is free again as soon as its request has ended, or
    should have ended. Reading the archive takes no slot.
    """

    def __init__(self, poller: Poller, fixed: int | None) -> None:
        """Count slots by what a poller learns, or as many as the user fixed."""
        self._poller = poller
        self._fixed = fixed
        self._taken = 0
        self._waiting: deque[anyio.Event] = deque()

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return exports_allowed(self._poller.model, self._fixed)

    async def acquire(self) -> None:
        """Wait for a slot and take it."""
        if self._taken < self.limit and not self._waiting:
            self._taken += 1
            return
        turn = anyio.Event()
        self._waiting.append(turn)
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
        while self._waiting and self._taken < self.limit:
            self._taken += 1
            self._waiting.popleft().set()
