"""One archive being read into one tree, and what to do when something goes wrong on the way.

The archive's end comes first, and with it the directory; what is here already is taken over; the
rest is fetched in spans, several at once, and written by worker threads as it comes. Nothing of
it is held beyond a few batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, replace
from functools import partial

from asynccvat.aio.serial_worker import SerialWorker
from asynccvat.aio.task_groups import run_limited
from asynccvat.aio.threads import in_thread
from asynccvat.archives import reuse
from asynccvat.archives.backoff import Backoff
from asynccvat.archives.extractor import Extractor, StagedFiles
from asynccvat.archives.kept_copy import ArchiveCopy
from asynccvat.archives.options import ReadOptions
from asynccvat.archives.remote import (
    ArchiveChangedError,
    ArchiveSource,
    BodyBrokenError,
    RemoteArchive,
)
from asynccvat.core.ranges import ByteSpan, first_request, left_out, plan_spans
from asynccvat.core.receipts import MemberRecord
from asynccvat.core.zip import Directory, TailNeeded, ZipReader, read_directory
from asynccvat.errors import ArchiveError, AsyncCvatError, ProtocolError, TransportError
from asynccvat.events import Event, Retrying, TransferProgress, TransferStarted
from asynccvat.http import ResultStream
from asynccvat.store import Staging

_BATCH_BYTES = 1024 * 1024
# How often one archive may turn into another while it is read.
_CHANGES = 10


@dataclass(frozen=True, slots=True)
class StagedArchive:
    """A whole archive, now in staging.

    Attributes:
        members: Its files, in the order of their places in the archive.
        digest: Its directory's digest.
        transferred: Bytes that came over the network, those that came twice included.
        reused: Bytes of the members that were taken over from what was here.
    """

    members: tuple[MemberRecord, ...]
    digest: str
    transferred: int
    reused: int


@dataclass(slots=True)
class _SpanRead:
    """A span being read: it goes on wherever its reader stands."""

    span: ByteSpan
    extractor: Extractor
    backoff: Backoff
    finished: bool = False

    @property
    def position(self) -> int:
        return self.extractor.reader.position

    def finish(self, archive: RemoteArchive) -> None:
        """Read what the tail holds of the span, and end it."""
        if self.position < self.span.stop:
            self.extractor.feed([archive.between(self.position, self.span.stop)])
        self.extractor.finish()
        self.finished = True


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
        # An archive that is kept comes in order: all of it in one span, whatever is here.
        self._parallel = options.ranges.parallel if copy is None else 1
        self._reuses = options.reuse and copy is None
        # What is not taken over is fetched, and then the end need not come alone.
        self._first = first_request(expected if self._reuses else (), options.ranges)
        self._tree = ExitStack()
        self._directory: Directory | None = None
        self._span_reads: list[_SpanRead] = []
        self._reused = 0
        self._announced = False
        self._unannounced = 0

    async def run(self) -> StagedArchive:
        """Read it, as often as that is worth trying."""
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
                await in_thread(self._abandon)
                self._emit(Retrying(self._staging.task_id, "extract", str(error), 0.0))
            else:
                return StagedArchive(
                    self._staged.in_order(directory),
                    directory.digest,
                    self._source.transferred,
                    self._reused,
                )

    async def close(self) -> None:
        """Give up what is not whole, and let go of the tree."""
        if self._staged.root >= 0:
            await in_thread(self._close)

    async def _read_once(self) -> Directory:
        async with self._source.open_tail(self._first) as stream:
            if stream.status == 200:
                return await self._read_forward(stream)
            assert stream.total is not None
            archive = RemoteArchive(stream.total, stream.etag, await self._source.collect(stream))
        self._progressed(len(archive.tail))
        found = await in_thread(self._begin, archive)
        while isinstance(found, TailNeeded):
            archive = await self._longer(archive, found.length)
            found = await in_thread(self._begin, archive)
        if self._copy is not None:
            await self._copy.restart()
        if archive.tail_start > 0:
            await self._fetch(archive, found)
        self._announce(archive.total)
        if self._copy is not None:
            await self._copy.write([archive.tail])
        return found

    async def _longer(self, archive: RemoteArchive, length: int) -> RemoteArchive:
        """Fetch so much of the end that the directory is whole in it."""
        start = archive.total - length
        async with self._source.open(archive, start, archive.tail_start) as stream:
            more = await self._source.collect(stream)
        self._progressed(len(more))
        return replace(archive, tail=more + archive.tail)

    # The directory, and what follows from it; in worker threads

    def _begin(self, archive: RemoteArchive) -> Directory | TailNeeded:
        """Read and check the directory; an archive that is whole in the tail is read at once."""
        directory = read_directory(
            archive.tail, archive.total, limits=self._options.limits, rules=self._options.rules
        )
        if isinstance(directory, TailNeeded):
            return directory
        if self._span_reads and self._copy is None and directory == self._directory:
            # Another ETag, and the same members at the same places: every span goes on.
            return directory
        self._abandon()
        self._directory = directory
        self._open_tree()
        self._staged.reconcile(directory)
        if archive.tail_start == 0:
            self._plan(archive, directory)
            _finish(self._span_reads, archive)
            self._close()
        return directory

    def _open_tree(self) -> None:
        if self._staged.root < 0:
            self._staged.root = self._tree.enter_context(self._staging.open_tree())

    def _close(self) -> None:
        try:
            self._abandon()
        finally:
            self._staged.root = -1
            self._tree.close()

    def _abandon(self) -> None:
        """Forget the jobs: their members that are whole stay, the others are removed."""
        jobs, self._span_reads, self._directory = self._span_reads, [], None
        with ExitStack() as stack:
            for span_read in jobs:
                stack.callback(span_read.extractor.abandon)

    def _require_room(self, archive: RemoteArchive, directory: Directory, linked: int = 0) -> None:
        """Make sure that there is room for what is not here, but for what will be linked."""
        missing = sum(e.size for e in directory.entries if not self._staged.holds(e))
        copied = 0 if self._copy is None else archive.total
        self._staged.require(missing - linked + copied)

    def _plan(self, archive: RemoteArchive, directory: Directory) -> None:
        self._require_room(archive, directory)
        entries = directory.entries
        wanted = [
            self._copy is not None or entry.is_directory or not self._staged.holds(entry)
            for entry in entries
        ]
        ranges = replace(self._options.ranges, parallel=self._parallel)
        for span in plan_spans(directory, wanted, archive.tail_start, ranges):
            run = entries[span.first : span.last]
            reader = ZipReader.span(directory, run, self._options.limits)
            self._span_reads.append(
                _SpanRead(span, Extractor(reader, self._staged), self._backoff())
            )

    # The members, by their spans

    async def _fetch(self, archive: RemoteArchive, directory: Directory) -> None:
        """Bring what the tail does not hold, and write everything."""
        if not self._span_reads:
            await self._reuse_members(archive, directory)
            await in_thread(self._plan, archive, directory)
        self._announce(archive.total)
        here = [
            span_read for span_read in self._span_reads if span_read.position >= archive.tail_start
        ]
        await in_thread(_finish, here, archive)
        waiting = [span_read for span_read in self._span_reads if not span_read.finished]
        await run_limited(
            self._parallel, [partial(self._fetch_span, span_read, archive) for span_read in waiting]
        )
        await in_thread(self._abandon)

    async def _reuse_members(self, archive: RemoteArchive, directory: Directory) -> None:
        if not self._reuses or not self._staging.reusable:
            return
        candidates = await in_thread(self._candidates, archive, directory)
        linked = sum(one.size for one in candidates)
        await in_thread(self._require_room, archive, directory, linked)

        async def reuse_members(batch: Sequence[reuse.ReusableMember]) -> None:
            taken = await in_thread(reuse.reuse_members, batch, self._staging, self._staged)
            self._reused += taken

        await run_limited(
            self._parallel, [partial(reuse_members, batch) for batch in reuse.batches(candidates)]
        )

    def _candidates(
        self, archive: RemoteArchive, directory: Directory
    ) -> list[reuse.ReusableMember]:
        """Find what may be here already and is worth leaving out."""
        entries = directory.entries
        reusable = self._staging.reusable
        held = [self._staged.holds(entry) for entry in entries]
        found = [
            None if here or e.is_directory else reuse.candidate(e.name, e.size, e.crc, reusable)
            for e, here in zip(entries, held, strict=True)
        ]
        wanted = [not here and one is None for here, one in zip(held, found, strict=True)]
        out = left_out(directory, wanted, archive.tail_start, self._options.ranges)
        return [one for one, leave in zip(found, out, strict=True) if leave and one is not None]

    async def _fetch_span(self, span_read: _SpanRead, archive: RemoteArchive) -> None:
        """Read one span, however often its connection breaks."""
        stop = min(span_read.span.stop, archive.tail_start)
        while (start := span_read.position) < stop:
            try:
                async with self._source.open(archive, start, stop) as stream:
                    await self._receive(stream, span_read.extractor)
            except BodyBrokenError as broken:
                span_read.backoff.progress(span_read.position - start)
                await span_read.backoff.retry_or_raise(broken.error)
        await in_thread(span_read.finish, archive)

    async def _receive(self, stream: ResultStream, extractor: Extractor) -> None:
        """Have a worker thread read a body off its connection, if that pays.

        Raises:
            BodyBrokenError: It broke off; what came before is written.
        """
        body_receiver = (
            None if self._copy is not None else self._source.body_receiver(stream, self._progressed)
        )
        if body_receiver is None:
            await self._pump(stream, extractor)
            return
        async with SerialWorker() as worker:
            with body_receiver:
                await worker.submit(body_receiver.drain, extractor.feed)
                await worker.wait()
        try:
            body_receiver.check()
        except TransportError as error:
            raise BodyBrokenError(error) from error

    # The archive as a stream

    async def _read_forward(self, stream: ResultStream) -> Directory:
        """Read the whole archive from its first byte, for there is no Range here."""
        await in_thread(self._begin_forward, stream.total or 0)
        if self._copy is not None:
            await self._copy.restart()
        self._announce(stream.total)
        reader = ZipReader.forward(self._options.limits, self._options.rules)
        extractor = Extractor(reader, self._staged)
        try:
            await self._pump(stream, extractor)
            return await in_thread(self._end_forward, extractor)
        finally:
            await in_thread(extractor.abandon)

    def _begin_forward(self, size: int) -> None:
        self._abandon()
        self._open_tree()
        self._staged.require(size if self._copy is None else 2 * size)

    def _end_forward(self, extractor: Extractor) -> Directory:
        directory = extractor.finish()
        self._staged.reconcile(directory)
        return directory

    # Both ways

    async def _pump(self, stream: ResultStream, extractor: Extractor) -> None:
        """Hand a body to a worker thread, batch by batch, while the next one comes.

        Raises:
            BodyBrokenError: It broke off; what came before is written.
        """
        broken: BodyBrokenError | None = None
        batch: list[bytes] = []
        size = 0
        async with SerialWorker() as worker, aclosing(self._source.chunks(stream)) as chunks:
            try:
                async for chunk in chunks:
                    batch.append(chunk)
                    size += len(chunk)
                    if size >= _BATCH_BYTES:
                        await self._hand_over(worker, extractor, batch, size)
                        batch, size = [], 0
            except BodyBrokenError as error:
                broken = error
            if batch:
                await self._hand_over(worker, extractor, batch, size)
        if broken is not None:
            raise broken

    async def _hand_over(
        self, worker: SerialWorker, extractor: Extractor, batch: list[bytes], size: int
    ) -> None:
        if self._copy is not None:
            await self._copy.write(batch)
        await worker.submit(extractor.feed, batch)
        self._progressed(size)

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


def _finish(jobs: Iterable[_SpanRead], archive: RemoteArchive) -> None:
    for span_read in jobs:
        span_read.finish(archive)
