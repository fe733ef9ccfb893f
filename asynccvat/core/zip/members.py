"""One member while it is read: its events, what was counted, and whether that agrees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asynccvat.core.zip.records import (
    CENTRAL_SIGNATURE,
    END64_SIGNATURE,
    END_SIGNATURE,
    LOCAL_SIGNATURE,
    Buffer,
    Descriptor,
    ZipEntry,
    parse_descriptor,
)
from asynccvat.errors import IntegrityError

UNKNOWN_SIZE = -1
"""Stands for the sizes that a forward reader learns only at a member's end."""

DESCRIPTOR_LENGTHS = (16, 24, 12, 20)
"""Bytes that a data descriptor may have, the usual form first."""

AFTER_MEMBERS = (CENTRAL_SIGNATURE, END64_SIGNATURE, END_SIGNATURE)
"""What may follow the last member."""


@dataclass(frozen=True, slots=True)
class MemberStart:
    """A member begins; its header is checked.

    A forward reader may not know its sizes yet: then they are `UNKNOWN_SIZE`, and its CRC 0.
    """

    entry: ZipEntry


@dataclass(frozen=True, slots=True)
class MemberData:
    """The next bytes of the member, in order.

    Those of a stored member are a view into what was fed, valid as long as that is.
    """

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """The member is whole: its CRC and both sizes are as its headers say."""

    entry: ZipEntry


MemberEvent = MemberStart | MemberData | MemberEnd


@dataclass(slots=True)
class Member:
    """The member being read: what its headers say (None: not known yet) and what was counted."""

    entry: ZipEntry
    crc: int | None
    compressed_size: int | None
    size: int | None
    # Bytes of its data descriptor: 0 without one, None when only its content will tell.
    descriptor_length: int | None
    inflater: Any = None
    consumed: int = 0
    produced: int = 0
    actual_crc: int = 0


def guess_descriptor(record: Buffer, member: Member) -> Descriptor | None:
    """Find the form of a descriptor: what was counted, then the signature of a record."""
    counted = (member.actual_crc, member.consumed, member.produced)
    for length in DESCRIPTOR_LENGTHS:
        following = bytes(record[length : length + 4])
        if following == LOCAL_SIGNATURE or following in AFTER_MEMBERS:
            descriptor = parse_descriptor(record, length)
            if descriptor is not None and descriptor[:3] == counted:
                return descriptor
    return None


def check_against(
    member: Member,
    crc: int | None,
    compressed_size: int | None,
    size: int | None,
    where: str,
) -> None:
    """Check what was counted against what a record says."""
    if size is not None and member.produced != size:
        raise broken(
            member.entry,
            f"it holds {member.produced} bytes, its {where} says {size}",
        )
    if compressed_size is not None and member.consumed != compressed_size:
        raise broken(
            member.entry,
            f"its compressed data takes {member.consumed} bytes, its {where} says "
            f"{compressed_size}",
        )
    if crc is not None and member.actual_crc != crc:
        raise broken(
            member.entry,
            f"the CRC-32 of its bytes is {member.actual_crc:#010x}, its {where} says {crc:#010x}",
        )


def broken(entry: ZipEntry, what: str) -> IntegrityError:
    """Return the error for a member that contradicts itself or what is known of it."""
    return IntegrityError(
        f"member {entry.name!r}: {what}: the archive is damaged or made to mislead, fetch it again",
        member=entry.name,
    )
