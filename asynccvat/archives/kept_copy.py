"""Keeping an archive as it came, beside its members: `--keep-archive`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiofiles
from aiofiles.threadpool.binary import AsyncFileIO

from asynccvat.aio.threads import in_thread, shielded
from asynccvat.errors import StoreError
from asynccvat.fs import disk_errors
from asynccvat.store import UnfinishedArchive


class ArchiveCopy:
    """The archive itself, kept as it came."""

    def __init__(self, file: AsyncFileIO, path: Path, task_id: int) -> None:
        self._file = file
        self._path = path
        self._task_id = task_id

    @property
    def fd(self) -> int:
        """The file's handle, which can read, too."""
        return self._file.fileno()

    async def restart(self) -> None:
        """Forget what came so far."""
        with disk_errors.explained("write", self._path, task_id=self._task_id):
            await shielded(self._file.seek(0))
            await shielded(self._file.truncate())

    async def write(self, chunks: Sequence[bytes]) -> None:
        rest = memoryview(b"".join(chunks))
        with disk_errors.explained("write", self._path, task_id=self._task_id):
            while rest:
                # A disk that is nearly full takes a part, and refuses only the next.
                rest = rest[await shielded(self._file.write(rest)) :]


@asynccontextmanager
async def archive_copy(archive: UnfinishedArchive, task_id: int) -> AsyncIterator[ArchiveCopy]:
    """Hold the file open that an archive is kept in; it is removed when the block fails.

    aiofiles leaves the thread alone that a cancelled call of it runs in, and with it a file that
    was just opened: so each is awaited to its end.
    """
    opened: list[AsyncFileIO] = []

    async def open_() -> None:
        fd = await in_thread(archive.create)
        # Unbuffered: what a full disk refused must not come again when the file is closed.
        opened.append(await aiofiles.open(fd, "wb", buffering=0))

    try:
        with disk_errors.explained("create", archive.path, task_id=task_id):
            await shielded(open_())
        yield ArchiveCopy(opened[0], archive.path, task_id)
        with disk_errors.explained("write", archive.path, task_id=task_id):
            await shielded(opened[0].close())
    except BaseException as error:
        for file in opened:
            await _let_go(file, archive, task_id, error)
        raise


async def _let_go(
    file: AsyncFileIO, archive: UnfinishedArchive, task_id: int, why: BaseException
) -> None:
    """Close and remove the file; what goes wrong with that is only a note to what went before."""

    async def remove() -> None:
        try:
            with disk_errors.explained("close", archive.path, task_id=task_id):
                await file.close()
        finally:
            with disk_errors.explained("remove", archive.path, task_id=task_id):
                await in_thread(archive.remove)

    try:
        await shielded(remove())
    except StoreError as error:
        why.add_note(str(error))
