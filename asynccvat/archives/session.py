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
from asynccvat.archives.remote import ArchiveSource, BrokenError, MovedError, RemoteArchive
from asynccvat.archives.settings import ReadSettings
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
class ArchiveRead:
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
class _Job:
    """A span being read: it goes on wherever its reader stands."""

    span: ByteSpan
    extractor: Extractor
    patience: Backoff
    finished: bool = False

    @property
    def position(self) -> int:
        return self.extractor.reader.position

    def finish(self, version: RemoteArchive) -> None:
        """Read what the tail holds of the span, and end it."""
        if self.position < self.span.stop:
            self.extractor.feed([version.between(self.position, self.span.stop)])
        self.extractor.finish()
        self.finished = True


class ArchiveSession:
    """One archive being read into one tree."""

    def __init__(
        self,
        source: ArchiveSource,
        staging: Staging,
        staged: StagedFiles,
        options: ReadSettings,
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
        self._jobs: list[_Job] = []
        self._reused = 0
        self._announced = False
        self._unannounced = 0

    async def run(self) -> ArchiveRead:
        """Read it, as often as that is worth trying."""
        patience = self._backoff()
        changes = 0
        damaged = False
        while True:
            before = self._source.transferred
            try:
                directory = await self._read_once()
            except MovedError:
                changes += 1
                if changes > _CHANGES:
                    raise ProtocolError(
                        f"the archive became another one {changes} times while it was read: "
                        "something exports this task again and again; stop that, then run again",
                        step="download",
                    ) from None
            except BrokenError as broken:
                patience.progress(self._source.transferred - before)
                await patience.retry_or_raise(broken.error)
            except ArchiveError as error:
                if damaged or not error.retryable:
                    raise
                damaged = True
                await in_thread(self._abandon)
                self._emit(Retrying(self._staging.task_id, "extract", str(error), 0.0))
            else:
                return ArchiveRead(
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
            version = RemoteArchive(stream.total, stream.etag, await self._source.collect(stream))
        self._progressed(len(version.tail))
        found = await in_thread(self._begin, version)
        while isinstance(found, TailNeeded):
            version = await self._longer(version, found.length)
            found = await in_thread(self._begin, version)
        if self._copy is not None:
            await self._copy.restart()
        if version.tail_start > 0:
            await self._fetch(version, found)
        self._announce(version.total)
        if self._copy is not None:
            await self._copy.write([version.tail])
        return found

    async def _longer(self, version: RemoteArchive, length: int) -> RemoteArchive:
        """Fetch so much of the end that the directory is whole in it."""
        start = version.total - length
        async with self._source.open(version, start, version.tail_start) as stream:
            more = await self._source.collect(stream)
        self._progressed(len(more))
        return replace(version, tail=more + version.tail)

    # The directory, and what follows from it; in worker threads

    def _begin(self, version: RemoteArchive) -> Directory | TailNeeded:
        """Read and check the directory; an archive that is whole in the tail is read at once."""
        directory = read_directory(
            version.tail, version.total, limits=self._options.limits, rules=self._options.rules
        )
        if isinstance(directory, TailNeeded):
            return directory
        if self._jobs and self._copy is None and directory == self._directory:
            # Another ETag, and the same members at the same places: every job goes on.
            return directory
        self._abandon()
        self._directory = directory
        self._open_tree()
        self._staged.reconcile(directory)
        if version.tail_start == 0:
            self._plan(version, directory)
            _finish(self._jobs, version)
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
        jobs, self._jobs, self._directory = self._jobs, [], None
        with ExitStack() as stack:
            for job in jobs:
                stack.callback(job.extractor.abandon)

    def _require_room(self, version: RemoteArchive, directory: Directory, linked: int = 0) -> None:
        """Make sure that there is room for what is not here, but for what will be linked."""
        missing = sum(e.size for e in directory.entries if not self._staged.holds(e))
        copied = 0 if self._copy is None else version.total
        self._staged.require(missing - linked + copied)

    def _plan(self, version: RemoteArchive, directory: Directory) -> None:
        self._require_room(version, directory)
        entries = directory.entries
        wanted = [
            self._copy is not None or entry.is_directory or not self._staged.holds(entry)
            for entry in entries
        ]
        ranges = replace(self._options.ranges, parallel=self._parallel)
        for span in plan_spans(directory, wanted, version.tail_start, ranges):
            run = entries[span.first : span.last]
            reader = ZipReader.span(directory, run, self._options.limits)
            self._jobs.append(_Job(span, Extractor(reader, self._staged), self._backoff()))

    # The members, by their spans

    async def _fetch(self, version: RemoteArchive, directory: Directory) -> None:
        """Bring what the tail does not hold, and write everything."""
        if not self._jobs:
            await self._take_over(version, directory)
            await in_thread(self._plan, version, directory)
        self._announce(version.total)
        here = [job for job in self._jobs if job.position >= version.tail_start]
        await in_thread(_finish, here, version)
        waiting = [job for job in self._jobs if not job.finished]
        await run_limited(self._parallel, [partial(self._bring, job, version) for job in waiting])
        await in_thread(self._abandon)

    async def _take_over(self, version: RemoteArchive, directory: Directory) -> None:
        if not self._reuses or not self._staging.reusable:
            return
        candidates = await in_thread(self._candidates, version, directory)
        linked = sum(one.size for one in candidates)
        await in_thread(self._require_room, version, directory, linked)

        async def take_over(batch: Sequence[reuse.ReusableMember]) -> None:
            taken = await in_thread(reuse.take_over, batch, self._staging, self._staged)
            self._reused += taken

        await run_limited(
            self._parallel, [partial(take_over, batch) for batch in reuse.batches(candidates)]
        )

    def _candidates(
        self, version: RemoteArchive, directory: Directory
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
        out = left_out(directory, wanted, version.tail_start, self._options.ranges)
        return [one for one, leave in zip(found, out, strict=True) if leave and one is not None]

    async def _bring(self, job: _Job, version: RemoteArchive) -> None:
        """Read one span, however often its connection breaks."""
        stop = min(job.span.stop, version.tail_start)
        while (start := job.position) < stop:
            try:
                async with self._source.open(version, start, stop) as stream:
                    await self._pour(stream, job.extractor)
            except BrokenError as broken:
                job.patience.progress(job.position - start)
                await job.patience.retry_or_raise(broken.error)
        await in_thread(job.finish, version)

    async def _pour(self, stream: ResultStream, extractor: Extractor) -> None:
        """Have a worker thread read a body off its connection, if that pays.

        Raises:
            BrokenError: It broke off; what came before is written.
        """
        body_receiver = (
            None if self._copy is not None else self._source.body_receiver(stream, self._progressed)
        )
        if body_receiver is None:
            await self._pump(stream, extractor)
            return
        async with SerialWorker() as lane:
            with body_receiver:
                await lane.submit(body_receiver.drain, extractor.feed)
                await lane.wait()
        try:
            body_receiver.check()
        except TransportError as error:
            raise BrokenError(error) from error

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
            BrokenError: It broke off; what came before is written.
        """
        broken: BrokenError | None = None
        batch: list[bytes] = []
        size = 0
        async with SerialWorker() as lane, aclosing(self._source.chunks(stream)) as chunks:
            try:
                async for chunk in chunks:
                    batch.append(chunk)
                    size += len(chunk)
                    if size >= _BATCH_BYTES:
                        await self._hand_over(lane, extractor, batch, size)
                        batch, size = [], 0
            except BrokenError as error:
                broken = error
            if batch:
                await self._hand_over(lane, extractor, batch, size)
        if broken is not None:
            raise broken

    async def _hand_over(
        self, lane: SerialWorker, extractor: Extractor, batch: list[bytes], size: int
    ) -> None:
        if self._copy is not None:
            await self._copy.write(batch)
        await lane.submit(extractor.feed, batch)
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


def _finish(jobs: Iterable[_Job], version: RemoteArchive) -> None:
    for job in jobs:
        job.finish(version)
