"""Tells a body that comes from one that only trickles.

aiohttp counts each silence by itself: a server, or something before it, that sends a byte now and
then would hold a transfer for ever. So it takes some bytes to end a silence.
"""

from __future__ import annotations

from asynccvat.http.failures import TrickleError

SIGN_OF_LIFE = 1024
"""Bytes that end a silence; by the default stall timeout, 17 a second are too few."""


class StallDetector:
    """The pace of one body, read piece by piece."""

    def __init__(self, stall_timeout: float) -> None:
        """Begin; so many seconds may pass without a sign of life."""
        self._stall_timeout = stall_timeout
        self._waited = 0.0
        self._bytes = 0

    def received(self, size: int, waited: float) -> None:
        """Note that `size` bytes came, which were waited for so many seconds.

        Raises:
            TrickleError: Too few came for too long.
        """
        self._waited += waited
        self._bytes += size
        if self._bytes >= SIGN_OF_LIFE:
            self._waited, self._bytes = 0.0, 0
        elif self._waited > self._stall_timeout:
            raise TrickleError
