"""One archive being read into one tree, and what to do when something goes wrong on the way.

The archive's end comes first, and with it the directory. Members that are on disk already are
reused. The rest is fetched in spans, several at once, and written by worker threads as it comes:
no more than a few batches are held in memory. A server without ranges sends the whole archive
instead, which goes through a `spool`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from asynccvat.aio.serial_worker import SerialWorker
from asynccvat.aio.task_groups import run_limited
from asynccvat.aio.threads import entered_in_thread, in_thread
from asynccvat.archives import reuse
from asynccvat.archives.backoff import Backoff
from asynccvat.archives.extraction import Extraction, SpanRead
from asynccvat.archives.extractor import StagedFiles
from asynccvat.archives.kept_copy import ArchiveCopy
from asynccvat.archives.options import ReadOptions
from asynccvat.archives.remote import (
    ArchiveChangedError,
    ArchiveSource,
    BodyBrokenError,
    RemoteArchive,
)
from asynccvat.archives.spool import Spool, extract_piece, spooled_directory
from asynccvat.core.ranges import first_request
from asynccvat.core.receipts import MemberRecord
from asynccvat.core.zip import Directory, TailNeeded, read_directory
from asynccvat.errors import ArchiveError, AsyncCvatError, ProtocolError, TransportError
from asynccvat.events import Event, Retrying, TransferProgress, TransferStarted
from asynccvat.http import ResultStream
from asynccvat.store import Staging

IN_MEMORY = 4 * 1024 * 1024
"""Bytes up to which a server without ranges needs no spool.

For an archive of 1 MB, the file takes 2 ms of processor time more than memory does.
"""

_BATCH_BYTES = 1024 * 1024
# How often one archive may turn into another while it is read.
_CHANGES = 10

_Consume = Callable[[Iterable[bytes | memoryview]], None]


@dataclass(frozen=True, slots=True)
class StagedArchive:
    """A whole archive, now in staging.

    Attributes:
        members: Its files, in the order of their places in the archive.
        digest: Its directory's digest.
        transferred: Bytes that came over the network, those that came twice included.
        reused: Bytes of the members that were on disk already, and were not fetched.
    """

    members: tuple[MemberRecord, ...]
    digest: str
    transferred: int
    reused: int


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
        self._emit = emit
        self._reuses = options.reuse and copy is None
        # A member that is not reused is fetched, and then the end need not come alone.
        self._first = first_request(expected if self._reuses else (), options.ranges)
        self._extraction = Extraction(staging, staged, options)
        self._reused = 0
        self._announced = False
        self._unannounced = 0

    async def run(self) -> StagedArchive:
        """Read the archive, as often as that is worth trying."""
        backoff = self._backoff()
        changes = 0
        damaged = False
        while True:
            before = self._source.transferred
            try:
                directory = await self._read_once()
            except ArchiveChangedError:
                changes += 1
                if changes > _CHANGES:
                    raise ProtocolError(
                        f"the archive became another one {changes} times while it was read: "
                        "something exports this task again and again; stop that, then run again",
                        step="download",
                    ) from None
            except BodyBrokenError as broken:
                backoff.progress(self._source.transferred - before)
                await backoff.retry_or_raise(broken.error)
            except ArchiveError as error:
                if damaged or not error.retryable:
                    raise
                damaged = True
                await in_thread(self._extraction.abandon)
                self._emit(Retrying(self._staging.task_id, "extract", str(error), 0.0))
            else:
                return StagedArchive(
                    self._staged.in_order(directory),
                    directory.digest,
                    self._source.transferred,
                    self._reused,
                )

    async def close(self) -> None:
        """Remove unfinished members and close the tree."""
        await in_thread(self._extraction.close)

    async def _read_once(self) -> Directory:
        async with self._source.open_tail(self._first) as stream:
            total = stream.total
            if stream.status == 200 and (total is None or total > IN_MEMORY):
                return await self._read_whole(stream)
            assert total is not None
            archive = RemoteArchive(total, stream.etag, await self._source.collect(stream))
        self._progressed(len(archive.tail))
        found = await in_thread(self._begin, archive)
        while isinstance(found, TailNeeded):
            archive = await self._with_longer_tail(archive, found.length)
            found = await in_thread(self._begin, archive)
        if self._copy is not None:
            await self._copy.restart()
        if archive.tail_start > 0:
            await self._fetch(archive, found)
        self._announce(archive.total)
        if self._copy is not None:
            await self._copy.write([archive.tail])
        return found

    async def _with_longer_tail(self, archive: RemoteArchive, length: int) -> RemoteArchive:
        start = archive.total - length
        async with self._source.open(archive, start, archive.tail_start) as stream:
            more = await self._source.collect(stream)
        self._progressed(len(more))
        return replace(archive, tail=more + archive.tail)

    def _begin(self, archive: RemoteArchive) -> Directory | TailNeeded:
        """Read the directory; read a small archive, which is whole in its tail, at once."""
        directory = read_directory(
            archive.tail, archive.total, limits=self._options.limits, rules=self._options.rules
        )
        if isinstance(directory, TailNeeded):
            return directory
        extraction = self._extraction
        if extraction.spans and self._copy is None and directory == extraction.directory:
            # Another ETag, and the same members at the same places: every span goes on.
            return directory
        extraction.begin(directory)
        if archive.tail_start == 0:
            self._plan(archive, directory)
            _finish(extraction.spans, archive)
            extraction.close()
        return directory

    def _plan(self, archive: RemoteArchive, directory: Directory) -> None:
        self._require_room(archive, directory)
        ranges = self._options.ranges
        if self._copy is not None:
            # It comes in order: all of it in one span, whatever is staged.
            ranges = replace(ranges, parallel=1)
        self._extraction.plan(
            directory, archive.tail_start, ranges, self._backoff, every_byte=self._copy is not None
        )

    def _require_room(self, archive: RemoteArchive, directory: Directory, linked: int = 0) -> None:
        copied = 0 if self._copy is None else archive.total
        self._extraction.require_room(directory, linked=linked, copied=copied)

    # The members, by their spans

    async def _fetch(self, archive: RemoteArchive, directory: Directory) -> None:
        """Fetch the spans that the tail does not hold, and write all members."""
        extraction = self._extraction
        if not extraction.spans:
            await self._reuse_members(archive, directory)
            await in_thread(self._plan, archive, directory)
        self._announce(archive.total)
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
        await in_thread(self._require_room, archive, directory, linked)

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
        while (start := span.position) < stop:
            try:
                async with self._source.open(archive, start, stop) as stream:
                    await self._receive(stream, span.extractor.feed, self._copy)
            except BodyBrokenError as broken:
                span.backoff.progress(span.position - start)
                await span.backoff.retry_or_raise(broken.error)
        await in_thread(span.finish_from, archive)

    # The whole archive, from a server without ranges

    async def _read_whole(self, stream: ResultStream) -> Directory:
        await in_thread(self._begin_whole, stream.total or 0)
        self._announce(stream.total)
        async with self._open_spool() as fd:
            spool = Spool(fd, self._staged, self._options.limits)
            await self._receive(stream, spool.write)
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
        self._staged.require(size)

    @asynccontextmanager
    async def _open_spool(self) -> AsyncIterator[int]:
        """Hold an empty file open for the archive: the one that is kept, if it is."""
        if self._copy is not None:
            await self._copy.restart()
            yield self._copy.fd
            return
        async with entered_in_thread(self._staging.open_spool()) as fd:
            yield fd

    def _begin_spooled(self, fd: int, size: int) -> Directory:
        options, extraction = self._options, self._extraction
        directory = spooled_directory(
            fd, size, options.ranges.tail, limits=options.limits, rules=options.rules
        )
        extraction.begin(directory)
        extraction.require_room(directory)
        extraction.plan(directory, size, options.ranges, self._backoff)
        return directory

    async def _extract_span(self, fd: int, span: SpanRead) -> None:
        while span.position < span.span.stop:
            await in_thread(extract_piece, fd, span.extractor, span.span.stop)
        await in_thread(span.finish)

    # Both ways

    async def _receive(
        self, stream: ResultStream, consume: _Consume, copy: ArchiveCopy | None = None
    ) -> None:
        """Hand a body to a worker thread, which reads it off its connection if that pays.

        Args:
            stream: The body.
            consume: Takes its bytes, in the worker thread.
            copy: Takes them, too.

        Raises:
            BodyBrokenError: It broke off; what came before is consumed.
        """
        body_receiver = None
        if copy is None:
            body_receiver = self._source.body_receiver(stream, self._progressed)
        if body_receiver is None:
            await self._receive_batches(stream, consume, copy)
            return
        async with SerialWorker() as worker:
            with body_receiver:
                await worker.submit(body_receiver.drain, consume)
                await worker.wait()
        try:
            body_receiver.check()
        except TransportError as error:
            raise BodyBrokenError(error) from error

    async def _receive_batches(
        self, stream: ResultStream, consume: _Consume, copy: ArchiveCopy | None
    ) -> None:
        """Hand a body to a worker thread, batch by batch, while the next one comes."""
        broken: BodyBrokenError | None = None
        batch: list[bytes] = []
        size = 0
        async with SerialWorker() as worker, aclosing(self._source.chunks(stream)) as chunks:

            async def hand_over() -> None:
                if copy is not None:
                    await copy.write(batch)
                await worker.submit(consume, batch)
                self._progressed(size)

            try:
                async for chunk in chunks:
                    batch.append(chunk)
                    size += len(chunk)
                    if size >= _BATCH_BYTES:
                        await hand_over()
                        batch, size = [], 0
            except BodyBrokenError as error:
                broken = error
            if batch:
                await hand_over()
        if broken is not None:
            raise broken

    def _backoff(self) -> Backoff:
        options = self._options
        return Backoff(options.policy, options.budget, self._retrying, options.timing)

    def _retrying(self, error: AsyncCvatError, delay: float) -> None:
        self._emit(Retrying(self._staging.task_id, "download", str(error), delay))

    def _announce(self, size: int | None) -> None:
        if not self._announced:
            self._announced = True
            self._emit(TransferStarted(self._staging.task_id, size, self._reused))
            self._progressed(self._unannounced)

    def _progressed(self, size: int) -> None:
        """Tell of bytes that came; not before the start was told of."""
        if not self._announced:
            self._unannounced += size
        elif size:
            self._emit(TransferProgress(self._staging.task_id, size))


def _finish(spans: Iterable[SpanRead], archive: RemoteArchive) -> None:
    for span in spans:
        span.finish_from(archive)
