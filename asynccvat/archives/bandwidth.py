"""Keep all transfers within one bandwidth; `core.bandwidth` decides how long each waits."""

from __future__ import annotations

from asynccvat.core.bandwidth import TokenBucket
from asynccvat.http.retry_after import Timing


class Bandwidth:
    """A bandwidth that all transfers share."""

    def __init__(self, rate: int, timing: Timing) -> None:
        """Set the limit.

        Args:
            rate: Bytes a second.
            timing: Clock and sleep.
        """
        self._bucket = TokenBucket(rate)
        self._timing = timing

    async def take(self, size: int) -> None:
        """Wait as long as `size` bytes take at this rate."""
        delay = self._bucket.take(size, self._timing.clock())
        if delay > 0:
            await self._timing.sleep(delay)
