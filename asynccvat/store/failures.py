"""Remember which tasks failed: the next run begins them last.

The file decides nothing but an order, so it is not synced, and one that cannot be read counts as
empty.
"""

from __future__ import annotations

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.fs import files
from asynccvat.store.layout import write_file
from asynccvat.store.own_files import OwnFiles

FAILED_NAME = "failed.json"
_VERSION = 1


class _FailedFile(msgspec.Struct):
    version: int = _VERSION
    task_ids: list[int] = []


class FailedTasks(OwnFiles):
    """The tasks of a mirror that failed when they were fetched last."""

    async def read(self) -> frozenset[int]:
        """Return the tasks that failed.

        Raises:
            StoreError: The disk cannot be read.
        """
        return await self._threads.run("read failed.json in", self._read)

    async def write(self, task_ids: frozenset[int]) -> None:
        """Replace the tasks that failed.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: They cannot be written.
        """

        def write() -> None:
            if task_ids == self._read():
                return
            self._verify_lock()
            if task_ids:
                content = msgspec.json.encode(_FailedFile(task_ids=sorted(task_ids))) + b"\n"
                write_file(FAILED_NAME, content, dir_fd=self._layout.own, durable=False)
            elif files.lstat(FAILED_NAME, dir_fd=self._layout.own) is not None:
                files.unlink(FAILED_NAME, dir_fd=self._layout.own)

        await self._threads.run("write failed.json in", write)

    def _read(self) -> frozenset[int]:
        content = files.read_file(FAILED_NAME, dir_fd=self._layout.own)
        try:
            found = msgspec.json.decode(content or b"{}", type=_FailedFile)
        except UNREADABLE:
            return frozenset()
        return frozenset(found.task_ids if found.version == _VERSION else ())
