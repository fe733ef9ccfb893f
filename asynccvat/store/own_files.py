"""What the classes have in common that keep files of their own in `.asynccvat`."""

from __future__ import annotations

from collections.abc import Callable

from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.layout import Layout


class OwnFiles:
    """Files in a destination's own folder. Only who holds its lock may change them."""

    def __init__(
        self, layout: Layout, threads: DiskThreads, verify_lock: Callable[[], None]
    ) -> None:
        """Read and write them in a destination.

        Args:
            layout: The destination.
            threads: Where the disk is used.
            verify_lock: Raises if the destination's lock is no longer ours.
        """
        self._layout = layout
        self._threads = threads
        self._verify_lock = verify_lock
