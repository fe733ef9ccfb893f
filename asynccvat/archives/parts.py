"""Keep the received bytes of a large stored member, so that a later read continues after them.

A part is a file next to the staged tree. CRC and size of its member name it, so neither the
member's path nor the archive's ETag matters. The bytes count only if the CRC of the whole member is
right in the end. Deflated members start again: the state of their decompressor is not kept.

Synchronous, for worker threads. `core.zip.reader` skips the kept bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from isal import isal_zlib

from asynccvat.core.zip import KeptPrefix, ZipEntry
from asynccvat.core.zip.records import STORED
from asynccvat.fs import files
from asynccvat.store import Staging

PART_FROM = 4 * 1024 * 1024
"""Bytes. A smaller member is fetched again from its start."""

_READ_BYTES = 1024 * 1024


class MemberParts:
    """The parts of one archive's members.

    Attributes:
        prefixes: The kept beginnings of members, by the offsets of their headers.
    """

    def __init__(self, staging: Staging, entries: Iterable[ZipEntry]) -> None:
        """Find the parts of members that are to be read.

        Args:
            staging: The task's staging.
            entries: The members. Of several with the same bytes, the first one gets the part.

        Raises:
            OSError: From the system.
        """
        self._staging = staging
        self._offsets: dict[str, int] = {}
        self.prefixes: dict[int, KeptPrefix] = {}
        for entry in entries:
            if not entry.is_directory and entry.method == STORED and entry.size >= PART_FROM:
                self._offsets.setdefault(_name_of(entry), entry.header_offset)
        sizes = staging.part_sizes() if self._offsets else {}
        for name, offset in self._offsets.items():
            if sizes.get(name, 0) >= PART_FROM:
                self.prefixes[offset] = self._read(name)

    def takes(self, entry: ZipEntry) -> bool:
        """Whether a member is written as a part first."""
        return self._offsets.get(_name_of(entry)) == entry.header_offset

    def open(self, entry: ZipEntry) -> int:
        """Open the file of a member's part at the end of its kept bytes."""
        prefix = self.prefixes.get(entry.header_offset)
        with self._staging.open_parts() as folder:
            fd = files.open_or_create(_name_of(entry), dir_fd=folder)
            try:
                length = 0 if prefix is None else prefix.length
                if os.fstat(fd).st_size > length:
                    files.truncate(fd, length)
                os.lseek(fd, length, os.SEEK_SET)
            except BaseException:
                os.close(fd)
                raise
        return fd

    def publish(self, entry: ZipEntry, name: str, *, dir_fd: int) -> None:
        """Move a whole member into the tree, in place of the file of that name."""
        with self._staging.open_parts() as folder:
            files.rename(_name_of(entry), name, dir_fd=folder, new_dir_fd=dir_fd)

    def drop(self, entry: ZipEntry) -> None:
        """Remove a part."""
        with self._staging.open_parts() as folder:
            files.unlink(_name_of(entry), dir_fd=folder)

    def _read(self, name: str) -> KeptPrefix:
        """Compute the CRC of a part, without the last byte of a whole member."""
        whole = int(name.partition("-")[2])
        crc = length = 0
        with self._staging.open_parts() as folder:
            fd = files.open_for_reading(name, dir_fd=folder)
            try:
                while data := os.read(fd, min(_READ_BYTES, whole - 1 - length)):
                    crc = isal_zlib.crc32(data, crc)
                    length += len(data)
            finally:
                os.close(fd)
        return KeptPrefix(length, crc)


def _name_of(entry: ZipEntry) -> str:
    return f"{entry.crc:08x}-{entry.size}"
