"""Note the last complete run of a mirror: `complete-run.json`.

Without a readable note, the next run looks at all tasks. So it is not synced.
"""

from __future__ import annotations

from asynccvat.core.records.complete_runs import (
    CompleteRun,
    decode_complete_run,
    encode_complete_run,
)
from asynccvat.core.records.remembered import Remembered
from asynccvat.fs import files
from asynccvat.store.layout import NOT_THERE, write_file
from asynccvat.store.own_files import OwnFiles

COMPLETE_RUN_NAME = "complete-run.json"


class CompleteRuns(OwnFiles):
    """The note of a mirror's last complete run."""

    async def read(self) -> CompleteRun | None:
        """Return the last complete run; None if none is noted that can be read.

        Raises:
            StoreError: The disk cannot be read.
        """
        return await self._threads.run(f"read {COMPLETE_RUN_NAME} in", self._read)

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

    async def forget_others(self, settings: Remembered) -> None:
        """Remove the note of a run with other settings.

        A run with these settings may replace folders, and then not come to its end. The note would
        count again as soon as the settings are those of before, and hide these folders.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: The note cannot be removed.
        """

        def forget() -> None:
            noted = self._read()
            if noted is not None and noted.settings != settings:
                self._verify_lock()
                files.unlink(COMPLETE_RUN_NAME, dir_fd=self._layout.own)

        await self._threads.run(f"remove {COMPLETE_RUN_NAME} in", forget)

    def _read(self) -> CompleteRun | None:
        if self._layout.own == NOT_THERE:
            return None
        return decode_complete_run(files.read_file(COMPLETE_RUN_NAME, dir_fd=self._layout.own))
