"""Extract one archive into its tree, span by span.

Synchronous, for worker threads. `session` fetches the bytes, `extractor` writes the members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from asynccvat.archives import reuse
from asynccvat.archives.backoff import Backoff
from asynccvat.archives.extractor import Extractor, StagedFiles
from asynccvat.archives.options import ReadOptions
from asynccvat.archives.parts import MemberParts
from asynccvat.archives.remote import RemoteArchive
from asynccvat.core.wire.ranges import ByteSpan, RangeOptions, plan_spans, skipped_members
from asynccvat.core.zip import Directory, KeptPrefix, ZipReader
from asynccvat.fs import disk_errors
from asynccvat.store import Staging


@dataclass(slots=True)
class SpanRead:
    """A span being read. It resumes where its reader stands.

    Attributes:
        span: The members, and where their bytes are.
        extractor: What writes them.
        backoff: The waits before its connection is made again.
        finished: Whether all of them are written.
    """

    span: ByteSpan
    extractor: Extractor
    backoff: Backoff
    finished: bool = False

    @property
    def position(self) -> int:
        """Offset in the archive of the next byte wanted."""
        return self.extractor.reader.position

    def finish(self) -> None:
        """End the reading.

        Raises:
            ArchiveError: Bytes are missing.
        """
        self.extractor.finish()
        self.finished = True

    def finish_from(self, archive: RemoteArchive) -> None:
        """Read the bytes that the archive's tail holds, and end the reading."""
        if self.position < self.span.stop:
            self.extractor.feed([archive.between(self.position, self.span.stop)])
        self.finish()


class Extraction:
    """The tree of one archive while its members are written.

    Attributes:
        spans: The spans that are being read, finished ones included.
        directory: The archive's directory, None before it is known.
        prefixes: What is kept of large members that are being read, by their offsets.
    """

    def __init__(
        self,
        staging: Staging,
        staged: StagedFiles,
        options: ReadOptions,
    ) -> None:
        """Begin without a directory.

        Args:
            staging: The tree.
            staged: The files that are in it.
            options: How archives are read.
        """
        self.spans: list[SpanRead] = []
        self.directory: Directory | None = None
        self.prefixes: Mapping[int, KeptPrefix] = {}
        self._staging = staging
        self._staged = staged
        self._options = options
        self._tree = ExitStack()

    def continues(self, member: str | None) -> bool:
        """Whether a member is being read that an earlier read began."""
        return self.directory is not None and any(
            entry.name == member and entry.header_offset in self.prefixes
            for entry in self.directory.entries
        )

    @property
    def is_open(self) -> bool:
        """Whether the tree is open."""
        return self._staged.root >= 0

    def open(self) -> None:
        """Open the tree, unless it is open."""
        if not self.is_open:
            self._staged.root = self._tree.enter_context(self._staging.open_tree())

    def close(self) -> None:
        """Remove unfinished members and close the tree, if it is open."""
        if not self.is_open:
            return
        try:
            self.abandon()
        finally:
            self._staged.root = -1
            self._tree.close()

    def begin(self, directory: Directory) -> None:
        """Begin with an archive: keep of the tree what its directory holds."""
        self.abandon()
        self.directory = directory
        self.open()
        self._staged.reconcile(directory)

    def abandon(self) -> None:
        """Forget the spans. Their whole members stay, unfinished ones are removed."""
        spans, self.spans, self.directory = self.spans, [], None
        with ExitStack() as stack:
            for span in spans:
                stack.callback(span.extractor.abandon)

    def require_room(self, directory: Directory, *, here: int = 0, copied: int = 0) -> None:
        """Check that there is room for members that are not staged.

        Args:
            directory: The archive's directory.
            here: Bytes of members that are here already: linked, or kept as parts.
            copied: Bytes that something else will need.

        Raises:
            DiskFullError: There is not.
        """
        missing = sum(e.size for e in directory.entries if not self._staged.holds(e))
        self._staged.require(missing - here + copied)

    def plan(
        self,
        directory: Directory,
        tail_start: int,
        ranges: RangeOptions,
        new_backoff: Callable[[], Backoff],
        *,
        every_byte: bool = False,
        keeps_parts: bool = False,
    ) -> None:
        """Divide what is not staged into spans.

        Args:
            directory: The archive's directory.
            tail_start: From this offset on the bytes are in memory.
            ranges: How to divide.
            new_backoff: Makes the backoff of a span.
            every_byte: Whether to read members that are staged already, too.
            keeps_parts: Whether to go on within large members, and to keep what comes of them.
        """
        entries = directory.entries
        wanted = [
            every_byte or entry.is_directory or not self._staged.holds(entry) for entry in entries
        ]
        parts = None
        self.prefixes = {}
        if keeps_parts:
            to_read = (
                entry
                for entry, want in zip(entries, wanted, strict=True)
                if want and entry.header_offset < tail_start
            )
            with disk_errors.explained(
                "read the kept parts in", self._staging.tree, task_id=self._staging.task_id
            ):
                parts = MemberParts(self._staging, to_read)
            self.prefixes = parts.prefixes
        for span in plan_spans(directory, wanted, tail_start, ranges):
            reader = ZipReader(
                directory,
                entries[span.first : span.last],
                self._options.limits,
                prefixes=self.prefixes,
            )
            extractor = Extractor(reader, self._staged, parts)
            self.spans.append(SpanRead(span, extractor, new_backoff()))

    def reusable_members(self, directory: Directory, tail_start: int) -> list[reuse.ReusableMember]:
        """Find members that are probably on disk, and not worth fetching."""
        entries = directory.entries
        reusable = self._staging.reusable
        held = [self._staged.holds(entry) for entry in entries]
        found = [
            None
            if here or e.is_directory
            else reuse.find_reusable(e.name, e.size, e.crc, reusable, mapped_from=e.mapped_from)
            for e, here in zip(entries, held, strict=True)
        ]
        wanted = [not here and one is None for here, one in zip(held, found, strict=True)]
        skipped = skipped_members(directory, wanted, tail_start, self._options.ranges)
        return [one for one, skip in zip(found, skipped, strict=True) if skip and one is not None]

    def reuse_members(self, batch: list[reuse.ReusableMember]) -> int:
        """Reuse the members of a batch that prove right; return their bytes."""
        return reuse.reuse_members(batch, self._staging, self._staged)
