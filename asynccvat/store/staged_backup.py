"""StagedBackup: a zip on its way, and where its bytes came from.

`archives.file_session` fills it, `backup_store` makes and commits it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asynccvat.core.records.backups import PartRecord, TargetState, decode_part, encode_part
from asynccvat.fs import files
from asynccvat.store.backup_files import PART, PART_RECORD
from asynccvat.store.layout import write_file


@dataclass
class StagedBackup:
    """The zip of one target on its way. Made by `BackupStore.stage`.

    Attributes:
        task_id: The target's id.
        path: The zip. Write through `open_part`; this path is for messages.
        state: The target's state, as it was when this run began.
        lightweight: Whether media that lie in a bucket are left out.
        requested_at: A moment before the bytes were requested, ISO 8601.
        is_continued: Whether an earlier process requested them.
        ended: Whether it was committed or abandoned.
    """

    task_id: int
    path: Path
    state: TargetState
    lightweight: bool
    requested_at: str
    is_continued: bool = False
    ended: bool = False
    _base: int = -1
    _name: str = ""

    @contextmanager
    def open_part(self) -> Iterator[int]:
        """Open the zip for reading and writing. It is created if it is missing."""
        with files.folder(self._name, dir_fd=self._base) as area:
            fd = files.open_or_create(PART, dir_fd=area)
        try:
            yield fd
        finally:
            os.close(fd)

    def origin(self) -> PartRecord | None:
        """Return where the bytes on disk came from, None if they cannot be continued."""
        with files.folder(self._name, dir_fd=self._base) as area:
            part = decode_part(files.read_file(PART_RECORD, dir_fd=area))
        if part is None or part.lightweight != self.lightweight:
            return None
        return part if part.state == self.state else None

    def note_origin(self, result_url: str, etag: str, total: int) -> None:
        """Write where the bytes come from, so that a later process can go on after them."""
        part = PartRecord(
            result_url=result_url,
            etag=etag,
            total=total,
            lightweight=self.lightweight,
            state=self.state,
            requested_at=self.requested_at,
        )
        with files.folder(self._name, dir_fd=self._base) as area:
            # Not synced: after a power cut, a zip without it is fetched anew.
            write_file(PART_RECORD, encode_part(part), dir_fd=area, durable=False)

    def forget_origin(self) -> None:
        """Remove what says where the bytes came from: they are about to be replaced."""
        with files.folder(self._name, dir_fd=self._base) as area:
            if files.lstat(PART_RECORD, dir_fd=area) is not None:
                files.unlink(PART_RECORD, dir_fd=area)
