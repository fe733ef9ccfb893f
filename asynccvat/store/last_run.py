"""Note the last run into a destination: `last-run.json`.

The file decides nothing, so it is not synced, and one that cannot be read counts as missing.
"""

from __future__ import annotations

from asynccvat.core.records.last_run import LastRun, decode_last_run, encode_last_run
from asynccvat.fs import files
from asynccvat.store.layout import write_file
from asynccvat.store.lock import known_writer
from asynccvat.store.lock_owner import in_words
from asynccvat.store.own_files import OwnFiles

LAST_RUN_NAME = "last-run.json"


class LastRunNote(OwnFiles):
    """The note of a destination's last run."""

    async def read(self) -> LastRun | None:
        """Return the last run; None if none is noted that can be read."""

        def read() -> LastRun | None:
            try:
                return decode_last_run(files.read_file(LAST_RUN_NAME, dir_fd=self._layout.own))
            except OSError:
                return None

        return await self._threads.run("read", read)

    async def writer(self) -> str | None:
        """Return the process that is perhaps writing to the destination, in words; None if none is.

        Raises:
            StoreError: The disk cannot be read.
        """
        owner = await self._threads.run("read", known_writer, self._layout.own)
        return None if owner is None else in_words(owner)

    async def write(self, run: LastRun) -> None:
        """Replace the note.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: It cannot be written.
        """

        def write() -> None:
            self._verify_lock()
            write_file(LAST_RUN_NAME, encode_last_run(run), dir_fd=self._layout.own, durable=False)

        await self._threads.run(f"write {LAST_RUN_NAME} in", write)
