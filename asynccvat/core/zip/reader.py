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

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from isal import isal_zlib

from asynccvat.core.archive_limits import ArchiveLimits
from asynccvat.core.paths import NameRules
from asynccvat.core.zip.directory import Directory
from asynccvat.core.zip.members import (
    Member,
    MemberData,
    MemberEnd,
    MemberEvent,
    MemberStart,
    broken,
    check_against,
    guess_descriptor,
)
from asynccvat.core.zip.records import (
    LOCAL,
    LOCAL_SIGNATURE,
    LONGEST_DESCRIPTOR,
    STORED,
    Buffer,
    ZipEntry,
    local_header_length,
    parse_descriptor,
    parse_local_header,
)
from asynccvat.core.zip.sources import ForwardSource, ReaderState, SpanSource
from asynccvat.errors import ArchiveError, IntegrityError, TruncatedArchiveError

LONGEST_CHUNK = 1024 * 1024
"""The most bytes of one `MemberData` of a deflated member."""

# The stub declares an instance where the module has a class.
_InflateError: type[Exception] = isal_zlib.error  # type: ignore[assignment]
# What text of CVAT makes of it, about 100 KB, stays in the cache while it is checked and written.
_INPUT_WINDOW = 16 * 1024

_Step = Generator[MemberEvent, None, bool]


class ZipReader:
    """Reads members as their bytes arrive, in chunks of any size.

    Made by `ZipReader.forward` or `ZipReader.span`. Give every chunk to `feed` and consume all of
    its events before the next; call `close` when there is no more.

    The first error is final: `feed` and `close` raise it again.
    """

    def __init__(self, source: ForwardSource | SpanSource, start: int) -> None:
        """Start at an offset; use `forward` or `span` instead."""
        self._source = source
        self._state = source.first_state
        self._offset = start
        self._pending = bytearray()  # bytes of a record that came in pieces
        self._rest = memoryview(b"")  # what is left of the chunk being fed
        self._member: Member | None = None
        self._feeding = False
        self._failure: ArchiveError | None = None
        self._steps = {
            ReaderState.HEADER: self._read_header,
            ReaderState.STORED: self._read_stored,
            ReaderState.DEFLATED: self._read_deflated,
            ReaderState.DESCRIPTOR: self._read_descriptor,
            ReaderState.DIRECTORY: self._collect_directory,
            ReaderState.END: self._refuse_more,
        }

    @classmethod
    def forward(cls, limits: ArchiveLimits, rules: NameRules) -> ZipReader:
        """Return a reader of a whole archive, from its first byte, whose directory is not known.

        Whether members are links is known only at the end, when `close` returns: keep what was
        written aside until then. The ratio of the whole is judged by what has been read so far.

        Args:
            limits: The most that the archive may hold.
            rules: What names the destination can hold.
        """
        return cls(ForwardSource(limits, rules), 0)

    @classmethod
    def span(
        cls,
        directory: Directory,
        entries: Sequence[ZipEntry],
        limits: ArchiveLimits,
    ) -> ZipReader:
        """Return a reader of neighbouring members of a known directory.

        It is to be fed with the bytes from the first one's header to the end of the last.

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
        return cls(SpanSource(directory, first, first + len(run)), start)

    @property
    def position(self) -> int:
        """The offset in the archive of the next byte wanted: where a broken range goes on."""
        return self._offset + len(self._pending) + len(self._rest)

    def feed(self, data: Buffer) -> Iterator[MemberEvent]:
        """Take the next bytes and yield what they make.

        A generator that must be consumed whole, before `data` changes.

        Raises:
            IntegrityError: A checksum, a size or a record contradicts another.
            UnsafePathError: A name is unsafe, or clashes with another (forward only).
            UnsupportedArchiveError: An encrypted, unknown or, forward only, boundless member.
            ArchiveLimitError: The bytes produced are beyond the limits.
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

    def close(self) -> Directory:
        """End the reading and return the archive's directory.

        Raises:
            TruncatedArchiveError: Not everything has come.
            ArchiveError: As `feed`; a forward reader checks the central directory here, with
                all errors of `read_directory`.
            RuntimeError: The events of the last chunk were not all consumed.
        """
        self._check_usable()
        try:
            directory = self._source.close(self._state, self.position)
            if directory is None:
                raise self._truncated()
        except ArchiveError as error:
            self._failure = error
            raise
        self._state = ReaderState.END
        return directory

    def _check_usable(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._feeding:
            raise RuntimeError("the events of the last chunk were not all consumed")

    def _truncated(self) -> TruncatedArchiveError:
        name = None
        within = "between members"
        if self._member is not None:
            name = self._member.entry.name
            within = f"within member {name!r}"
        elif self._state is ReaderState.DIRECTORY:
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
            self._state = ReaderState.STORED
        else:
            self._state = ReaderState.DEFLATED
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
                    raise broken(member.entry, "its compressed data is incomplete")
                return False
            yield from self._inflate(member, window)
        return (yield from self._end_data(member))

    def _inflate(self, member: Member, window: memoryview) -> Iterator[MemberEvent]:
        """Inflate a window whole, but for what follows the end of the deflated stream."""
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

    def _count(self, member: Member, data: bytes | memoryview) -> None:
        member.actual_crc = isal_zlib.crc32(data, member.actual_crc)
        member.produced += len(data)
        if member.size is None:
            assert isinstance(self._source, ForwardSource)
            self._source.check_growth(member)
        elif member.produced > member.size:
            raise broken(member.entry, f"it holds more than the {member.size} bytes it declares")

    def _end_data(self, member: Member) -> _Step:
        member.inflater = None
        check_against(member, member.crc, member.compressed_size, member.size, "header")
        if member.descriptor_length != 0:
            self._state = ReaderState.DESCRIPTOR
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
            descriptor = guess_descriptor(record, member)
        else:
            record = self._peek(length)
            if record is None:
                return False
            descriptor = parse_descriptor(record, length)
        if descriptor is None:
            raise broken(member.entry, "its data descriptor is missing or damaged")
        self._drop(descriptor.length)
        crc, compressed_size, size, _ = descriptor
        check_against(member, crc, compressed_size, size, "data descriptor")
        yield self._end_member(member)
        return True

    def _end_member(self, member: Member) -> MemberEnd:
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
        assert isinstance(self._source, ForwardSource)
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

    def _reading(self) -> Member:
        assert self._member is not None
        return self._member
