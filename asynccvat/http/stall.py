"""Detect a body that has stalled, also one that still trickles.

aiohttp measures each silence alone. A server or proxy that sends one byte now and then would hold
a transfer forever, so a silence ends only when some bytes have arrived.
"""

from __future__ import annotations

from asynccvat.http.failures import TrickleError

PROGRESS_BYTES = 1024
"""Bytes that end a silence. With the default stall timeout, 17 bytes a second are too few."""


class StallDetector:
    """Measure the progress of one body that is read piece by piece."""

    def __init__(self, stall_timeout: float) -> None:
        """Begin; within `stall_timeout` seconds `PROGRESS_BYTES` have to arrive."""
        self._stall_timeout = stall_timeout
        self._waited = 0.0
        self._bytes = 0

    def received(self, size: int, waited: float) -> None:
        """Note that `size` bytes arrived after a wait of `waited` seconds.

        Raises:
            TrickleError: Too few bytes arrived within the stall timeout.
        """
        self._waited += waited
        self._bytes += size
        if self._bytes >= PROGRESS_BYTES:
            self._waited, self._bytes = 0.0, 0
        elif self._waited > self._stall_timeout:
            raise TrickleError
