"""Reads archives both ways, in chunks of any size, as a transfer would."""

from __future__ import annotations

import io
import zipfile

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
    """Read the directory from the tail, a longer one when that is asked for."""
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
    reader = ZipReader.span(directory, directory.entries, limits)
    tree = drain(reader, data[: directory.start], chunk)
    assert reader.position == directory.start
    assert reader.close() == directory
    return tree, directory


def read_forward(
    data: bytes,
    chunk: int | None = None,
    *,
    limits: ArchiveLimits = LIMITS,
    rules: NameRules = RULES,
) -> tuple[Tree, Directory]:
    """Read the whole archive as a stream."""
    reader = ZipReader.forward(limits, rules)
    tree = drain(reader, data, chunk)
    assert reader.position == len(data)
    return tree, reader.close()


def read_with_zipfile(data: bytes) -> Tree:
    """Read with the standard library, for comparison."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {
            info.filename.removesuffix("/"): None if info.is_dir() else archive.read(info)
            for info in archive.infolist()
        }
