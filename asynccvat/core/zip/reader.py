"""The reader: turns the bytes of neighbouring members into checked events.

It needs the central directory, which `directory` reads. `local_headers` compares each member's own
header with it, and `members` checks the counts. `archives` fetches the bytes and writes the files.

The reader is in one state at a time:

    HEADER -> [PREFIX ->] STORED | DEFLATED -> [DESCRIPTOR ->] HEADER ... -> END
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterator, Mapping, Sequence

from isal import isal_zlib

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.zip.directory import Directory
from asynccvat.core.zip.local_headers import check_local_header, descriptor_length
from asynccvat.core.zip.members import (
    CurrentMember,
    KeptPrefix,
    MemberData,
    MemberEnd,
    MemberEvent,
    MemberStart,
    broken,
    check_against,
)
from asynccvat.core.zip.records import (
    LOCAL,
    LOCAL_SIGNATURE,
    STORED,
    Buffer,
    ZipEntry,
    local_header_length,
    parse_descriptor,
    parse_local_header,
)
from asynccvat.errors import ArchiveError, IntegrityError, TruncatedArchiveError

LONGEST_CHUNK = 1024 * 1024
"""The most bytes of one `MemberData` of a deflated member."""

# The stub declares an instance where the module has a class.
_InflateError: type[Exception] = isal_zlib.error  # type: ignore[assignment]
# CVAT's text inflates to about 100 KB, which stays in the cache while it is checked and written.
_INPUT_WINDOW = 16 * 1024
# Bytes of extra fields that are requested with a header whose member has a kept prefix.
_EXTRA, _LONGER_EXTRA = 64, 4096

_Step = Generator[MemberEvent, None, bool]


class ReaderState(enum.Enum):
    """What a reader waits for."""

    HEADER = enum.auto()
    PREFIX = enum.auto()
    STORED = enum.auto()
    DEFLATED = enum.auto()
    DESCRIPTOR = enum.auto()
    END = enum.auto()


class ZipReader:
    """Read members as their bytes arrive, in chunks of any size.

    Give every chunk to `feed` and consume all of its events before the next. Call `close` after
    the last one. The first error is final: `feed` and `close` raise it again.
    """

    def __init__(
        self,
        directory: Directory,
        entries: Sequence[ZipEntry],
        limits: ArchiveLimits,
        *,
        prefixes: Mapping[int, KeptPrefix] | None = None,
    ) -> None:
        """Start before neighbouring members of an archive.

        The bytes to feed are those from the first member's header to the end of the last.

        Args:
            directory: The archive's directory.
            entries: Neighbours in `directory.entries`, without gaps.
            limits: The most that they may hold.
            prefixes: The first bytes of stored members that are kept, by the offsets of their
                headers. They come as no event, and need not be fed: see `skip_prefix`.

        Raises:
            ArchiveLimitError: They are beyond the limits.
            ValueError: The entries are not neighbours.
        """
        first = directory.position_of(entries[0]) if entries else 0
        self._directory = directory
        self._index = first
        self._last = first + len(entries)
        run = directory.entries[first : self._last]
        if run != tuple(entries):
            raise ValueError("the entries are not neighbours in the directory")
        for entry in run:
            limits.check_member(entry.name, entry.size, entry.compressed_size)
        limits.check_total(sum(entry.size for entry in run), directory.archive_size)
        self._offset = run[0].header_offset if run else 0
        self._state = self._before_member()
        self._pending = bytearray()  # bytes of a record that came in pieces
        self._rest = memoryview(b"")  # what is left of the chunk being fed
        self._member: CurrentMember | None = None
        self._feeding = False
        self._failure: ArchiveError | None = None
        self._prefixes = prefixes or {}
        self._unneeded = 0  # bytes of a kept prefix that come next
        self._steps = {
            ReaderState.HEADER: self._read_header,
            ReaderState.PREFIX: self._pass_prefix,
            ReaderState.STORED: self._read_stored,
            ReaderState.DEFLATED: self._read_deflated,
            ReaderState.DESCRIPTOR: self._read_descriptor,
            ReaderState.END: self._refuse_more,
        }

    @property
    def position(self) -> int:
        """The offset of the next byte wanted, where a broken range resumes."""
        return self._offset + len(self._pending) + len(self._rest)

    @property
    def pause(self) -> int | None:
        """The offset up to which to request bytes, if those after it may not be needed.

        A kept prefix begins soon after it. None if no member that comes has one.
        """
        for index in range(self._index, self._last):
            entry = self._directory.entries[index]
            if entry.header_offset in self._prefixes and (
                index > self._index or self._state is ReaderState.HEADER
            ):
                # How long the header is shows in it alone.
                short = entry.header_offset + LOCAL.size + len(entry.raw_name) + _EXTRA
                return short if self.position < short else self.position + _LONGER_EXTRA
        return None

    def skip_prefix(self) -> None:
        """Go on after a kept prefix, if one comes next. Call it between two requests."""
        if self._state is ReaderState.PREFIX:
            self._offset += self._unneeded
            self._unneeded = 0
            self._state = ReaderState.STORED

    def feed(self, data: Buffer) -> Iterator[MemberEvent]:
        """Take the next bytes and yield their events.

        A generator that must be consumed whole, before `data` changes.

        Raises:
            IntegrityError: A checksum, a size or a record contradicts the directory.
            UnsafePathError: The name in a member's own header cannot be decoded.
            UnsupportedArchiveError: A member's own header calls it encrypted or of another method.
            RuntimeError: The events of the chunk before were not all consumed.
        """
        self._check_usable()
        self._feeding = True
        self._rest = memoryview(data)
        try:
            while (yield from self._steps[self._state]()):
                pass
        except ArchiveError as error:
            self._failure = error
            raise
        self._rest = memoryview(b"")  # lets go of the chunk
        self._feeding = False

    def close(self) -> None:
        """Make sure that every member was read to its end.

        Raises:
            TruncatedArchiveError: Bytes are missing.
            ArchiveError: As `feed`, if that failed.
            RuntimeError: The events of the last chunk were not all consumed.
        """
        self._check_usable()
        if self._state is not ReaderState.END:
            self._failure = self._truncated()
            raise self._failure

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._feeding:
            raise RuntimeError("the events of the last chunk were not all consumed")

    def _truncated(self) -> TruncatedArchiveError:
        name = None if self._member is None else self._member.entry.name
        within = "between members" if name is None else f"within member {name!r}"
        return TruncatedArchiveError(
            f"the archive ends {within}, at byte {self.position}. Resume there, or fetch it again.",
            member=name,
        )

    # Bytes in

    def _peek(self, length: int) -> Buffer | None:
        """Return the next `length` bytes or more; None until they came."""
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
            raise broken(
                self._entry,
                f"the directory has its header at byte {self._offset}, and there is {signature!r}",
            )
        start = self._peek(LOCAL.size)
        if start is None:
            return False
        length = local_header_length(start)
        if self._offset + length > self._directory.end_of(self._index):
            # Refused before its bytes are waited for.
            raise broken(self._entry, "its header reaches into what follows the member")
        record = self._peek(length)
        if record is None:
            return False
        header = parse_local_header(bytes(record[:length]))
        check_local_header(header, self._entry)
        end = self._directory.end_of(self._index)
        trailing = descriptor_length(header, self._entry, self._offset, end)
        self._drop(length)
        member = CurrentMember(self._entry, trailing)
        self._member = member
        prefix = self._prefixes.get(member.entry.header_offset)
        if prefix is not None:
            member.consumed = member.produced = self._unneeded = prefix.length
            member.actual_crc = prefix.crc
            self._state = ReaderState.PREFIX
        elif member.entry.method == STORED:
            self._state = ReaderState.STORED
        else:
            self._state = ReaderState.DEFLATED
            member.inflater = isal_zlib.decompressobj(wbits=-15)
        yield MemberStart(member.entry)
        return True

    def _pass_prefix(self) -> _Step:
        yield from ()
        passed = min(self._unneeded, len(self._rest))
        self._drop(passed)
        self._unneeded -= passed
        if self._unneeded:
            return False
        self._state = ReaderState.STORED
        return True

    def _read_stored(self) -> _Step:
        member = self._current()
        remaining = member.entry.compressed_size - member.consumed
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
        member = self._current()
        while not member.inflater.eof:
            missing = member.entry.compressed_size - member.consumed
            window = self._rest[: min(missing, _INPUT_WINDOW)]
            if not window:
                if not missing:
                    raise broken(member.entry, "its compressed data is incomplete")
                return False
            yield from self._inflate(member, window)
        return (yield from self._end_data(member))

    def _inflate(self, member: CurrentMember, window: memoryview) -> Iterator[MemberEvent]:
        """Inflate a window, at most to the end of the stream."""
        source: bytes | memoryview = window
        member.consumed += len(window)
        while True:
            try:
                data = member.inflater.decompress(source, LONGEST_CHUNK)
            except _InflateError as error:
                raise broken(member.entry, f"its compressed data is damaged ({error})") from error
            if data:
                self._count(member, data)
                yield MemberData(data)
            source = member.inflater.unconsumed_tail
            if member.inflater.eof or (not source and len(data) < LONGEST_CHUNK):
                break
        unused = len(member.inflater.unused_data)
        member.consumed -= unused
        self._drop(len(window) - unused)

    def _count(self, member: CurrentMember, data: bytes | memoryview) -> None:
        member.actual_crc = isal_zlib.crc32(data, member.actual_crc)
        member.produced += len(data)
        size = member.entry.size
        if member.produced > size:
            raise broken(member.entry, f"it holds more than the {size} bytes it declares")

    def _end_data(self, member: CurrentMember) -> _Step:
        member.inflater = None
        entry = member.entry
        check_against(member, entry.crc, entry.compressed_size, entry.size, "header")
        if member.descriptor_length:
            self._state = ReaderState.DESCRIPTOR
            return True
        yield self._end_member(member)
        return True

    def _read_descriptor(self) -> _Step:
        member = self._current()
        record = self._peek(member.descriptor_length)
        if record is None:
            return False
        descriptor = parse_descriptor(record, member.descriptor_length)
        if descriptor is None:
            raise broken(member.entry, "its data descriptor is missing or damaged")
        self._drop(descriptor.length)
        crc, compressed_size, size, _ = descriptor
        check_against(member, crc, compressed_size, size, "data descriptor")
        yield self._end_member(member)
        return True

    def _end_member(self, member: CurrentMember) -> MemberEnd:
        self._member = None
        self._index += 1
        self._state = self._before_member()
        return MemberEnd(member.entry)

    def _before_member(self) -> ReaderState:
        return ReaderState.HEADER if self._index < self._last else ReaderState.END

    def _refuse_more(self) -> _Step:
        yield from ()
        if self._rest:
            raise IntegrityError(
                f"{len(self._rest)} bytes more came than the members have. Fetch them again.",
            )
        return False

    @property
    def _entry(self) -> ZipEntry:
        """The member that is read, or comes next."""
        return self._directory.entries[self._index]

    def _current(self) -> CurrentMember:
        assert self._member is not None
        return self._member
