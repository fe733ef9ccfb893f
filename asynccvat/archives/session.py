"""Read one archive into one tree, and retry what fails.

The archive's end comes first, and with it the directory. Members that are on disk already are
reused. The others are fetched in spans, several at once, and written by worker threads as they
come: only a few batches are held in memory. A server without ranges sends the whole archive, which
goes through a `spool`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from asynccvat.aio.task_groups import run_limited
from asynccvat.aio.threads import entered_in_thread, in_thread
from asynccvat.archives import reuse
from asynccvat.archives.attempts import new_backoff, until_whole
from asynccvat.archives.backoff import Backoff
from asynccvat.archives.extraction import Extraction, SpanRead
from asynccvat.archives.extractor import StagedFiles
from asynccvat.archives.kept_copy import ArchiveCopy
from asynccvat.archives.options import ReadOptions
from asynccvat.archives.progress import TransferEvents
from asynccvat.archives.receiving import receive
from asynccvat.archives.remote import ArchiveSource, BodyBrokenError, RemoteArchive
from asynccvat.archives.spool import Spool, extract_piece
from asynccvat.archives.staged_archive import StagedArchive
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.wire.ranges import first_request
from asynccvat.core.zip import Directory, TailNeeded, read_directory
from asynccvat.events import Event
from asynccvat.fs.zip_files import directory_of_file
from asynccvat.http import ResultStream
from asynccvat.store import Staging

IN_MEMORY = 4 * 1024 * 1024
"""Bytes up to which a server without ranges needs no spool.

For an archive of 1 MB, the file takes 2 ms of processor time more than memory does.
"""


class ArchiveSession:
    """One archive being read into one tree."""

    def __init__(
        self,
        source: ArchiveSource,
        staging: Staging,
        staged: StagedFiles,
        options: ReadOptions,
        *,
        expected: Sequence[MemberRecord],
        copy: ArchiveCopy | None,
        emit: Callable[[Event], None],
    ) -> None:
        self._source = source
        self._staging = staging
        self._staged = staged
        self._options = options
        self._copy = copy
        self._events = TransferEvents(staging.task_id, emit)
        self._reuses = options.reuse and copy is None
        # If nothing is reused, all is fetched: then the first request may have more than the end.
        self._first = first_request(expected if self._reuses else (), options.ranges)
        self._extraction = Extraction(staging, staged, options)
        self._reused = 0
        self._is_planned = False

    async def run(self) -> StagedArchive:
        """Read the archive, as often as that is worth trying."""
        directory = await until_whole(
            self._read_once,
            self._source,
            self._backoff(),
            self._events,
            # A part that an earlier read left may be damaged, although the archive is not.
            continues=lambda error: error.retryable and self._extraction.continues(error.member),
            start_over=self._extraction.abandon,
        )
        return StagedArchive(
            self._staged.in_order(directory),
            directory.digest,
            self._source.transferred,
            self._reused,
        )

    async def close(self) -> None:
        """Remove unfinished members and close the tree."""
        if self._extraction.is_open:  # a small archive has closed it, within its only thread call
            await in_thread(self._extraction.close)

    async def _read_once(self) -> Directory:
        async with self._source.open_tail(self._first) as stream:
            total = stream.total
            if stream.status == 200 and (total is None or total > IN_MEMORY):
                return await self._read_whole(stream)
            assert total is not None
            archive = RemoteArchive(total, stream.etag, await self._source.collect(stream))
        self._events.progressed(len(archive.tail))
        found = await in_thread(self._begin, archive)
        while isinstance(found, TailNeeded):
            tail = len(archive.tail)
            archive = await self._source.with_longer_tail(archive, found.length)
            self._events.progressed(len(archive.tail) - tail)
            found = await in_thread(self._begin, archive)
        if self._copy is not None:
            await self._copy.restart()
        if archive.tail_start > 0:
            await self._fetch(archive, found)
        self._events.started(archive.total, self._reused)
        if self._copy is not None:
            await self._copy.write([archive.tail])
        return found

    def _begin(self, archive: RemoteArchive) -> Directory | TailNeeded:
        """Read the directory, and at once the members of a small archive."""
        options = self._options
        directory = read_directory(
            archive.tail,
            archive.total,
            limits=options.limits,
            rules=options.rules,
            map_names=options.map_names,
        )
        if isinstance(directory, TailNeeded):
            return directory
        extraction = self._extraction
        if extraction.spans and self._copy is None and directory == extraction.directory:
            # Another ETag, but the same members at the same offsets: every span resumes.
            return directory
        extraction.begin(directory)
        if archive.tail_start == 0:
            self._plan(archive, directory)
            _finish(extraction.spans, archive)
            extraction.close()
        return directory

    def _plan(self, archive: RemoteArchive, directory: Directory) -> None:
        ranges = self._options.ranges
        if self._copy is not None:
            # It has to come in order, so all of it is one span, even if members are staged.
            ranges = replace(ranges, parallel=1)
        extraction = self._extraction
        extraction.plan(
            directory,
            archive.tail_start,
            ranges,
            self._backoff,
            every_byte=self._copy is not None,
            keeps_parts=self._copy is None and archive.tail_start > 0,
        )
        kept = sum(prefix.length for prefix in extraction.prefixes.values())
        self._require_room(archive, directory, kept)
        if not self._is_planned:
            self._is_planned = True
            self._reused += kept

    def _require_room(self, archive: RemoteArchive, directory: Directory, here: int = 0) -> None:
        copied = 0 if self._copy is None else archive.total
        self._extraction.require_room(directory, here=here, copied=copied)

    # The members, by their spans

    async def _fetch(self, archive: RemoteArchive, directory: Directory) -> None:
        """Fetch the spans that are not in the tail, and write all."""
        extraction = self._extraction
        if not extraction.spans:
            await self._reuse_members(archive, directory)
            await in_thread(self._plan, archive, directory)
        self._events.started(archive.total, self._reused)
        in_tail = [span for span in extraction.spans if span.position >= archive.tail_start]
        await in_thread(_finish, in_tail, archive)
        waiting = [span for span in extraction.spans if not span.finished]
        await run_limited(
            self._options.ranges.parallel,
            [partial(self._fetch_span, span, archive) for span in waiting],
        )
        await in_thread(extraction.abandon)

    async def _reuse_members(self, archive: RemoteArchive, directory: Directory) -> None:
        if not self._reuses or not self._staging.reusable:
            return
        members = await in_thread(self._extraction.reusable_members, directory, archive.tail_start)
        linked = sum(member.size for member in members)
        parts = sum((await in_thread(self._staging.part_sizes)).values())
        await in_thread(self._require_room, archive, directory, linked + parts)

        async def reuse_batch(batch: list[reuse.ReusableMember]) -> None:
            taken = await in_thread(self._extraction.reuse_members, batch)
            self._reused += taken

        await run_limited(
            self._options.ranges.parallel,
            [partial(reuse_batch, batch) for batch in reuse.batches(members)],
        )

    async def _fetch_span(self, span: SpanRead, archive: RemoteArchive) -> None:
        """Read one span, however often its connection breaks."""
        stop = min(span.span.stop, archive.tail_start)
        reader = span.extractor.reader
        while True:
            reader.skip_prefix()
            start = span.position
            if start >= stop:
                break
            try:
                until = min(stop, reader.pause or stop)
                async with self._source.open(archive, start, until) as stream:
                    await receive(
                        self._source,
                        stream,
                        self._events.timed(span.extractor.feed),
                        self._events.progressed,
                        copy=self._copy,
                    )
            except BodyBrokenError as broken:
                span.backoff.progress(span.position - start)
                await span.backoff.retry_or_raise(broken.error)
        await in_thread(span.finish_from, archive)

    # The whole archive, from a server without ranges

    async def _read_whole(self, stream: ResultStream) -> Directory:
        await in_thread(self._begin_whole, stream.total or 0)
        self._events.started(stream.total, self._reused)
        async with self._open_spool() as fd:
            spool = Spool(fd, self._staged, self._options.limits)
            write = self._events.timed(spool.write)
            await receive(self._source, stream, write, self._events.progressed)
            directory = await in_thread(self._begin_spooled, fd, spool.size)
            await run_limited(
                self._options.ranges.parallel,
                [partial(self._extract_span, fd, span) for span in self._extraction.spans],
            )
        await in_thread(self._extraction.abandon)
        return directory

    def _begin_whole(self, size: int) -> None:
        self._extraction.abandon()
        self._extraction.open()
        self._options.limits.check_archive(size)
        # A kept archive stays, and so do its members, which together are about as large.
        self._staged.require(size if self._copy is None else 2 * size)

    @asynccontextmanager
    async def _open_spool(self) -> AsyncIterator[int]:
        """Hold an empty file open for the archive.

        A kept archive is its own spool.
        """
        if self._copy is not None:
            await self._copy.restart()
            yield self._copy.fd
            return
        async with entered_in_thread(self._staging.open_spool()) as fd:
            yield fd

    def _begin_spooled(self, fd: int, size: int) -> Directory:
        options, extraction = self._options, self._extraction
        directory = directory_of_file(
            fd,
            size,
            options.ranges.tail,
            limits=options.limits,
            rules=options.rules,
            map_names=options.map_names,
        )
        extraction.begin(directory)
        extraction.require_room(directory)
        extraction.plan(directory, size, options.ranges, self._backoff)
        return directory

    async def _extract_span(self, fd: int, span: SpanRead) -> None:
        while span.position < span.span.stop:
            await in_thread(extract_piece, fd, span.extractor, span.span.stop)
        await in_thread(span.finish)

    def _backoff(self) -> Backoff:
        return new_backoff(self._options, self._events)


def _finish(spans: Iterable[SpanRead], archive: RemoteArchive) -> None:
    for span in spans:
        span.finish_from(archive)
