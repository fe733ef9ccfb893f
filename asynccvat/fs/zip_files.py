"""Read the directory and the bytes of a zip archive in a file. Synchronous, for worker threads."""

from __future__ import annotations

import os

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.paths import NameRules
from asynccvat.core.zip import Directory, TailNeeded, read_directory
from asynccvat.errors import StoreError


def directory_of_file(
    fd: int,
    size: int,
    tail: int,
    *,
    limits: ArchiveLimits,
    rules: NameRules,
    map_names: bool = False,
) -> Directory:
    """Read the central directory of an archive in a file.

    Args:
        fd: The file's handle.
        size: Bytes of the archive.
        tail: Bytes to try first, from the end.
        limits: The most that the archive may hold.
        rules: What names the destination can hold.
        map_names: As in `read_directory`.

    Raises:
        ArchiveError: As `read_directory`.
    """
    while True:
        length = min(tail, size)
        found = read_directory(
            read_file_bytes(fd, size - length, size),
            size,
            limits=limits,
            rules=rules,
            map_names=map_names,
        )
        if not isinstance(found, TailNeeded):
            return found
        tail = found.length


def read_file_bytes(fd: int, start: int, stop: int) -> bytes:
    """Read bytes of a file that must have them.

    Raises:
        StoreError: The file became shorter.
    """
    parts = []
    while start < stop:
        data = os.pread(fd, stop - start, start)
        if not data:
            raise StoreError(
                "the archive's file became shorter while its members were read: let nothing else "
                "change the destination, and run again",
                step="extract",
            )
        parts.append(data)
        start += len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
