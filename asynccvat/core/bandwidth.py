"""How long to wait so that all transfers together keep to a number of bytes a second.

The bucket only counts; the clock is handed in and the waiting is left to `archives`.
"""

from __future__ import annotations

BURST_SECONDS = 0.25
"""How much of a second's bytes may come at once after a pause."""


class TokenBucket:
    """Bytes that may be taken, refilled at a constant rate.

    Whoever takes more than is there goes into debt and is told how long to wait for it to be
    paid; those who take meanwhile wait behind. So takers are served in their order, and one
    chunk larger than the burst is no special case.
    """

    def __init__(self, rate: int) -> None:
        """Make a full bucket.

        Args:
            rate: Bytes a second.
        """
        self.rate = rate
        self._burst = rate * BURST_SECONDS
        self._level = self._burst
        self._filled_at: float | None = None

    def take(self, size: int, now: float) -> float:
        """Take `size` bytes at the time `now` and return the seconds to wait, 0 for none.

        Args:
            size: Bytes.
            now: Seconds of any clock that does not go back.
        """
        if self._filled_at is not None:
            self._level += (now - self._filled_at) * self.rate
        self._filled_at = now
        self._level = min(self._level, self._burst) - size
        return max(0.0, -self._level / self.rate)
