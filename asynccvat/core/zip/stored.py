"""Lay out a zip of stored members before any of their bytes are read.

Every offset and the size of the whole are known from the members' names and sizes. So an archive
can be made while it is sent, and continued at any offset with the same bytes. A member's CRC-32
follows its data in a data descriptor, and stands in the central directory at the end.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from asynccvat.core.zip.records import (
    CENTRAL,
    CENTRAL_SIGNATURE,
    DESCRIPTOR_SIGNATURE,
    END,
    END64,
    END64_SIGNATURE,
    END_SIGNATURE,
    FLAG_DESCRIPTOR,
    LOCAL,
    LOCAL_SIGNATURE,
    LOCATOR,
    LOCATOR_SIGNATURE,
    STORED,
)

_FLAG_UTF8 = 1 << 11
_VERSION, _VERSION_ZIP64 = 20, 45
_MADE_BY_UNIX = 3 << 8
# A regular file that all may read, in the upper half.
_ATTRIBUTES = 0o100644 << 16
# The earliest date that a zip can hold: 1980-01-01. With it the same files make the same zip.
_TIME, _DATE = 0, 0x21
_MAX32, _MAX16 = 0xFFFFFFFF, 0xFFFF
_EXTRA_ID = 1
_DESCRIPTOR = struct.Struct("<4s3L")
_DESCRIPTOR64 = struct.Struct("<4sL2Q")


class StoredMember(NamedTuple):
    """A member: its path in the archive, and its size in bytes."""

    name: str
    size: int


class PartKind(Enum):
    """The parts of an archive."""

    HEADER = "header"
    DATA = "data"
    DESCRIPTOR = "descriptor"
    ENTRY = "entry"
    END = "end"


class Part(NamedTuple):
    """A place in an archive.

    Attributes:
        kind: The part that holds it.
        member: The number of the member, counted from 0; the number of members for the end.
        within: Bytes of the part before the place.
        left: Bytes of the part from the place on.
    """

    kind: PartKind
    member: int
    within: int
    left: int


class StoredZip:
    """The layout of one archive.

    Attributes:
        size: Bytes of the whole archive.
    """

    def __init__(self, members: Sequence[StoredMember]) -> None:
        """Lay out an archive. The members stand in it in their order."""
        self._members = members
        self._starts = array("Q")
        self._entries = array("Q")
        offset = 0
        for member in members:
            self._starts.append(offset)
            offset += self._header_length(member) + member.size + _descriptor(member).size
        self._directory = offset
        for member, start in zip(members, self._starts, strict=True):
            self._entries.append(offset)
            offset += CENTRAL.size + len(member.name.encode()) + len(_extra(member, start))
        self._end = offset
        self.size = offset + len(self.end())

    def __len__(self) -> int:
        """Number of members."""
        return len(self._members)

    def locate(self, offset: int) -> Part:
        """Return the part that holds the byte at an offset below `size`."""
        if offset >= self._end:
            return Part(PartKind.END, len(self), offset - self._end, self.size - offset)
        if offset >= self._directory:
            number = bisect_right(self._entries, offset) - 1
            following = self._entries[number + 1] if number + 1 < len(self) else self._end
            within = offset - self._entries[number]
            return Part(PartKind.ENTRY, number, within, following - offset)
        number = bisect_right(self._starts, offset) - 1
        member = self._members[number]
        within = offset - self._starts[number]
        for kind, length in (
            (PartKind.HEADER, self._header_length(member)),
            (PartKind.DATA, member.size),
        ):
            if within < length:
                return Part(kind, number, within, length - within)
            within -= length
        return Part(PartKind.DESCRIPTOR, number, within, _descriptor(member).size - within)

    def header(self, number: int) -> bytes:
        """Return a member's local header. Its sizes and its CRC follow in the descriptor."""
        member = self._members[number]
        name = member.name.encode()
        extra, size = b"", 0
        if _is_large(member):
            # Readers take the descriptor's sizes to have eight bytes if this field is there.
            extra, size = struct.pack("<2H2Q", _EXTRA_ID, 16, 0, 0), _MAX32
        fixed = LOCAL.pack(
            LOCAL_SIGNATURE,
            _VERSION_ZIP64 if extra else _VERSION,
            _flags(member),
            STORED,
            _TIME,
            _DATE,
            0,
            size,
            size,
            len(name),
            len(extra),
        )
        return fixed + name + extra

    def descriptor(self, number: int, crc: int) -> bytes:
        """Return a member's data descriptor."""
        member = self._members[number]
        return _descriptor(member).pack(DESCRIPTOR_SIGNATURE, crc, member.size, member.size)

    def entry(self, number: int, crc: int) -> bytes:
        """Return a member's entry in the central directory."""
        member, start = self._members[number], self._starts[number]
        name, extra = member.name.encode(), _extra(member, start)
        size = _MAX32 if _is_large(member) else member.size
        version = _VERSION_ZIP64 if extra else _VERSION
        fixed = CENTRAL.pack(
            CENTRAL_SIGNATURE,
            _MADE_BY_UNIX | version,
            version,
            _flags(member),
            STORED,
            _TIME,
            _DATE,
            crc,
            size,
            size,
            len(name),
            len(extra),
            0,
            0,
            0,
            _ATTRIBUTES,
            min(start, _MAX32),
        )
        return fixed + name + extra

    def end(self) -> bytes:
        """Return the end records."""
        count, start = len(self), self._directory
        size = self._end - start
        end64 = b""
        if count >= _MAX16 or size >= _MAX32 or start >= _MAX32:
            end64 = END64.pack(
                END64_SIGNATURE,
                END64.size - 12,
                _MADE_BY_UNIX | _VERSION_ZIP64,
                _VERSION_ZIP64,
                0,
                0,
                count,
                count,
                size,
                start,
            ) + LOCATOR.pack(LOCATOR_SIGNATURE, 0, self._end, 1)
        few = min(count, _MAX16)
        return end64 + END.pack(
            END_SIGNATURE, 0, 0, few, few, min(size, _MAX32), min(start, _MAX32), 0
        )

    def _header_length(self, member: StoredMember) -> int:
        return LOCAL.size + len(member.name.encode()) + (20 if _is_large(member) else 0)


def _is_large(member: StoredMember) -> bool:
    return member.size >= _MAX32


def _flags(member: StoredMember) -> int:
    return FLAG_DESCRIPTOR | (0 if member.name.isascii() else _FLAG_UTF8)


def _descriptor(member: StoredMember) -> struct.Struct:
    return _DESCRIPTOR64 if _is_large(member) else _DESCRIPTOR


def _extra(member: StoredMember, start: int) -> bytes:
    """Return the extra field of a member's entry, for numbers that need eight bytes."""
    large = [member.size, member.size] if _is_large(member) else []
    if start >= _MAX32:
        large.append(start)
    if not large:
        return b""
    return struct.pack(f"<2H{len(large)}Q", _EXTRA_ID, 8 * len(large), *large)
