"""Note the last run into a destination: `last-run.json`.

The file decides nothing, so it is not synced, and one that cannot be read counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable

from asynccvat.core.records.last_run import LastRun, decode_last_run, encode_last_run
from asynccvat.fs import files
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.layout import Layout, write_file
from asynccvat.store.lock import known_writer
from asynccvat.store.lock_owner import in_words

LAST_RUN_NAME = "last-run.json"


class LastRunNote:
    """The note of a destination's last run."""

    def __init__(
        self, layout: Layout, threads: DiskThreads, verify_lock: Callable[[], None]
    ) -> None:
        """Note runs in a destination.

        Args:
            layout: The destination.
            threads: Where the disk is used.
            verify_lock: Raises if the destination's lock is no longer ours.
        """
        self._layout = layout
        self._threads = threads
        self._verify_lock = verify_lock

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
