"""The reader: an archive's bytes in, checked events of its members out.

It never touches a socket or a file. `ZipReader.span` reads a run of members of a known
directory; `ZipReader.forward` reads a whole archive in order, and settles at the end, with the
very checks of `directory`, that the archive is what was read. Writing files, and deciding which
bytes to fetch, are left to others.

One state at a time, each leading to one or two others:

    HEADER -> STORED | DEFLATED -> [DESCRIPTOR ->] HEADER ... -> END           (span)
                                               ... -> DIRECTORY -> END         (forward)
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from isal import isal_zlib

from asynccvat.core.paths import NameRules, NameSet
from asynccvat.core.zip.directory import (
    END_RECORDS_SIZE,
    Directory,
    TailNeeded,
    make_entry,
    read_directory,
)
from asynccvat.core.zip.limits import ArchiveLimits
from asynccvat.core.zip.records import (
    CENTRAL_SIGNATURE,
    END64_SIGNATURE,
    END_SIGNATURE,
    FLAG_DESCRIPTOR,
    FLAG_UTF8,
    LOCAL,
    LOCAL_SIGNATURE,
    LONGEST_DESCRIPTOR,
    STORED,
    Buffer,
    Descriptor,
    Entry,
    LocalHeader,
    local_header_length,
    parse_descriptor,
    parse_local_header,
    shown,
)
from asynccvat.errors import (
    ArchiveError,
    ArchiveLimitError,
    IntegrityError,
    TruncatedArchiveError,
    UnsupportedArchiveError,
)

UNKNOWN_SIZE = -1
"""Stands for the sizes that a forward reader learns only at a member's end."""

LONGEST_CHUNK = 1024 * 1024
"""The most bytes of one `MemberData` of a deflated member."""

# The stub declares an instance where the module has a class.
_InflateError: type[Exception] = isal_zlib.error  # type: ignore[assignment]
# Small enough that what the inflater hands back unused is cheap to copy.
_INPUT_WINDOW = 64 * 1024
_DESCRIPTOR_LENGTHS = (16, 24, 12, 20)
_AFTER_MEMBERS = (CENTRAL_SIGNATURE, END64_SIGNATURE, END_SIGNATURE)


@dataclass(frozen=True, slots=True)
class MemberStart:
    """A member begins; its header is checked.

    A forward reader may not know its sizes yet: then they are `UNKNOWN_SIZE`, and its CRC 0.
    """

    entry: Entry


@dataclass(frozen=True, slots=True)
class MemberData:
    """The next bytes of the member, in order.

    Those of a stored member are a view into what was fed, valid as long as that is.
    """

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """The member is whole: its CRC and both sizes are as its headers say."""

    entry: Entry


Event = MemberStart | MemberData | MemberEnd
_Step = Generator[Event, None, bool]


class _State(enum.Enum):
    HEADER = enum.auto()
    STORED = enum.auto()
    DEFLATED = enum.auto()
    DESCRIPTOR = enum.auto()
    DIRECTORY = enum.auto()
    END = enum.auto()


@dataclass(slots=True)
class _Member:
    """The member being read: what its headers say (None: not known yet) and what was counted."""

    entry: Entry
    crc: int | None
    compressed_size: int | None
    size: int | None
    # Bytes of its data descriptor: 0 without one, None when only its content will tell.
    descriptor_length: int | None
    inflater: Any = None
    consumed: int = 0
    produced: int = 0
    actual_crc: int = 0


class ZipReader:
    """Reads members as their bytes arrive, in chunks of any size.

    Made by `ZipReader.forward` or `ZipReader.span`. Give every chunk to `feed` and consume all of
    its events before the next; call `close` when there is no more.

    The first error is final: `feed` and `close` raise it again.
    """

    def __init__(self, source: _Forward | _Span, start: int) -> None:
        """Start at an offset; use `forward` or `span` instead."""
        self._source = source
        self._state = source.first_state
        self._offset = start
        self._pending = bytearray()  # bytes of a record that came in pieces
        self._rest = memoryview(b"")  # what is left of the chunk being fed
        self._member: _Member | None = None
        self._failure: ArchiveError | None = None
        self._steps = {
            _State.HEADER: self._read_header,
            _State.STORED: self._read_stored,
            _State.DEFLATED: self._read_deflated,
            _State.DESCRIPTOR: self._read_descriptor,
            _State.DIRECTORY: self._collect_directory,
            _State.END: self._refuse_more,
        }

    @classmethod
    def forward(cls, limits: ArchiveLimits, rules: NameRules) -> ZipReader:
        """Return a reader of a whole archive, from its first byte, whose directory is not known.

        Whether members are links is known only at the end, when `close` returns: keep what was
        written aside until then.

        Args:
            limits: The most that the archive may hold.
            rules: What names the destination can hold.
        """
        return cls(_Forward(limits, rules), 0)

    @classmethod
    def span(
        cls,
        directory: Directory,
        entries: Sequence[Entry],
        limits: ArchiveLimits,
    ) -> ZipReader:
        """Return a reader of neighbouring members of a known directory.

        It is to be fed with the bytes from `entries[0].header_offset` to
        `directory.end_of(entries[-1])`.

        Args:
            directory: The archive's directory.
            entries: A run of `directory.entries`, without gaps.
            limits: The most that they may hold.

        Raises:
            ArchiveLimitError: They are beyond the limits.
            ValueError: `entries` is no such run.
        """
        first = directory.position_of(entries[0]) if entries else 0
        run = directory.entries[first : first + len(entries)]
        if run != tuple(entries):
            raise ValueError("the entries are no run of neighbours in the directory")
        for entry in run:
            limits.check_member(entry.name, entry.size, entry.compressed_size)
        limits.check_total(sum(entry.size for entry in run), directory.archive_size)
        start = run[0].header_offset if run else 0
        return cls(_Span(directory, first, first + len(run)), start)

    @property
    def position(self) -> int:
        """The offset in the archive of the next byte wanted: where a broken range goes on."""
        return self._offset + len(self._pending) + len(self._rest)

    @property
    def finished(self) -> bool:
        """Whether everything was read and checked; a forward reader knows after `close`."""
        return self._state is _State.END and self._failure is None

    def feed(self, data: Buffer) -> Iterator[Event]:
        """Take the next bytes and yield what they make.

        A generator that must be consumed whole, before `data` changes.

        Raises:
            TruncatedArchiveError: The archive ends too early.
            IntegrityError: A checksum, a size or a record contradicts another.
            UnsafePathError: A name is unsafe, or clashes with another (forward only).
            UnsupportedArchiveError: An encrypted, unknown or, forward only, boundless member.
            ArchiveLimitError: The bytes produced are beyond the limits.
        """
        if self._failure is not None:
            raise self._failure
        self._rest = memoryview(data)
        try:
            while (yield from self._steps[self._state]()):
                pass
        except ArchiveError as error:
            self._failure = error
            raise

    def close(self) -> Directory:
        """End the reading and return the archive's directory.

        Raises:
            TruncatedArchiveError: Not everything has come.
            ArchiveError: As `feed`; a forward reader checks the central directory here, with
                all errors of `read_directory`.
        """
        if self._failure is not None:
            raise self._failure
        try:
            directory = self._source.close(self._state, self.position)
            if directory is None:
                raise self._truncated()
        except ArchiveError as error:
            self._failure = error
            raise
        self._state = _State.END
        return directory

    def _truncated(self) -> TruncatedArchiveError:
        name = None
        within = "between members"
        if self._member is not None:
            name = self._member.entry.name
            within = f"within member {name!r}"
        elif self._state is _State.DIRECTORY:
            within = "within its central directory"
        return TruncatedArchiveError(
            f"the archive ends {within}, at byte {self.position}: go on from there, or fetch "
            "it again",
            member=name,
        )

    # Bytes in

    def _peek(self, length: int) -> Buffer | None:
        """Return at least the next `length` bytes, or None until they have come."""
        if not self._pending and len(self._rest) >= length:
            return self._rest
        missing = length - len(self._pending)
        if missing > 0:
            piece = self._rest[:missing]
            self._pending += piece
            self._rest = self._rest[len(piece) :]
        return self._pending if len(self._pending) >= length else None

    def _drop(self, length: int) -> None:
        if self._pending:
            del self._pending[:length]
        else:
            self._rest = self._rest[length:]
        self._offset += length

    # States

    def _read_header(self) -> _Step:
        start = self._peek(4)
        if start is None:
            return False
        signature = bytes(start[:4])
        if signature != LOCAL_SIGNATURE:
            self._state = self._source.after_members(signature, self._offset)
            return True
        start = self._peek(LOCAL.size)
        if start is None:
            return False
        length = local_header_length(start)
        self._source.check_room(self._offset + length)
        record = self._peek(length)
        if record is None:
            return False
        member = self._source.begin(parse_local_header(bytes(record[:length])), self._offset)
        self._drop(length)
        self._member = member
        if member.entry.method == STORED:
            self._state = _State.STORED
        else:
            self._state = _State.DEFLATED
            member.inflater = isal_zlib.decompressobj(wbits=-15)
        yield MemberStart(member.entry)
        return True

    def _read_stored(self) -> _Step:
        member = self._reading()
        assert member.compressed_size is not None
        remaining = member.compressed_size - member.consumed
        if remaining:
            data = self._rest[:remaining]
            if not data:
                return False
            self._drop(len(data))
            member.consumed += len(data)
            self._count(member, data)
            yield MemberData(data)
            if len(data) < remaining:
                return False
        return (yield from self._end_data(member))

    def _read_deflated(self) -> _Step:
        member = self._reading()
        while not member.inflater.eof:
            window = self._rest[:_INPUT_WINDOW]
            if member.compressed_size is not None:
                window = window[: member.compressed_size - member.consumed]
            if not window:
                if member.consumed == member.compressed_size:
                    raise _broken(member.entry, "its compressed data is incomplete")
                return False
            yield from self._inflate(member, window)
        return (yield from self._end_data(member))

    def _inflate(self, member: _Member, window: memoryview) -> Iterator[Event]:
        """Inflate a window whole, but for what follows the end of the deflated stream."""
        source: bytes | memoryview = window
        member.consumed += len(window)
        while True:
            try:
                data = member.inflater.decompress(source, LONGEST_CHUNK)
            except _InflateError as error:
                raise _broken(member.entry, f"its compressed data is damaged ({error})") from error
            if data:
                self._count(member, data)
                yield MemberData(data)
            source = member.inflater.unconsumed_tail
            if member.inflater.eof or (not source and len(data) < LONGEST_CHUNK):
                break
        unused = len(member.inflater.unused_data)
        member.consumed -= unused
        self._drop(len(window) - unused)

    def _count(self, member: _Member, data: bytes | memoryview) -> None:
        member.actual_crc = isal_zlib.crc32(data, member.actual_crc)
        member.produced += len(data)
        if member.size is None:
            assert isinstance(self._source, _Forward)
            self._source.check_growth(member)
        elif member.produced > member.size:
            raise _broken(member.entry, f"it holds more than the {member.size} bytes it declares")

    def _end_data(self, member: _Member) -> _Step:
        member.inflater = None
        _check_against(member, member.crc, member.compressed_size, member.size, "header")
        if member.descriptor_length != 0:
            self._state = _State.DESCRIPTOR
            return True
        yield self._end_member(member)
        return True

    def _read_descriptor(self) -> _Step:
        member = self._reading()
        length = member.descriptor_length
        if length is None:
            # What follows a descriptor tells where it ends; an archive has more bytes than that.
            record = self._peek(LONGEST_DESCRIPTOR + 4)
            if record is None:
                return False
            descriptor = _guess_descriptor(record, member)
        else:
            record = self._peek(length)
            if record is None:
                return False
            descriptor = parse_descriptor(record, length)
        if descriptor is None:
            raise _broken(member.entry, "its data descriptor is missing or damaged")
        self._drop(descriptor.length)
        crc, compressed_size, size, _ = descriptor
        _check_against(member, crc, compressed_size, size, "data descriptor")
        yield self._end_member(member)
        return True

    def _end_member(self, member: _Member) -> MemberEnd:
        entry = member.entry
        if member.descriptor_length is None:
            entry = replace(
                entry,
                crc=member.actual_crc,
                compressed_size=member.consumed,
                size=member.produced,
            )
        self._member = None
        self._state = self._source.end(entry)
        return MemberEnd(entry)

    def _collect_directory(self) -> _Step:
        yield from ()
        assert isinstance(self._source, _Forward)
        self._source.collect(self._pending)
        self._source.collect(self._rest)
        self._offset = self.position
        self._pending.clear()
        self._rest = memoryview(b"")
        return False

    def _refuse_more(self) -> _Step:
        yield from ()
        if self._rest:
            raise IntegrityError(
                f"{len(self._rest)} bytes more came than the members have: fetch them again",
            )
        return False

    def _reading(self) -> _Member:
        assert self._member is not None
        return self._member


class _Forward:
    """What a forward reader knows: what it has read so far."""

    first_state = _State.HEADER

    def __init__(self, limits: ArchiveLimits, rules: NameRules) -> None:
        self._limits = limits
        self._rules = rules
        self._names = NameSet(rules)
        self._entries: list[Entry] = []
        self._total = 0
        self._directory = bytearray()

    def check_room(self, header_end: int) -> None:
        """Nothing is known of where the archive ends."""

    def begin(self, header: LocalHeader, offset: int) -> _Member:
        self._limits.check_members(len(self._entries) + 1)
        entry = make_entry(header, offset, self._limits, self._rules)
        self._names.add(entry.name, entry.is_directory)
        self._limits.check_total(self._total + entry.size, offset + entry.compressed_size)
        if not header.flags & FLAG_DESCRIPTOR:
            return _Member(entry, entry.crc, entry.compressed_size, entry.size, 0)
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
        return _Member(
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

    def check_growth(self, member: _Member) -> None:
        """Judge a member whose size is not declared by what it has produced so far."""
        entry = member.entry
        self._limits.check_member(entry.name, member.produced, member.consumed)
        self._limits.check_total(
            self._total + member.produced,
            entry.header_offset + member.consumed,
        )

    def end(self, entry: Entry) -> _State:
        self._entries.append(entry)
        self._total += entry.size
        return _State.HEADER

    def after_members(self, signature: bytes, offset: int) -> _State:
        if signature in _AFTER_MEMBERS:
            return _State.DIRECTORY
        if offset == 0:
            raise IntegrityError(
                f"this is no zip archive: it starts with {signature!r}; fetch it again",
            )
        raise IntegrityError(
            f"the bytes at {offset} belong to no member and no directory: "
            "the archive is damaged or made to mislead, fetch it again",
        )

    def collect(self, data: bytearray | memoryview) -> None:
        self._directory += data
        if len(self._directory) > self._limits.directory_size + END_RECORDS_SIZE:
            raise ArchiveLimitError(
                f"the central directory has more than {self._limits.directory_size} bytes, the "
                "limit: raise the limit if you trust the archive",
            )

    def close(self, state: _State, position: int) -> Directory | None:
        if state is not _State.DIRECTORY:
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


class _Span:
    """What a span reader knows: the directory."""

    def __init__(self, directory: Directory, first: int, last: int) -> None:
        self._directory = directory
        self._index = first
        self._last = last
        self.first_state = self._state()

    def _state(self) -> _State:
        return _State.HEADER if self._index < self._last else _State.END

    def _end(self) -> int:
        following = self._index + 1
        entries = self._directory.entries
        return (
            entries[following].header_offset if following < len(entries) else self._directory.start
        )

    def check_room(self, header_end: int) -> None:
        """Refuse a header that reaches beyond its member, before it is waited for."""
        if header_end > self._end():
            raise _broken(
                self._directory.entries[self._index],
                "its header reaches into what follows the member",
            )

    def begin(self, header: LocalHeader, offset: int) -> _Member:
        entry = self._directory.entries[self._index]
        _check_local(header, entry)
        trailing = self._end() - offset - header.length - entry.compressed_size
        allowed = _DESCRIPTOR_LENGTHS if header.flags & FLAG_DESCRIPTOR else (0,)
        if trailing not in allowed:
            raise _broken(
                entry,
                f"it leaves {trailing} bytes before what follows it, and should leave "
                f"{' or '.join(map(str, sorted(allowed)))}",
            )
        return _Member(entry, entry.crc, entry.compressed_size, entry.size, trailing)

    def end(self, _entry: Entry) -> _State:
        self._index += 1
        return self._state()

    def after_members(self, signature: bytes, offset: int) -> _State:
        raise _broken(
            self._directory.entries[self._index],
            f"the directory has its header at byte {offset}, and there is {signature!r}",
        )

    def close(self, state: _State, _position: int) -> Directory | None:
        return self._directory if state is _State.END else None


def _check_local(header: LocalHeader, entry: Entry) -> None:
    """Check a local header against the directory's entry.

    With a data descriptor to come, its sizes and CRC may be 0 (4.4.4).
    """
    text = f"{entry.name}/" if entry.is_directory else entry.name
    later = bool(header.flags & FLAG_DESCRIPTOR)
    if (header.raw_name, header.text) != (entry.raw_name, text):
        raise _broken(entry, f"its own header calls it {shown(header.raw_name)}")
    pairs = (
        ("method", header.method, entry.method, False),
        ("UTF-8 flag", header.flags & FLAG_UTF8, entry.flags & FLAG_UTF8, False),
        ("CRC-32", header.crc, entry.crc, later),
        ("compressed size", header.compressed_size, entry.compressed_size, later),
        ("size", header.size, entry.size, later),
    )
    for what, local, central, may_be_zero in pairs:
        if local != central and not (may_be_zero and local == 0):
            raise _broken(
                entry,
                f"its header and the central directory disagree on its {what} ({local} and "
                f"{central})",
            )
    if entry.flags & FLAG_DESCRIPTOR and not later:
        raise _broken(entry, "its header and the directory disagree on its data descriptor")


def _check_same(listed: Entry, read: Entry) -> None:
    """Check an entry of the directory against the member that was read without it."""
    for what in ("header_offset", "raw_name", "name", "method", "crc", "compressed_size", "size"):
        if getattr(listed, what) != getattr(read, what):
            raise _broken(
                read,
                f"the central directory disagrees on its {what.replace('_', ' ')} "
                f"({getattr(read, what)!r} was read, {getattr(listed, what)!r} is listed)",
            )
    if (listed.flags ^ read.flags) & FLAG_UTF8 or listed.flags & ~read.flags & FLAG_DESCRIPTOR:
        raise _broken(read, "the central directory disagrees on its flags")


def _guess_descriptor(record: Buffer, member: _Member) -> Descriptor | None:
    """Find the form of a descriptor: what was counted, then the signature of a record."""
    counted = (member.actual_crc, member.consumed, member.produced)
    for length in _DESCRIPTOR_LENGTHS:
        following = bytes(record[length : length + 4])
        if following == LOCAL_SIGNATURE or following in _AFTER_MEMBERS:
            descriptor = parse_descriptor(record, length)
            if descriptor is not None and descriptor[:3] == counted:
                return descriptor
    return None


def _check_against(
    member: _Member,
    crc: int | None,
    compressed_size: int | None,
    size: int | None,
    where: str,
) -> None:
    """Check what was counted against what a record says."""
    if size is not None and member.produced != size:
        raise _broken(
            member.entry,
            f"it holds {member.produced} bytes, its {where} says {size}",
        )
    if compressed_size is not None and member.consumed != compressed_size:
        raise _broken(
            member.entry,
            f"its compressed data takes {member.consumed} bytes, its {where} says "
            f"{compressed_size}",
        )
    if crc is not None and member.actual_crc != crc:
        raise _broken(
            member.entry,
            f"the CRC-32 of its bytes is {member.actual_crc:#010x}, its {where} says {crc:#010x}",
        )


def _broken(entry: Entry, what: str) -> IntegrityError:
    return IntegrityError(
        f"member {entry.name!r}: {what}: the archive is damaged or made to mislead, fetch it again",
        member=entry.name,
    )
