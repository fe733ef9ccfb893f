"""Find where the members of an uploaded zip lie on disk, and check their CRC.

A stored member stays where it is, so nothing is copied. A compressed one is unpacked.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Final

from asynccvat.simulator.world.media import StoredFile

_PIECE: Final = 1 << 20
_LOCAL_HEADER: Final = 30


class MemberFiles:
    """The members of one zip as files."""

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        """Find members of the open archive, which is the file at `path`."""
        self._archive = archive
        self._path = path

    def names(self) -> frozenset[str]:
        """Return the names of all members."""
        return frozenset(self._archive.namelist())

    def beside(self, name: str) -> Path:
        """Return a path in the folder of the zip, for another file of it."""
        return self._path.with_name(f"{self._path.name}-{zlib.crc32(name.encode()):08x}.part")

    def find(self, name: str) -> StoredFile:
        """Return where a member lies; a compressed one is unpacked into the same folder.

        Raises:
            KeyError: There is no such member.
            zipfile.BadZipFile: Its CRC is wrong, or its header.
        """
        member = self._archive.getinfo(name)
        is_stored = member.compress_type == zipfile.ZIP_STORED
        unpacked = self._path.with_name(f"{self._path.name}-{member.header_offset}")
        with self._archive.open(member) as source:
            if is_stored:
                while source.read(_PIECE):
                    pass
            else:
                with unpacked.open("wb") as target:
                    while piece := source.read(_PIECE):
                        target.write(piece)
        if not is_stored:
            return StoredFile(unpacked, 0, member.file_size)
        with self._path.open("rb") as file:
            file.seek(member.header_offset)
            lengths = struct.unpack("<26xHH", file.read(_LOCAL_HEADER))
        start = member.header_offset + _LOCAL_HEADER + sum(lengths)
        return StoredFile(self._path, start, member.file_size)
