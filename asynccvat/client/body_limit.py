"""Remember how large a request a gateway before the server allows.

A gateway refuses a larger one with 413, without saying what it allows: nginx refuses those of more
than 1 MiB unless configured. Then pieces become shorter, for all files of the client.
"""

from __future__ import annotations

from dataclasses import dataclass

from asynccvat.core.wire.tus import LARGEST, SMALLEST, shorter

TOO_LARGE = 413


@dataclass(slots=True)
class BodyLimit:
    """What the gateway before a server has shown to allow in one request.

    Attributes:
        most: Bytes of a file to send in one request.
    """

    most: int = LARGEST

    def note_refused(self, length: int) -> bool:
        """Note that the gateway refused this many bytes. Returns whether fewer can be tried."""
        fewer = shorter(length)
        self.most = min(self.most, fewer or SMALLEST)
        return fewer is not None
