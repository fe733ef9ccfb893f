"""Note in a mirror by which rules tasks were converted wrongly: `distrusted-rules.json`.

The note is synced: without it, a later run would not know which tasks are exported again.
"""

from __future__ import annotations

from collections.abc import Callable

from asynccvat.core.records.distrusted_rules import (
    DistrustedRules,
    decode_distrusted,
    encode_distrusted,
)
from asynccvat.fs import files
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.layout import Layout, write_file

DISTRUSTED_NAME = "distrusted-rules.json"


class DistrustedNotes:
    """The note of a mirror."""

    def __init__(
        self, layout: Layout, threads: DiskThreads, verify_lock: Callable[[], None]
    ) -> None:
        """Note rules in a mirror.

        Args:
            layout: The mirror.
            threads: Where the disk is used.
            verify_lock: Raises if the mirror's lock is no longer ours.
        """
        self._layout = layout
        self._threads = threads
        self._verify_lock = verify_lock

    async def read(self) -> DistrustedRules:
        """Return the rules.

        Raises:
            StoreError: They cannot be read.
        """
        return await self._threads.run(f"read {DISTRUSTED_NAME} in", self._read)

    async def write(self, rules: DistrustedRules) -> None:
        """Replace the rules.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: They cannot be written.
        """

        def write() -> None:
            self._verify_lock()
            content = encode_distrusted(rules)
            write_file(DISTRUSTED_NAME, content, dir_fd=self._layout.own, durable=True)
            files.fsync(self._layout.own)

        await self._threads.run(f"write {DISTRUSTED_NAME} in", write)

    def _read(self) -> DistrustedRules:
        return decode_distrusted(files.read_file(DISTRUSTED_NAME, dir_fd=self._layout.own))
