"""Note the last complete run of a mirror: `complete-run.json`.

Without a readable note, the next run looks at all tasks. So it is not synced.
"""

from __future__ import annotations

from collections.abc import Callable

from asynccvat.core.records.complete_runs import (
    CompleteRun,
    decode_complete_run,
    encode_complete_run,
)
from asynccvat.fs import files
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.layout import NOT_THERE, Layout, write_file

COMPLETE_RUN_NAME = "complete-run.json"


class CompleteRuns:
    """The note of a mirror's last complete run."""

    def __init__(
        self, layout: Layout, threads: DiskThreads, verify_lock: Callable[[], None]
    ) -> None:
        """Note runs in a mirror.

        Args:
            layout: The mirror.
            threads: Where the disk is used.
            verify_lock: Raises if the mirror's lock is no longer ours.
        """
        self._layout = layout
        self._threads = threads
        self._verify_lock = verify_lock

    async def read(self) -> CompleteRun | None:
        """Return the last complete run; None if none is noted that can be read.

        Raises:
            StoreError: The disk cannot be read.
        """

        def read() -> CompleteRun | None:
            if self._layout.own == NOT_THERE:
                return None
            return decode_complete_run(files.read_file(COMPLETE_RUN_NAME, dir_fd=self._layout.own))

        return await self._threads.run(f"read {COMPLETE_RUN_NAME} in", read)

    async def write(self, run: CompleteRun) -> None:
        """Replace the note.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: It cannot be written.
        """

        def write() -> None:
            self._verify_lock()
            content = encode_complete_run(run)
            write_file(COMPLETE_RUN_NAME, content, dir_fd=self._layout.own, durable=False)

        await self._threads.run(f"write {COMPLETE_RUN_NAME} in", write)
