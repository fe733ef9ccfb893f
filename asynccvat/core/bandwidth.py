"""Decide how long to wait so that all transfers together keep to a bandwidth.

The caller passes the time in. `archives.bandwidth` does the waiting.
"""

from __future__ import annotations

BURST_SECONDS = 0.25
"""Seconds whose bytes may come at once after a pause."""


class TokenBucket:
    """A token bucket: bytes that may be taken, refilled at a constant rate.

    A caller that takes more than the bucket holds leaves a debt, and waits until it is refilled.
    Later callers wait behind it. So callers are served in order, and a chunk larger than the burst
    is no special case.
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
            now: Seconds of a monotonic clock.
        """
        if self._filled_at is not None:
            self._level += (now - self._filled_at) * self.rate
        self._filled_at = now
        self._level = min(self._level, self._burst) - size
        return max(0.0, -self._level / self.rate)
