"""What a reader knows of the archive beside its bytes, and what it holds them against.

A `SpanSource` knows the directory; a `ForwardSource` knows what it has read so far, and meets
the directory at the end. Taking bytes apart is left to `reader`.
"""

from __future__ import annotations

import enum
from dataclasses import replace

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.paths import NameRules, NameSet
from asynccvat.core.zip.directory import (
    Directory,
    check_stored_sizes,
    make_entry,
    read_directory,
)
from asynccvat.core.zip.ends import END_RECORDS_SIZE, TailNeeded
from asynccvat.core.zip.fields import FLAG_UTF8, shown
from asynccvat.core.zip.members import (
    AFTER_MEMBERS,
    DESCRIPTOR_LENGTHS,
    UNKNOWN_SIZE,
    Member,
    broken,
)
from asynccvat.core.zip.records import (
    END_SIGNATURE,
    FLAG_DESCRIPTOR,
    STORED,
    Buffer,
    LocalHeader,
    ZipEntry,
)
from asynccvat.errors import ArchiveLimitError, IntegrityError, UnsupportedArchiveError


class ReaderState(enum.Enum):
    """What a reader waits for; `reader` shows which follows which."""

    HEADER = enum.auto()
    STORED = enum.auto()
    DEFLATED = enum.auto()
    DESCRIPTOR = enum.auto()
    DIRECTORY = enum.auto()
    END = enum.auto()


class ForwardSource:
    """What a forward reader knows: what it has read so far."""

    first_state = ReaderState.HEADER

    def __init__(self, limits: ArchiveLimits, rules: NameRules) -> None:
        self._limits = limits
        self._rules = rules
        self._names = NameSet(rules)
        self._entries: list[ZipEntry] = []
        self._total = 0
        self._directory = bytearray()

    def check_room(self, header_end: int) -> None:
        """Nothing is known of where the archive ends."""

    def begin(self, header: LocalHeader, offset: int) -> Member:
        """Take a local header; return its member, with what is known of it."""
        self._limits.check_members(len(self._entries) + 1)
        entry = make_entry(header, offset, self._limits, self._rules)
        self._names.add(entry.name, entry.is_directory)
        self._limits.check_total(self._total + entry.size, offset + entry.compressed_size)
        if not header.flags & FLAG_DESCRIPTOR:
            return Member(entry, entry.crc, entry.compressed_size, entry.size, 0)
        compressed_size = entry.compressed_size or None
        if entry.method == STORED and compressed_size is None:
            if not entry.is_directory:
                raise UnsupportedArchiveError(
                    f"member {entry.name!r} is stored and its length comes only after it: such an "
                    "archive can be read by its directory, with range requests, and not as a "
                    "stream",
                    member=entry.name,
                )
            compressed_size = 0
        return Member(
            replace(
                entry,
                compressed_size=UNKNOWN_SIZE if compressed_size is None else compressed_size,
                size=entry.size or (0 if entry.is_directory else UNKNOWN_SIZE),
            ),
            entry.crc or None,
            compressed_size,
            entry.size or None,
            None,
        )

    def check_growth(self, member: Member) -> None:
        """Judge a member whose size is not declared by what it has produced so far."""
        entry = member.entry
        self._limits.check_member(entry.name, member.produced, member.consumed)
        self._limits.check_total(
            self._total + member.produced,
            entry.header_offset + member.consumed,
        )

    def end(self, entry: ZipEntry) -> ReaderState:
        """Take a member that is whole; return what follows."""
        self._entries.append(entry)
        self._total += entry.size
        return ReaderState.HEADER

    def after_members(self, signature: bytes, offset: int) -> ReaderState:
        """Take a signature that is no local header's; return what follows."""
        if signature in AFTER_MEMBERS:
            return ReaderState.DIRECTORY
        if offset == 0:
            raise IntegrityError(
                f"this is no zip archive: it starts with {signature!r}; fetch it again",
            )
        raise IntegrityError(
            f"the bytes at {offset} belong to no member and no directory: "
            "the archive is damaged or made to mislead, fetch it again",
        )

    def collect(self, data: Buffer) -> None:
        """Keep what follows the members until `close`."""
        self._directory += data
        if len(self._directory) > self._limits.directory_size + END_RECORDS_SIZE:
            raise ArchiveLimitError(
                f"the central directory has more than {self._limits.directory_size} bytes, the "
                "limit: raise the limit if you trust the archive",
            )

    def close(self, state: ReaderState, position: int) -> Directory | None:
        """Return the directory, equal to what was read, or None when bytes are missing."""
        if state is not ReaderState.DIRECTORY:
            return None
        directory = read_directory(
            self._directory,
            position,
            limits=self._limits,
            rules=self._rules,
        )
        if isinstance(directory, TailNeeded) and END_SIGNATURE not in self._directory:
            return None
        if isinstance(directory, TailNeeded) or directory.start != position - len(self._directory):
            raise IntegrityError(
                "the central directory does not start where the members end: "
                "the archive is damaged or made to mislead, fetch it again",
            )
        if len(directory.entries) != len(self._entries):
            raise IntegrityError(
                f"the archive holds {len(self._entries)} members and its central directory lists "
                f"{len(directory.entries)}: the archive is damaged or made to mislead",
            )
        for listed, read in zip(directory.entries, self._entries, strict=True):
            _check_same(listed, read)
        return directory


class SpanSource:
    """What a span reader knows: the directory."""

    def __init__(self, directory: Directory, first: int, last: int) -> None:
        self._directory = directory
        self._index = first
        self._last = last
        self.first_state = self._state()

    def _state(self) -> ReaderState:
        return ReaderState.HEADER if self._index < self._last else ReaderState.END

    def check_room(self, header_end: int) -> None:
        """Refuse a header that reaches beyond its member, before it is waited for."""
        if header_end > self._directory.end_of(self._index):
            raise broken(
                self._directory.entries[self._index],
                "its header reaches into what follows the member",
            )

    def begin(self, header: LocalHeader, offset: int) -> Member:
        """Take a local header; return its member, its extent checked."""
        entry = self._directory.entries[self._index]
        _check_local(header, entry)
        end = self._directory.end_of(self._index)
        trailing = end - offset - header.length - entry.compressed_size
        allowed = DESCRIPTOR_LENGTHS if header.flags & FLAG_DESCRIPTOR else (0,)
        if trailing not in allowed:
            raise broken(
                entry,
                f"it leaves {trailing} bytes before what follows it, and should leave "
                f"{' or '.join(map(str, sorted(allowed)))}",
            )
        return Member(entry, entry.crc, entry.compressed_size, entry.size, trailing)

    def end(self, _entry: ZipEntry) -> ReaderState:
        """Take a member that is whole; return what follows."""
        self._index += 1
        return self._state()

    def after_members(self, signature: bytes, offset: int) -> ReaderState:
        """Refuse a signature that is no local header's."""
        raise broken(
            self._directory.entries[self._index],
            f"the directory has its header at byte {offset}, and there is {signature!r}",
        )

    def close(self, state: ReaderState, _position: int) -> Directory | None:
        """Return the directory, or None when bytes are missing."""
        return self._directory if state is ReaderState.END else None


def _check_local(header: LocalHeader, entry: ZipEntry) -> None:
    """Check a local header against the directory's entry.

    With a data descriptor to come, its sizes and CRC may be 0 (4.4.4).
    """
    text = f"{entry.name}/" if entry.is_directory else entry.name
    later = bool(header.flags & FLAG_DESCRIPTOR)
    if (header.raw_name, header.text) != (entry.raw_name, text):
        raise broken(entry, f"its own header calls it {shown(header.raw_name)}")
    check_stored_sizes(header, entry.name)
    pairs = (
        ("method", header.method, entry.method, False),
        ("UTF-8 flag", header.flags & FLAG_UTF8, entry.flags & FLAG_UTF8, False),
        ("CRC-32", header.crc, entry.crc, later),
        ("compressed size", header.compressed_size, entry.compressed_size, later),
        ("size", header.size, entry.size, later),
    )
    for what, local, central, may_be_zero in pairs:
        if local != central and not (may_be_zero and local == 0):
            raise broken(
                entry,
                f"its header and the central directory disagree on its {what} ({local} and "
                f"{central})",
            )
    if entry.flags & FLAG_DESCRIPTOR and not later:
        raise broken(entry, "its header and the directory disagree on its data descriptor")


def _check_same(listed: ZipEntry, read: ZipEntry) -> None:
    """Check an entry of the directory against the member that was read without it."""
    for what in ("header_offset", "raw_name", "name", "method", "crc", "compressed_size", "size"):
        if getattr(listed, what) != getattr(read, what):
            raise broken(
                read,
                f"the central directory disagrees on its {what.replace('_', ' ')} "
                f"({getattr(read, what)!r} was read, {getattr(listed, what)!r} is listed)",
            )
    if (listed.flags ^ read.flags) & FLAG_UTF8 or listed.flags & ~read.flags & FLAG_DESCRIPTOR:
        raise broken(read, "the central directory disagrees on its flags")
