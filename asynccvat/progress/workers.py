"""Estimate how many requests of a queue the server works on at once."""

from __future__ import annotations

from collections import deque
from statistics import fmean

# Ends whose seconds tell how many requests run at once.
_KNOWN, _NEEDED = 16, 4


class Workers:
    """The workers of one queue of the server, by the seconds that they took."""

    def __init__(self) -> None:
        """Begin without knowledge."""
        self._seconds: deque[float] = deque(maxlen=_KNOWN)

    def note(self, seconds: float | None) -> None:
        """Note how long a worker took; None if the server did not say."""
        if seconds is not None:
            self._seconds.append(seconds)

    def unseen(self, a_second: float | None, *, seen: int, queued: int) -> int:
        """Estimate how many requests run whose start was not seen.

        Args:
            a_second: The rate at which requests end, None if it is not known.
            seen: How many were seen to have begun.
            queued: How many may run.
        """
        if a_second is None or len(self._seconds) < _NEEDED:
            return 0
        # Seconds of work in each second are the requests that run at once.
        return max(0, min(round(a_second * fmean(self._seconds)) - seen, queued))
