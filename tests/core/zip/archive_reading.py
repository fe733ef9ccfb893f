"""Read archives in chunks of any size: in ranges, and from a spool."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path

from asynccvat.archives.extractor import Extractor, StagedFiles
from asynccvat.archives.spool import Spool, extract_piece
from asynccvat.core.paths import NameRules
from asynccvat.core.zip import (
    ArchiveLimits,
    Directory,
    MemberData,
    MemberEnd,
    MemberStart,
    TailNeeded,
    ZipReader,
    read_directory,
)
from asynccvat.errors import IntegrityError, ProtocolError
from asynccvat.fs import files
from asynccvat.fs.zip_files import directory_of_file

Tree = dict[str, bytes | None]
CHUNKS = (1, 7, 65_536, None)
RULES = NameRules()
LIMITS = ArchiveLimits()


def drain(reader: ZipReader, data: bytes, chunk: int | None) -> Tree:
    """Feed a reader and return what it read: bytes of files, None for directories."""
    tree: Tree = {}
    current = bytearray()
    started = None
    step = chunk or max(len(data), 1)
    for start in range(0, len(data), step):
        for event in reader.feed(memoryview(data)[start : start + step]):
            if isinstance(event, MemberStart):
                assert started is None
                started = event.entry.name
                current = bytearray()
            elif isinstance(event, MemberData):
                assert started is not None
                assert 0 < len(event.data) <= max(step, 1024 * 1024)
                current += event.data
            else:
                assert isinstance(event, MemberEnd)
                assert event.entry.name == started
                assert event.entry.size == len(current)
                tree[started] = None if event.entry.is_directory else bytes(current)
                started = None
    return tree


def directory_of(
    data: bytes,
    *,
    tail: int = 262_144,
    limits: ArchiveLimits = LIMITS,
    rules: NameRules = RULES,
) -> Directory:
    """Read the directory from the tail, and from a longer one if that is needed."""
    while True:
        found = read_directory(
            data[max(0, len(data) - tail) :], len(data), limits=limits, rules=rules
        )
        if isinstance(found, Directory):
            return found
        assert isinstance(found, TailNeeded)
        assert tail < found.length <= len(data)
        tail = found.length


def read_by_directory(
    data: bytes,
    chunk: int | None = None,
    *,
    limits: ArchiveLimits = LIMITS,
    rules: NameRules = RULES,
) -> tuple[Tree, Directory]:
    """Read the directory, then all members as one span."""
    directory = directory_of(data, limits=limits, rules=rules)
    reader = ZipReader(directory, directory.entries, limits)
    tree = drain(reader, data[: directory.start], chunk)
    assert reader.position == directory.start
    reader.close()
    return tree, directory


def read_spooled(
    data: bytes,
    chunk: int | None = None,
    *,
    limits: ArchiveLimits = LIMITS,
    rules: NameRules = RULES,
) -> tuple[Tree, Directory]:
    """Write the whole archive to a file, and extract it from there into a folder."""
    step = chunk or max(len(data), 1)
    with tempfile.TemporaryDirectory(dir=in_memory()) as folder, tempfile.TemporaryFile() as file:
        fd, root = file.fileno(), files.open_directory(Path(folder))
        try:
            staged = StagedFiles(1, root)
            spool = Spool(fd, staged, limits)
            write_spool(spool, [data[at : at + step] for at in range(0, len(data), step)])
            directory = directory_of_file(fd, spool.size, 22, limits=limits, rules=rules)
            reader = ZipReader(directory, directory.entries, limits)
            extractor = Extractor(reader, staged)
            try:
                while reader.position < directory.start:
                    extract_piece(fd, extractor, directory.start)
                extractor.finish()
            finally:
                extractor.abandon()
        finally:
            os.close(root)
        tree: Tree = {entry.name: None for entry in directory.entries if entry.is_directory}
        for name in staged.records:
            tree[name] = (Path(folder) / name).read_bytes()
    return tree, directory


def write_spool(spool: Spool, chunks: list[bytes]) -> None:
    """Write an archive to a spool; make a wrong beginning an `IntegrityError`, too."""
    try:
        spool.write(chunks)
    except ProtocolError as error:
        raise IntegrityError("this is no zip archive") from error


def in_memory() -> Path | None:
    """Return a folder in memory, or None if there is none, or the user chose another."""
    folder = Path("/dev/shm")
    return folder if tempfile.tempdir is None and folder.is_dir() else None


def read_with_zipfile(data: bytes) -> Tree:
    """Read with the standard library, for comparison."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {
            info.filename.removesuffix("/"): None if info.is_dir() else archive.read(info)
            for info in archive.infolist()
        }
