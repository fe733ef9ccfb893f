"""Read any number of archives at once, each into a staged tree or a staged file."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import anyio

from asynccvat.aio.threads import in_thread
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.archives.completion import complete
from asynccvat.archives.counting import count_annotations
from asynccvat.archives.extractor import StagedFiles
from asynccvat.archives.file_session import FileSession
from asynccvat.archives.kept_copy import ArchiveCopy, archive_copy
from asynccvat.archives.media import MediaReading
from asynccvat.archives.options import ReadOptions
from asynccvat.archives.remote import ArchiveSource
from asynccvat.archives.session import ArchiveSession
from asynccvat.archives.staged_archive import StagedArchive
from asynccvat.client import CvatClient, internals
from asynccvat.core.annotations.staged_counts import CountingRule
from asynccvat.core.options.transfer import FetchOptions
from asynccvat.core.paths import NameRules
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.wire.ranges import RangeOptions
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import AsyncCvatError
from asynccvat.events import Event
from asynccvat.fs import disk_errors, handles
from asynccvat.http import ResultStream
from asynccvat.http.retry_after import Timing
from asynccvat.store import StagedBackup, Staging, UnfinishedArchive


class ArchiveReader:
    """Read archives into staged trees or files, any number of them at once."""

    def __init__(
        self,
        client: CvatClient,
        options: FetchOptions,
        rules: NameRules,
        emit: Callable[[Event], None] = lambda _: None,
        *,
        map_names: bool = False,
        ranges: RangeOptions | None = None,
        timing: Timing | None = None,
    ) -> None:
        """Say where archives come from and how they are read.

        Args:
            client: The server's client.
            options: Limits, reuse, retries, and the bandwidth that all archives share.
            rules: What names the destination can hold.
            emit: Called with each event.
            map_names: Whether names that it cannot hold are mapped, instead of refused.
            ranges: How archives are cut into requests.
            timing: Clock, sleep and jitter.
        """
        timing = timing or Timing()
        ranges = ranges or RangeOptions()
        self._client = client
        self._options = ReadOptions(
            rules=rules,
            map_names=map_names,
            limits=options.limits,
            reuse=options.reuse,
            ranges=ranges,
            policy=RetryPolicy(attempts=options.retries),
            budget=internals(client).retry_budget,
            bandwidth=(None if options.bandwidth is None else Bandwidth(options.bandwidth, timing)),
            timing=timing,
            open_folders=handles.share(
                handles.limit(), options.transfers, writers=ranges.parallel
            ).folders,
        )
        self._emit = emit
        self._unfinished: dict[int, StagedFiles] = {}

    @property
    def bandwidth(self) -> Bandwidth | None:
        """Limits the bytes of all archives together; None for no limit."""
        return self._options.bandwidth

    def with_rules(self, rules: NameRules) -> ArchiveReader:
        """Return a reader for another destination that shares this one's bandwidth."""
        other = copy.copy(self)
        other._options = replace(self._options, rules=rules)  # noqa: SLF001 - our own
        other._unfinished = {}  # noqa: SLF001 - our own
        return other

    async def read(
        self,
        result_url: str,
        staging: Staging | StagedBackup,
        *,
        expected: Sequence[MemberRecord] = (),
        count: CountingRule | None = None,
        keep_archive: UnfinishedArchive | None = None,
        on_open: Callable[[ResultStream], None] | None = None,
    ) -> StagedArchive:
        """Read one archive into a staged tree, or into one file where a backup is staged.

        If an error needs another export, call this again with the new URL and the same `staging`:
        members that are whole are not fetched again.

        Args:
            result_url: As the finished request has it.
            staging: The tree or the file to fill.
            expected: The members that the archive should have, apart from changed annotations, in
                their order in the archive. It decides the size of the first request only.
            count: How its annotations are counted. None does not count them.
            keep_archive: File to keep the archive itself in. The archive is then fetched whole and
                in order. The file must not exist, and is removed if the reading fails.
            on_open: Called with the response when the server begins to send the archive. It may
                raise an error that refuses the archive.

        Raises:
            ExportNotReadyError: The export has not ended, or another one was started since.
            ExportExpiredError: The result is gone.
            ArchiveError: The archive is broken, unsafe or beyond the limits, and was so again after
                it was fetched a second time.
            DiskFullError: There is no room for it.
            StoreError: The file system refuses it.
            TransportError: The connection broke too often.
            ProtocolError: The response is no archive, or each time a different one.
        """
        source = ArchiveSource(
            self._client, result_url, staging.task_id, self._options.bandwidth, on_open
        )
        try:
            async with AsyncExitStack() as stack:
                session: ArchiveSession | FileSession
                if isinstance(staging, StagedBackup):
                    session = FileSession(
                        source, staging, self._options, result_url, emit=self._emit
                    )
                else:
                    copy = await self._copy(keep_archive, staging, stack)
                    session = ArchiveSession(
                        source,
                        staging,
                        self._staged(staging),
                        self._options,
                        expected=expected,
                        copy=copy,
                        emit=self._emit,
                    )
                stack.push_async_callback(session.close)
                read = await session.run()
            if count is None or isinstance(staging, StagedBackup):
                return read
            counted = await in_thread(count_annotations, staging, read.members, count)
            return replace(read, annotations=counted)
        except AsyncCvatError as error:
            error.task_id = error.task_id or staging.task_id
            raise
        except OSError as error:
            place = staging.path if isinstance(staging, StagedBackup) else staging.tree
            raise disk_errors.explain(error, "fill", place, task_id=staging.task_id) from error

    async def complete(
        self, read: StagedArchive, staging: Staging, previous: Sequence[MemberRecord]
    ) -> StagedArchive | None:
        """Complete an archive of annotations with the previous folder's images.

        Args:
            read: What `read` returned for that archive.
            staging: The same.
            previous: The files of the folder that is being replaced.

        Returns:
            What an archive with the images would have given. None if an image is missing or has
            changed: then `read` a full archive into the same `staging`.

        Raises:
            DiskFullError: There is no room for it.
            StoreError: The file system refuses it.
        """
        with disk_errors.explained("fill", staging.tree, task_id=staging.task_id):
            parallel = self._options.ranges.parallel
            return await complete(read, previous, staging, self._staged(staging), parallel)

    def media(
        self,
        staging: Staging,
        *,
        bandwidth: Bandwidth | None,
        transfers: anyio.CapacityLimiter,
    ) -> MediaReading:
        """Begin to fetch the media of a task without an export.

        Args:
            staging: The tree to fill.
            bandwidth: Limits the bytes of all media.
            transfers: Limits the chunks that all tasks fetch at once.
        """
        options = replace(self._options, bandwidth=bandwidth)
        return MediaReading(self._client, staging, options, transfers, self._emit)

    @staticmethod
    async def _copy(
        kept: UnfinishedArchive | None, staging: Staging, stack: AsyncExitStack
    ) -> ArchiveCopy | None:
        """Open the file that the archive is kept in, if it is kept."""
        if kept is None:
            return None
        return await stack.enter_async_context(archive_copy(kept, staging.task_id))

    def _staged(self, staging: Staging) -> StagedFiles:
        staged = self._unfinished.get(id(staging))
        if staged is None:
            staged = self._unfinished[id(staging)] = StagedFiles(
                staging.task_id, open_folders=self._options.open_folders
            )
            weakref.finalize(staging, self._unfinished.pop, id(staging), None)
        return staged
