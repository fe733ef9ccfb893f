"""The archives of export results: written when a client downloads them, and cached.

`ArchiveBytes` are pieces of memory or of files, which a fault may change. `formats.archives` writes
archives, `wire.downloads` and `wire.sending` send them.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.formats.archives import (
    find_ready_archive,
    media_bytes,
    write_archive,
)
from asynccvat.simulator.formats.backups import backup_media_bytes, write_backup
from asynccvat.simulator.queues.requests import ExportResult
from asynccvat.simulator.world.tasks import Project

_IN_MEMORY: Final = 16 << 20
"""Archives up to this many bytes are cached in memory, larger ones in files."""

_KEPT_BYTES: Final = 64 << 20
_SAVED_AT_ONCE: Final = 1 << 20
_QUICK_FRAMES: Final = 50
"""Tasks of up to this many frames are written in the loop: a thread would cost more time."""


@dataclass(frozen=True, slots=True)
class ArchivePiece:
    """Consecutive bytes: of `data`, or of the file at `path`."""

    start: int
    length: int
    data: bytes = b""
    path: Path | None = None

    def cut(self, start: int, length: int) -> ArchivePiece:
        """Return part of the piece."""
        return ArchivePiece(self.start + start, length, self.data, self.path)

    def read(self) -> bytes:
        """Return the bytes."""
        if self.path is None:
            return self.data[self.start : self.start + self.length]
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)


@dataclass(frozen=True, slots=True)
class ArchiveBytes:
    """The bytes of an archive, in pieces."""

    pieces: tuple[ArchivePiece, ...]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(piece.length for piece in self.pieces)

    def part(self, start: int, length: int) -> ArchiveBytes:
        """Return `length` bytes from `start`."""
        parts = []
        for piece in self.pieces:
            skip = min(start, piece.length)
            take = min(piece.length - skip, length)
            if take > 0:
                parts.append(piece.cut(skip, take))
            start -= skip
            length -= take
        return ArchiveBytes(tuple(parts))

    def read(self) -> bytes:
        """Return all bytes."""
        return b"".join(piece.read() for piece in self.pieces)

    def save(self, path: Path) -> None:
        """Write the bytes to a file, whose folders are made; only some are in memory at once."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            for start in range(0, self.size, _SAVED_AT_ONCE):
                target.write(self.part(start, _SAVED_AT_ONCE).read())

    def byte_at(self, place: int) -> int:
        """Return one byte."""
        return self.part(place, 1).read()[0]

    def damaged(self, faults: Sequence[Fault]) -> ArchiveBytes:
        """Return the archive as the faults change it; lengths stay consistent."""
        archive = self
        for fault in faults:
            if fault.truncate:
                archive = archive.part(0, max(0, archive.size - fault.truncate))
            if fault.extra:
                extra = fault.extra.encode()
                archive = ArchiveBytes((*archive.pieces, ArchivePiece(0, len(extra), extra)))
            if fault.alter_at is not None and fault.alter_at < archive.size:
                place = fault.alter_at
                other = bytes([archive.byte_at(place) ^ 0xFF])
                before, after = archive.part(0, place), archive.part(place + 1, archive.size)
                archive = ArchiveBytes((*before.pieces, ArchivePiece(0, 1, other), *after.pieces))
        return archive


class ArchiveCache:
    """Writes the archives of results when needed, and keeps the latest."""

    def __init__(self, projects: Mapping[int, Project]) -> None:
        """Start empty; `projects` are those of the server, by id."""
        self._projects = projects
        self._kept: OrderedDict[Any, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._making_folder = threading.Lock()
        self._files: dict[Any, ArchiveBytes] = {}
        self._numbers = itertools.count()
        self._writing: dict[Any, asyncio.Lock] = {}

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()

    async def archive(self, result: ExportResult, origin: str) -> ArchiveBytes:
        """Return the archive of a result, written now if it is not cached."""
        ready = _ready_path(result)
        if ready is not None:
            size = await asyncio.to_thread(lambda: ready.stat().st_size)
            return ArchiveBytes((ArchivePiece(0, size, path=ready),))
        key = (result.subject, result.tasks, result.exported)
        async with self._writing.setdefault(key, asyncio.Lock()):
            if key not in self._kept and key not in self._files:
                await self._write(key, result, origin)
        if key in self._files:
            return self._files[key]
        data = self._kept[key]
        self._kept.move_to_end(key)
        return ArchiveBytes((ArchivePiece(0, len(data), data),))

    async def _write(self, key: Any, result: ExportResult, origin: str) -> None:
        if _expected_bytes(result) > _IN_MEMORY:
            path = await asyncio.to_thread(self._new_path)
            size = await asyncio.to_thread(self._write_file, path, result, origin)
            self._files[key] = ArchiveBytes((ArchivePiece(0, size, path=path),))
            return
        stream = io.BytesIO()
        if len(result.tasks) == 1 and (result.tasks[0].size or 0) <= _QUICK_FRAMES:
            self._write_to(stream, result, origin)
        else:
            await asyncio.to_thread(self._write_to, stream, result, origin)
        data = stream.getvalue()
        self._kept[key] = data
        self._kept_bytes += len(data)
        while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
            old, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)
            self._writing.pop(old, None)

    def _write_file(self, path: Path, result: ExportResult, origin: str) -> int:
        with path.open("w+b") as stream:
            self._write_to(stream, result, origin)
            return stream.seek(0, io.SEEK_END)

    def _write_to(self, stream: BinaryIO, result: ExportResult, origin: str) -> None:
        subject = result.subject
        if subject.format is None:
            write_backup(
                stream,
                result.tasks,
                project=self._project(result),
                lightweight=subject.lightweight,
                made_at=result.exported,
            )
            return
        write_archive(
            stream,
            result.tasks,
            subject.format,
            subject.save_images,
            project=self._project(result),
            exported_at=result.exported,
            base_url=origin,
        )

    def _project(self, result: ExportResult) -> Project | None:
        subject = result.subject
        return self._projects.get(subject.target_id) if subject.target == "project" else None

    def _new_path(self) -> Path:
        # Two threads may come at once; a second folder would remove the files of the first.
        with self._making_folder:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="simulated-cvat-")
        return Path(self._folder.name) / f"{next(self._numbers)}.zip"


def _ready_path(result: ExportResult) -> Path | None:
    if len(result.tasks) != 1 or result.subject.format is None or not result.tasks[0].ready:
        return None
    return find_ready_archive(result.tasks[0], result.subject.format, result.subject.save_images)


def _expected_bytes(result: ExportResult) -> int:
    if result.subject.format is None:
        is_light = result.subject.lightweight
        return sum(backup_media_bytes(task, lightweight=is_light) for task in result.tasks)
    if not result.subject.save_images:
        return 0
    return sum(media_bytes(task, result.subject.format) for task in result.tasks)
