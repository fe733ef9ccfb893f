"""Keep the archive itself (`--keep-archive`), written through aiofiles."""

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
    """The file that an archive is kept in."""

    def __init__(self, file: AsyncFileIO, path: Path, task_id: int) -> None:
        self._file = file
        self._path = path
        self._task_id = task_id

    @property
    def fd(self) -> int:
        """The file's handle, which can read, too."""
        return self._file.fileno()

    async def restart(self) -> None:
        """Empty the file."""
        with disk_errors.explained("write", self._path, task_id=self._task_id):
            await shielded(self._file.seek(0))
            await shielded(self._file.truncate())

    async def write(self, chunks: Sequence[bytes]) -> None:
        """Append chunks."""
        rest = memoryview(b"".join(chunks))
        with disk_errors.explained("write", self._path, task_id=self._task_id):
            while rest:
                # A disk that is nearly full accepts a part, and refuses only the next write.
                rest = rest[await shielded(self._file.write(rest)) :]


@asynccontextmanager
async def archive_copy(archive: UnfinishedArchive, task_id: int) -> AsyncIterator[ArchiveCopy]:
    """Hold the file of a kept archive open.

    It is removed if the block fails.

    A cancelled call of aiofiles leaves its thread running, and with it perhaps a file that was just
    opened. So each call is awaited to its end.
    """
    opened: list[AsyncFileIO] = []

    async def open_() -> None:
        fd = await in_thread(archive.create)
        # Unbuffered: otherwise closing would write again what a full disk has refused.
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
    """Close and remove the file.

    An error in that becomes a note to the error before.
    """

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
