"""One member while it is read: its events, counts and checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asynccvat.core.zip.records import ZipEntry
from asynccvat.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class MemberStart:
    """A member begins, and its header is checked."""

    entry: ZipEntry


@dataclass(frozen=True, slots=True)
class MemberData:
    """The next bytes of the member.

    Those of a stored member are a view into the chunk that was fed, and valid as long as that is.
    """

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """The member is complete, with the CRC and sizes of its headers."""

    entry: ZipEntry


@dataclass(frozen=True, slots=True)
class KeptPrefix:
    """The first bytes of a stored member, which an earlier read has kept.

    Attributes:
        length: How many they are, less than the member has.
        crc: Their CRC-32.
    """

    length: int
    crc: int


MemberEvent = MemberStart | MemberData | MemberEnd


@dataclass(slots=True)
class CurrentMember:
    """The member being read, and what was counted of it.

    Attributes:
        entry: The directory's entry.
        descriptor_length: Bytes of its data descriptor, 0 without one.
        inflater: What inflates its data, None if it is stored.
        consumed: Bytes of its data in the archive so far.
        produced: Bytes that these made.
        actual_crc: CRC-32 of the bytes that were made.
    """

    entry: ZipEntry
    descriptor_length: int
    inflater: Any = None
    consumed: int = 0
    produced: int = 0
    actual_crc: int = 0


def check_against(
    member: CurrentMember,
    crc: int,
    compressed_size: int,
    size: int,
    where: str,
) -> None:
    """Check the counts of a member against those of a record."""
    if member.produced != size:
        raise broken(
            member.entry,
            f"it holds {member.produced} bytes, its {where} says {size}",
        )
    if member.consumed != compressed_size:
        raise broken(
            member.entry,
            f"its compressed data takes {member.consumed} bytes, its {where} says "
            f"{compressed_size}",
        )
    if member.actual_crc != crc:
        raise broken(
            member.entry,
            f"the CRC-32 of its bytes is {member.actual_crc:#010x}, its {where} says {crc:#010x}",
        )


def broken(entry: ZipEntry, what: str) -> IntegrityError:
    """Return the error for a member that contradicts itself or the directory."""
    return IntegrityError(
        f"member {entry.name!r}: {what}. The archive is damaged or made to mislead: fetch it "
        "again.",
        member=entry.name,
    )
