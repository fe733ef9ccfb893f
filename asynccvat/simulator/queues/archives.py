"""The archives of results: written when they are asked for, and the latest of them kept.

An `Archive` is bytes or a file in pieces, perhaps changed by a fault. What the formats write is
left to `formats`, which part of an archive is due and how it is sent to `downloads`.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.formats.archives import media_bytes, ready_archive, write_archive
from asynccvat.simulator.queues.requests import Result, Wanted
from asynccvat.simulator.routes.serializers import annotations_json, label_json
from asynccvat.simulator.wire.responses import encode
from asynccvat.simulator.world.tasks import Project, Task

_IN_MEMORY: Final = 16 << 20
"""Archives up to this many bytes are kept in memory, larger ones in files."""
_KEPT_BYTES: Final = 64 << 20
_QUICK_FRAMES: Final = 50
"""Tasks of so many frames are written at once; a thread would cost more than it spares."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bytes: of `data`, or of the file at `path`."""

    start: int
    length: int
    data: bytes = b""
    path: Path | None = None

    def cut(self, start: int, length: int) -> Piece:
        """Part of the piece."""
        return Piece(self.start + start, length, self.data, self.path)

    def read(self) -> bytes:
        """Its bytes."""
        if self.path is None:
            return self.data[self.start : self.start + self.length]
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)


@dataclass(frozen=True, slots=True)
class Archive:
    """The bytes of a result."""

    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """Length in bytes."""
        return sum(piece.length for piece in self.pieces)

    def part(self, start: int, length: int) -> Archive:
        """The bytes from `start`."""
        parts = []
        for piece in self.pieces:
            skip = min(start, piece.length)
            take = min(piece.length - skip, length)
            if take > 0:
                parts.append(piece.cut(skip, take))
            start -= skip
            length -= take
        return Archive(tuple(parts))

    def read(self) -> bytes:
        """All of the bytes."""
        return b"".join(piece.read() for piece in self.pieces)

    def byte_at(self, place: int) -> int:
        """One byte."""
        return self.part(place, 1).read()[0]

    def damaged(self, faults: Sequence[Fault]) -> Archive:
        """The archive as the faults change it; lengths stay consistent."""
        archive = self
        for fault in faults:
            if fault.truncate:
                archive = archive.part(0, max(0, archive.size - fault.truncate))
            if fault.extra:
                extra = fault.extra.encode()
                archive = Archive((*archive.pieces, Piece(0, len(extra), extra)))
            if fault.alter_at is not None and fault.alter_at < archive.size:
                place = fault.alter_at
                other = bytes([archive.byte_at(place) ^ 0xFF])
                before, after = archive.part(0, place), archive.part(place + 1, archive.size)
                archive = Archive((*before.pieces, Piece(0, 1, other), *after.pieces))
        return archive


class ArchiveMaker:
    """Writes the archives of results when they are asked for, and keeps the latest."""

    def __init__(self, projects: Mapping[int, Project]) -> None:
        """Keep nothing yet; `projects` are the server's, by id."""
        self._projects = projects
        self._kept: OrderedDict[Any, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._making_folder = threading.Lock()
        self._files: dict[Any, Archive] = {}
        self._numbers = itertools.count()
        self._writing: dict[Any, asyncio.Lock] = {}

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            self._folder.cleanup()

    async def archive(self, result: Result, origin: str) -> Archive:
        """The archive of a result."""
        ready = _ready_path(result)
        if ready is not None:
            size = await asyncio.to_thread(lambda: ready.stat().st_size)
            return Archive((Piece(0, size, path=ready),))
        key = (result.wanted, result.tasks, result.exported)
        async with self._writing.setdefault(key, asyncio.Lock()):
            if key not in self._kept and key not in self._files:
                await self._write(key, result, origin)
        if key in self._files:
            return self._files[key]
        data = self._kept[key]
        self._kept.move_to_end(key)
        return Archive((Piece(0, len(data), data),))

    async def _write(self, key: Any, result: Result, origin: str) -> None:
        if _expected_bytes(result) > _IN_MEMORY:
            path = await asyncio.to_thread(self._new_path)
            size = await asyncio.to_thread(self._write_file, path, result, origin)
            self._files[key] = Archive((Piece(0, size, path=path),))
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

    def _write_file(self, path: Path, result: Result, origin: str) -> int:
        with path.open("w+b") as stream:
            self._write_to(stream, result, origin)
            return stream.seek(0, io.SEEK_END)

    def _write_to(self, stream: BinaryIO, result: Result, origin: str) -> None:
        wanted = result.wanted
        if wanted.format is None:
            _write_backup(stream, wanted, result.tasks)
            return
        write_archive(
            stream,
            result.tasks,
            wanted.format,
            wanted.save_images,
            project=self._projects.get(wanted.target_id) if wanted.target == "project" else None,
            exported_at=result.exported,
            base_url=origin,
        )

    def _new_path(self) -> Path:
        # Two threads may come at once, and a second folder would take the first one's files away.
        with self._making_folder:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="simulated-cvat-")
        return Path(self._folder.name) / f"{next(self._numbers)}.zip"


def _ready_path(result: Result) -> Path | None:
    if len(result.tasks) != 1 or result.wanted.format is None or not result.tasks[0].ready:
        return None
    return ready_archive(result.tasks[0], result.wanted.format, result.wanted.save_images)


def _expected_bytes(result: Result) -> int:
    if not result.wanted.save_images or result.wanted.format is None:
        return 0
    return sum(media_bytes(task, result.wanted.format) for task in result.tasks)


def _write_backup(stream: BinaryIO, wanted: Wanted, tasks: Sequence[Task]) -> None:
    """A backup, by its layout: task.json, annotations.json, data/."""
    moment = (1980, 1, 1, 0, 0, 0)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for number, task in enumerate(tasks):
            folder = "" if wanted.target == "task" else f"task_{number}/"
            for frame in task.frames():
                archive.writestr(_entry(f"{folder}data/{frame.name}", moment), frame.data())
            value: dict[str, Any] = {"name": task.name, "subset": task.subset}
            value["labels"] = [label_json(label) for label in task.labels]
            archive.writestr(_entry(f"{folder}task.json", moment), encode(value))
            annotations = [annotations_json(task.annotations())]
            archive.writestr(_entry(f"{folder}annotations.json", moment), encode(annotations))


def _entry(name: str, moment: tuple[int, int, int, int, int, int]) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, moment)
    entry.external_attr = 0o100644 << 16
    return entry
