"""Keeping an archive as it came, beside its members: `--keep-archive`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiofiles
import anyio
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from asynccvat import files
from asynccvat.threads import in_thread


class ArchiveCopy:
    """The archive itself, kept as it came."""

    def __init__(self, file: AsyncBufferedIOBase, path: Path, task_id: int) -> None:
        self._file = file
        self._path = path
        self._task_id = task_id

    async def restart(self) -> None:
        """Forget what came so far."""
        await self._file.seek(0)
        await self._file.truncate()

    async def write(self, chunks: Sequence[bytes]) -> None:
        with files.explained("write", self._path, task_id=self._task_id):
            await self._file.write(b"".join(chunks))


@asynccontextmanager
async def archive_copy(path: Path, task_id: int) -> AsyncIterator[ArchiveCopy]:
    """Hold the file open that an archive is kept in; it is removed when the block fails."""
    with files.explained("create", path, task_id=task_id):
        file = await aiofiles.open(path, "xb")
    try:
        yield ArchiveCopy(file, path, task_id)
    except BaseException:
        with anyio.CancelScope(shield=True):
            await file.close()
            await in_thread(path.unlink)
        raise
    with files.explained("write", path, task_id=task_id):
        await file.close()
