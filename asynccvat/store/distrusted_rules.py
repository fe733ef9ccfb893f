"""Note in a mirror by which rules tasks were converted wrongly: `distrusted-rules.json`.

The note is synced: without it, a later run would not know which tasks are exported again.
"""

from __future__ import annotations

from asynccvat.core.records.distrusted_rules import (
    DistrustedRules,
    decode_distrusted,
    encode_distrusted,
)
from asynccvat.fs import files
from asynccvat.store.layout import write_file
from asynccvat.store.own_files import OwnFiles

DISTRUSTED_NAME = "distrusted-rules.json"


class DistrustedNotes(OwnFiles):
    """The note of a mirror."""

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
