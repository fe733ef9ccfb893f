"""Read and check the central directory, from an archive's last bytes.

All checks that need no members are made here. There are no bytes before, between or after the
archive's records. The members' names are safe and do not clash. Nothing is beyond the limits.
`reader` checks local headers, data, and where each member ends.
"""

from __future__ import annotations

import hashlib
import stat
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from asynccvat.core import name_mapping
from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.paths import NameRules, NameSet, safe_member_path
from asynccvat.core.zip.ends import TailNeeded, check_end, find_end
from asynccvat.core.zip.records import (
    LOCAL,
    LONGEST_DESCRIPTOR,
    LONGEST_EXTRA,
    STORED,
    Buffer,
    CentralHeader,
    LocalHeader,
    ZipEntry,
    parse_central_header,
)
from asynccvat.errors import IntegrityError, UnsafePathError, UnsupportedArchiveError

_DOS_DIRECTORY = 0x10


@dataclass(frozen=True, eq=False)
class Directory:
    """The members of an archive, by its central directory.

    Two directories are equal if their members have equal names, sizes, CRCs and offsets.

    Attributes:
        entries: The members, by their offsets in the archive.
        start: Where the central directory starts, and the last member ends.
        archive_size: Bytes of the archive.
        total_size: Bytes of all members.
    """

    entries: tuple[ZipEntry, ...]
    start: int
    archive_size: int
    total_size: int

    @cached_property
    def digest(self) -> str:
        """SHA-256, as hex digits, over names, sizes, CRCs and methods.

        It does not depend on the members' order or offsets: equal content, equal digest.
        """
        return _digest(
            (e.original, e.is_directory, e.method, e.crc, e.size, e.compressed_size)
            for e in self.entries
        )

    @cached_property
    def _offsets(self) -> list[int]:
        return [entry.header_offset for entry in self.entries]

    def position_of(self, entry: ZipEntry) -> int:
        """Return the index of a member in `entries`.

        Raises:
            ValueError: The entry is not of this directory.
        """
        index = bisect_right(self._offsets, entry.header_offset) - 1
        if index < 0 or self.entries[index] != entry:
            raise ValueError(f"{entry.name!r} is no member of this directory")
        return index

    def end_of(self, index: int) -> int:
        """Return the offset at which a member ends, by its index.

        A data descriptor belongs to the member.
        """
        following = index + 1
        if following == len(self.entries):
            return self.start
        return self.entries[following].header_offset

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Directory):
            return NotImplemented
        return (
            self.start == other.start
            and self.archive_size == other.archive_size
            and list(map(_identity, self.entries)) == list(map(_identity, other.entries))
        )

    def __hash__(self) -> int:
        return hash((self.start, self.archive_size, len(self.entries)))


def stored_digest(members: Iterable[tuple[str, int, int]]) -> str:
    """Return the digest of an archive with these members, stored.

    CVAT writes them so.

    Args:
        members: Name, CRC and size of each.
    """
    return _digest((name, False, STORED, crc, size, size) for name, crc, size in members)


def _digest(members: Iterable[tuple[str, bool, int, int, int, int]]) -> str:
    lines = sorted(
        f"{name}\0{is_directory:d} {method} {crc} {size} {compressed_size}\n"
        for name, is_directory, method, crc, size, compressed_size in members
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


_identity = attrgetter(
    "name",
    "is_directory",
    "method",
    "crc",
    "compressed_size",
    "size",
    "header_offset",
)


def read_directory(
    tail: Buffer,
    archive_size: int,
    *,
    limits: ArchiveLimits,
    rules: NameRules,
    map_names: bool = False,
) -> Directory | TailNeeded:
    """Read and check the central directory, from an archive's last bytes.

    Args:
        tail: The archive's last `len(tail)` bytes.
        archive_size: Bytes of the whole archive.
        limits: The most that the archive may hold.
        rules: What names the destination can hold.
        map_names: Whether names that it cannot hold are mapped to safe ones, instead of refused.

    Returns:
        The directory, or how many of the last bytes are needed to read it.

    Raises:
        TruncatedArchiveError: The archive is cut off.
        IntegrityError: The records contradict each other, members overlap, or some bytes belong to
            no record.
        UnsafePathError: A name is unsafe, or clashes with another, and is not mapped.
        UnsupportedArchiveError: A link, a device, an encrypted or unknown member.
        ArchiveLimitError: The archive is beyond the limits.
    """
    if len(tail) > archive_size:
        raise IntegrityError(
            f"{len(tail)} bytes came of an archive of {archive_size}. Fetch it again.",
        )
    tail = bytes(tail)
    end = find_end(tail, archive_size)
    if isinstance(end, TailNeeded):
        return end
    check_end(end, limits)
    tail_start = archive_size - len(tail)
    if end.offset < tail_start:
        return TailNeeded(archive_size - end.offset)
    data = memoryview(tail)[end.offset - tail_start : end.position - tail_start]
    try:
        entries = _read_entries(data, end.members, limits, rules)
    except UnsafePathError:
        if not map_names:
            raise
        mapped = name_mapping.map_names(_names(data, end.members, limits), rules)
        entries = _read_entries(data, end.members, limits, rules, mapped)
    total_size = sum(entry.size for entry in entries)
    limits.check_total(total_size, archive_size)
    entries.sort(key=attrgetter("header_offset"))
    _check_extents(entries, end.offset)
    return Directory(tuple(entries), end.offset, archive_size, total_size)


def _read_entries(
    data: memoryview,
    count: int,
    limits: ArchiveLimits,
    rules: NameRules,
    mapped: Mapping[str, str] | None = None,
) -> list[ZipEntry]:
    """Read the members. `mapped` has a path for each name if names are mapped."""
    names = NameSet(rules)
    entries = []
    position = 0
    for _ in range(count):
        header = parse_central_header(data, position)
        position += header.length
        entry = _make_entry(header, limits, rules, mapped)
        _check_attributes(entry, header.attributes)
        names.add(entry.name, entry.is_directory)
        entries.append(entry)
    if position != len(data):
        raise IntegrityError(
            f"the central directory has {len(data) - position} bytes after its {count} members. "
            "The archive is damaged or made to mislead: fetch it again.",
        )
    return entries


def _names(data: memoryview, count: int, limits: ArchiveLimits) -> Iterator[str]:
    """Yield the names of all members, those of directories with a slash."""
    position = 0
    for _ in range(count):
        header = parse_central_header(data, position)
        position += header.length
        limits.check_path(header.text)
        yield header.text


def _make_entry(
    header: CentralHeader,
    limits: ArchiveLimits,
    rules: NameRules,
    mapped: Mapping[str, str] | None,
) -> ZipEntry:
    """Check a header's name and sizes, and return its entry."""
    original = header.text.removesuffix("/")
    path = header.text if mapped is None else mapped[header.text]
    name = safe_member_path(path, rules)
    limits.check_path(original)
    limits.check_member(name, header.size, header.compressed_size)
    is_directory = header.text.endswith("/")
    if is_directory and (header.size or header.crc):
        raise IntegrityError(
            f"member {name!r} is a directory and claims to hold bytes. "
            "The archive is damaged or made to mislead: fetch it again.",
            member=name,
        )
    check_stored_sizes(header, name)
    return ZipEntry(
        name,
        header.raw_name,
        is_directory,
        header.method,
        header.flags,
        header.crc,
        header.compressed_size,
        header.size,
        header.header_offset,
        None if name == original else original,
    )


def check_stored_sizes(header: CentralHeader | LocalHeader, name: str) -> None:
    """Check that the two sizes of a stored member are equal.

    Raises:
        IntegrityError: They differ.
    """
    if header.method == STORED and header.compressed_size != header.size:
        raise IntegrityError(
            f"member {name!r} is stored, and its two sizes differ ({header.compressed_size} and "
            f"{header.size} bytes). The archive is damaged or made to mislead: fetch it again.",
            member=name,
        )


def _check_attributes(entry: ZipEntry, attributes: int) -> None:
    """Refuse links and devices, and attributes that contradict the name.

    The upper half holds the Unix mode, whichever system the archive names as its writer.
    """
    kind = stat.S_IFMT(attributes >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "symbolic link" if kind == stat.S_IFLNK else "device, pipe or socket"
        raise UnsupportedArchiveError(
            f"member {entry.name!r} is a {what}: only files and directories are written",
            member=entry.name,
        )
    claims_directory = kind == stat.S_IFDIR or bool(attributes & _DOS_DIRECTORY)
    claims_file = kind == stat.S_IFREG
    if claims_file if entry.is_directory else claims_directory:
        raise IntegrityError(
            f"member {entry.name!r}: its name and its attributes disagree whether it is a "
            "directory. The archive is damaged or made to mislead: fetch it again.",
            member=entry.name,
        )


def _check_extents(entries: Sequence[ZipEntry], directory_start: int) -> None:
    """Check that members follow each other, by the central directory.

    A local header may have up to `LONGEST_EXTRA` bytes that the directory does not show. The reader
    checks the exact extent when it has the header.
    """
    end = latest = 0
    for entry in entries:
        _check_gap(entry.header_offset, end, latest, entry.name)
        end = entry.header_offset + LOCAL.size + len(entry.raw_name) + entry.compressed_size
        latest = end + LONGEST_EXTRA + LONGEST_DESCRIPTOR
    _check_gap(directory_start, end, latest, None)


def _check_gap(start: int, end: int, latest: int, name: str | None) -> None:
    what = "the central directory" if name is None else f"member {name!r}"
    if start < end:
        raise IntegrityError(
            f"{what} starts at byte {start}, within the member before it. "
            "The archive is damaged or made to mislead: fetch it again.",
            member=name,
        )
    if start > latest:
        raise IntegrityError(
            f"{what} starts at byte {start}, after bytes that belong to nothing. "
            "The archive is damaged or made to mislead: fetch it again.",
            member=name,
        )
