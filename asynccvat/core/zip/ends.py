"""Find the end records, which say where the central directory is.

An archive is refused if readers that search in different ways would find different records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.zip.fields import MASK16, MASK32
from asynccvat.core.zip.records import (
    CENTRAL,
    END,
    END64,
    END64_SIGNATURE,
    END_SIGNATURE,
    LOCATOR,
    LOCATOR_SIGNATURE,
    LONGEST_COMMENT,
)
from asynccvat.errors import (
    ArchiveLimitError,
    IntegrityError,
    TruncatedArchiveError,
    UnsupportedArchiveError,
)


@dataclass(frozen=True, slots=True)
class TailNeeded:
    """The directory is longer than the bytes given.

    Attributes:
        length: How many of the archive's last bytes are needed.
    """

    length: int


class EndRecords(NamedTuple):
    """What the end records say of the central directory.

    Attributes:
        members: How many members it lists.
        size: Its bytes.
        offset: Where it starts.
        position: Where the end records start.
    """

    members: int
    size: int
    offset: int
    position: int


def find_end(tail: bytes, archive_size: int) -> EndRecords | TailNeeded:
    """Find and check the end records in an archive's last bytes.

    Raises:
        TruncatedArchiveError: There is no end record, or not all of it.
        IntegrityError: The records contradict each other, or bytes follow them.
        UnsupportedArchiveError: The archive has several parts, or extensible data.
    """
    tail_start = archive_size - len(tail)
    at = len(tail) - END.size
    if not (at >= 0 and tail.startswith(END_SIGNATURE, at) and tail.endswith(b"\0\0")):
        # There is a comment, or something is wrong. The last signature counts. Readers that search
        # from the other side find the same one, since a comment with a signature is refused.
        at = tail.rfind(END_SIGNATURE, -(END.size + LONGEST_COMMENT))
        longest = min(archive_size, END.size + LONGEST_COMMENT)
        if at < 0:
            if len(tail) < longest:
                return TailNeeded(longest)
            raise TruncatedArchiveError(
                "no end of a central directory: the archive was cut off, or is no zip archive. "
                "Fetch it again.",
            )
    if len(tail) - at < END.size:
        raise _cut_off()
    _, disk, directory_disk, disk_count, count, size, offset, comment = END.unpack_from(tail, at)
    trailing = len(tail) - at - END.size - comment
    if trailing < 0:
        raise _cut_off()
    if trailing > 0:
        raise IntegrityError(
            f"{trailing} bytes follow the end of the archive, or its comment holds the end of "
            "another. Fetch it again.",
        )
    narrow = (disk, directory_disk, disk_count, count, size, offset)
    if at < LOCATOR.size and tail_start > 0:
        return TailNeeded(min(archive_size, len(tail) - at + LOCATOR.size + END64.size))
    locator = at - LOCATOR.size
    if locator >= 0 and tail.startswith(LOCATOR_SIGNATURE, locator):
        return _find_end64(tail, tail_start, locator, narrow)
    _check_disks(disk, directory_disk, disk_count, count)
    return EndRecords(count, size, offset, tail_start + at)


def _find_end64(
    tail: bytes,
    tail_start: int,
    locator: int,
    narrow: tuple[int, ...],
) -> EndRecords | TailNeeded:
    at = locator - END64.size
    if at < 0 and tail_start > 0:
        return TailNeeded(len(tail) - at)
    _, end64_disk, position, disks = LOCATOR.unpack_from(tail, locator)
    if position < tail_start + at:
        raise UnsupportedArchiveError(
            "the zip64 end record of the archive does not end at its locator, or holds extensible "
            "data: such archives are not read",
        )
    if position != tail_start + at or end64_disk != 0 or disks != 1:
        raise _broken_end64()
    signature, length, _, _, *wide = END64.unpack_from(tail, at)
    if signature != END64_SIGNATURE or length + 12 != END64.size:
        raise _broken_end64()
    masks = (MASK16, MASK16, MASK16, MASK16, MASK32, MASK32)
    for short, mask, full in zip(narrow, masks, wide, strict=True):
        if short not in (mask, full):
            raise IntegrityError(
                "the two end records of the archive contradict each other. Fetch it again.",
            )
    disk, directory_disk, disk_count, count, size, offset = wide
    _check_disks(disk, directory_disk, disk_count, count)
    return EndRecords(count, size, offset, tail_start + at)


def _check_disks(disk: int, directory_disk: int, disk_count: int, count: int) -> None:
    if disk or directory_disk or disk_count != count:
        raise UnsupportedArchiveError("the archive has several parts: such archives are not read")


def _cut_off() -> TruncatedArchiveError:
    return TruncatedArchiveError("the archive ends within its end record. Fetch it again.")


def _broken_end64() -> IntegrityError:
    return IntegrityError(
        "the zip64 end record is not where it should be, or contradicts itself. "
        "The archive is damaged: fetch it again.",
    )


def check_end(end: EndRecords, limits: ArchiveLimits) -> None:
    """Check the directory's size, and where it ends.

    Raises:
        IntegrityError: It ends elsewhere, or is too short for its members.
        ArchiveLimitError: It has too many members or bytes.
    """
    limits.check_members(end.members)
    if end.size > limits.directory_size:
        raise ArchiveLimitError(
            f"the central directory has {end.size} bytes, the limit is {limits.directory_size}. "
            "Raise --max-directory-size if you trust the archive.",
        )
    if end.offset + end.size != end.position:
        raise IntegrityError(
            f"the central directory should end at byte {end.offset + end.size}, where its end "
            f"record starts at {end.position}: bytes were added before or within the archive, or "
            "are missing. Fetch it again.",
        )
    if end.members * CENTRAL.size > end.size:
        raise IntegrityError(
            f"the central directory is too short for its {end.members} members. "
            "The archive is damaged: fetch it again.",
        )
