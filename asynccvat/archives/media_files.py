"""Make files of a chunk of media that was spooled. Synchronous, for worker threads.

`media` fetches the chunks. `core.media.chunks` says where their frames go.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from isal import isal_zlib
from msgspec.structs import replace as replace_fields

from asynccvat.archives.extractor import Extractor, Folders, StagedFiles
from asynccvat.archives.options import ReadOptions
from asynccvat.core.media.checks import file_problem
from asynccvat.core.media.chunks import (
    FetchedChunk,
    MediaChunk,
    TaskMedia,
    encode_fetched,
    noted_files,
    paths_of_members,
)
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.zip import Directory, ZipEntry, ZipReader
from asynccvat.errors import IntegrityError
from asynccvat.fs import disk_errors, files
from asynccvat.fs.zip_files import directory_of_file, read_file_bytes
from asynccvat.store import Staging

_NOTES = "chunks"
_READ_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class SpooledPart:
    """A chunk or a frame in a file.

    Attributes:
        fd: The file's handle.
        size: Its bytes.
    """

    fd: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes from an offset on, fewer at the end of the file."""
        return os.pread(self.fd, length, offset)


@dataclass(frozen=True, slots=True)
class ChunkPart:
    """Neighbouring frames of a chunk that are written into the tree.

    Attributes:
        extractor: Writes them.
        entries: What it writes.
        stop: Offset in the chunk after the last of them.
    """

    extractor: Extractor
    entries: tuple[ZipEntry, ...]
    stop: int


def open_images(
    spooled: SpooledPart,
    chunk: MediaChunk,
    missing: Collection[str],
    staged: StagedFiles,
    options: ReadOptions,
) -> list[ChunkPart]:
    """Read the directory of a chunk of images, and begin with its missing frames.

    Args:
        spooled: The chunk, in a file.
        chunk: What it should hold.
        missing: The paths of the frames that are wanted.
        staged: The files that are in the tree.
        options: How archives are read.

    Raises:
        ArchiveError: It is no zip of these frames, or it is beyond the limits.
        DiskFullError: There is no room for them.
    """
    found = directory_of_file(
        spooled.fd,
        spooled.size,
        options.ranges.tail,
        limits=options.limits,
        rules=options.rules,
    )
    paths = paths_of_members([entry.original for entry in found.entries], chunk)
    wanted = [path if path in missing else None for path in paths]
    entries = tuple(
        entry
        if path is None
        # The reader compares the name in each header with `original`.
        else replace(entry, name=path, mapped_from=entry.original)
        for entry, path in zip(found.entries, wanted, strict=True)
    )
    directory = Directory(entries, found.start, found.archive_size, found.total_size)
    staged.require(
        sum(one.size for one, path in zip(entries, wanted, strict=True) if path is not None)
    )
    parts = []
    numbers = range(len(entries))
    for is_wanted, group in itertools.groupby(numbers, lambda at: wanted[at] is not None):
        run = list(group)
        if is_wanted:
            reader_entries = entries[run[0] : run[-1] + 1]
            reader = ZipReader(directory, reader_entries, options.limits)
            writer = Extractor(reader, staged)
            parts.append(ChunkPart(writer, reader_entries, directory.end_of(run[-1])))
    return parts


def finish_images(parts: Iterable[ChunkPart], media: TaskMedia, staged: StagedFiles) -> None:
    """End the reading of a chunk's parts, and record the names that an export has.

    Raises:
        ArchiveError: Bytes are missing.
    """
    for part in parts:
        part.extractor.finish()
        for entry in part.entries:
            record = staged.records[entry.name]
            original = media.originals.get(entry.name)
            staged.records[entry.name] = replace_fields(record, mapped_from=original)


def abandon_images(parts: Iterable[ChunkPart]) -> None:
    """Remove the unfinished file of each part; nothing after `finish_images`."""
    with ExitStack() as stack:
        for part in parts:
            stack.callback(part.extractor.abandon)


def check_spooled(spooled: SpooledPart, path: str) -> None:
    """Check that a spooled file is whole, as far as its own records tell.

    Raises:
        IntegrityError: It is cut off, or of another type than its name.
    """
    problem = file_problem(path, spooled)
    if problem is not None:
        raise IntegrityError(
            f"{path!r} {problem}, as the server sent it. Fetch it again.", member=path
        )


def copy_spooled(
    spooled: SpooledPart, path: str, staged: StagedFiles, mapped_from: str | None = None
) -> None:
    """Copy a spooled file into the tree.

    Args:
        spooled: The file.
        path: Where it goes.
        staged: The files that are in the tree.
        mapped_from: Its name in an export if the destination refuses that.

    Raises:
        DiskFullError: There is no room for it.
        StoreError: The file system refuses it.
    """
    staged.require(spooled.size)
    folders = Folders(staged.root, staged.made, most=staged.open_folders)
    parent, _, name = path.rpartition("/")
    try:
        with disk_errors.explained("write", path, task_id=staged.task_id):
            target = files.open_for_writing(name, dir_fd=folders.get(parent))
            try:
                crc = _copy(spooled, target)
                mtime_ns = os.fstat(target).st_mtime_ns
            except BaseException:
                os.close(target)
                files.unlink(name, dir_fd=folders.get(parent))
                raise
            os.close(target)
    finally:
        folders.close()
    staged.records[path] = MemberRecord(path, spooled.size, crc, mtime_ns, mapped_from)


def _copy(spooled: SpooledPart, target: int) -> int:
    crc = 0
    for start in range(0, spooled.size, _READ_BYTES):
        data = read_file_bytes(spooled.fd, start, min(spooled.size, start + _READ_BYTES))
        files.write(target, data)
        crc = isal_zlib.crc32(data, crc)
    return crc


def note_fetched(staging: Staging, fingerprint: str, fetched: Iterable[MemberRecord]) -> None:
    """Note files that are whole, for the run after a kill.

    The note is not synced: the files count only if their bytes, read again, have these CRCs.
    """
    line = encode_fetched(FetchedChunk(fingerprint, tuple(fetched)))
    explained = disk_errors.explained("write to", staging.tree, task_id=staging.task_id)
    with explained, staging.open_parts() as folder:
        fd = files.open_or_create(_NOTES, dir_fd=folder)
        try:
            os.lseek(fd, 0, os.SEEK_END)
            files.write(fd, line)
        finally:
            os.close(fd)


def files_of_killed_run(staging: Staging, fingerprint: str) -> dict[str, MemberRecord]:
    """Return the files of the same media that an earlier run noted, by path."""
    if _NOTES not in staging.part_sizes():
        return {}
    with staging.open_parts() as folder:
        notes = files.read_file(_NOTES, dir_fd=folder)
    return noted_files(notes or b"", fingerprint)
