"""Fetch the media of one task, chunk by chunk, into its staged tree.

A chunk has neither ranges nor an ETag. So it is spooled whole, checked, and its frames are written
under their names. Chunks that are whole are noted: a run after a kill reads those files again
instead of fetching them. `transfer.json_source` asks afterwards whether the media changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

import anyio

from asynccvat.aio.task_groups import run_limited
from asynccvat.aio.threads import entered_in_thread, in_thread
from asynccvat.archives import reuse
from asynccvat.archives.attempts import new_backoff, until_whole
from asynccvat.archives.extractor import StagedFiles
from asynccvat.archives.media_files import (
    SpooledPart,
    abandon_images,
    check_spooled,
    copy_spooled,
    files_of_killed_run,
    finish_images,
    note_fetched,
    open_images,
)
from asynccvat.archives.options import ReadOptions
from asynccvat.archives.progress import TransferEvents
from asynccvat.archives.receiving import receive
from asynccvat.archives.remote import BodySource
from asynccvat.archives.spool import Spool, extract_piece
from asynccvat.client import CvatClient, internals
from asynccvat.client.media import MediaPart
from asynccvat.core.media.chunks import (
    MediaChunk,
    TaskMedia,
    is_newer,
    read_task_media,
    single_frames,
)
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.zip import Directory
from asynccvat.errors import AsyncCvatError, IntegrityError
from asynccvat.events import Event, TransferProgress
from asynccvat.fs import disk_errors
from asynccvat.store import Staging

_NOTHING = Directory((), 0, 0, 0)

_Store = Callable[[SpooledPart], Awaitable[tuple[MemberRecord, ...]]]


class MediaChangedError(Exception):
    """The server has other media now than those that were being fetched."""


class MediaReading:
    """The media of one task while they are fetched.

    Attributes:
        transferred: Bytes that came over the network.
        reused: Bytes of files that were on disk already.
    """

    def __init__(
        self,
        client: CvatClient,
        staging: Staging,
        options: ReadOptions,
        transfers: anyio.CapacityLimiter,
        emit: Callable[[Event], None],
    ) -> None:
        """Begin with an empty tree.

        Args:
            client: The server's client.
            staging: The tree.
            options: How archives are read.
            transfers: Limits the chunks that all tasks fetch at once.
            emit: Called with each event.
        """
        self.transferred = self.reused = 0
        self._calls = internals(client).media_calls
        self._staging = staging
        self._options = options
        self._transfers = transfers
        self._emit = emit
        self._events = TransferEvents(staging.task_id, emit)
        self._staged = StagedFiles(staging.task_id, open_folders=options.open_folders)
        self._opening = asyncio.Lock()
        self._noting = asyncio.Lock()

    def plan(self, meta: bytes, *, is_video: bool) -> TaskMedia:
        """Read which media the server has; as `read_task_media`."""
        options = self._options
        return read_task_media(
            meta,
            self._staging.task_id,
            is_video=is_video,
            rules=options.rules,
            do_map_names=options.map_names,
        )

    async def read(
        self, media: TaskMedia, known: Mapping[str, MemberRecord]
    ) -> tuple[MemberRecord, ...]:
        """Fetch all files that are not on disk already.

        What an earlier call of this object wrote is removed first.

        Args:
            media: The media.
            known: Files on disk that hold the same media, by path. They are read again, and
                linked.

        Returns:
            The files.

        Raises:
            MediaChangedError: The server has other media now.
            ArchiveError: A chunk is damaged, and was so again after it was fetched a second time.
            DiskFullError: There is no room for them.
            StoreError: The file system refuses them.
            TransportError: The connection broke too often.
        """
        task_id = self._staging.task_id
        try:
            with disk_errors.explained("fill", self._staging.tree, task_id=task_id):
                await self._fill(media, known)
        except AsyncCvatError as error:
            error.task_id = error.task_id or task_id
            raise
        return tuple(self._staged.records[path] for path in media.paths)

    async def _fill(self, media: TaskMedia, known: Mapping[str, MemberRecord]) -> None:
        async with entered_in_thread(self._staging.open_tree()) as root:
            self._staged.root = root
            try:
                await in_thread(self._staged.reconcile, _NOTHING)
                await self._reuse(media, known)
                parallel = self._options.ranges.parallel
                fetches = [partial(self._complete, chunk, media) for chunk in media.chunks]
                await run_limited(parallel, fetches)
            finally:
                self._staged.root = -1

    async def _reuse(self, media: TaskMedia, known: Mapping[str, MemberRecord]) -> None:
        """Reuse files on disk, also those of a killed run, that have the CRC they should have."""
        if media.fingerprint is None or not self._options.reuse:
            return
        noted = await in_thread(files_of_killed_run, self._staging, media.fingerprint)
        files = {**known, **noted}
        found = [
            reuse.find_reusable(
                path,
                files[path].size,
                files[path].crc,
                self._staging.reusable,
                mapped_from=media.originals.get(path),
            )
            for path in media.paths
            if path in files
        ]

        async def reuse_batch(batch: list[reuse.ReusableMember]) -> None:
            self.reused += await in_thread(reuse.reuse_members, batch, self._staging, self._staged)

        members = [one for one in found if one is not None]
        batches = [partial(reuse_batch, batch) for batch in reuse.batches(members)]
        await run_limited(self._options.ranges.parallel, batches)

    async def _complete(self, chunk: MediaChunk, media: TaskMedia) -> None:
        """Fetch what is missing of a chunk: the whole of it, or single frames."""
        missing = {path for path in chunk.wanted if path not in self._staged.records}
        if not missing:
            return
        async with self._transfers:
            for number, path in single_frames(chunk, missing).items():
                if await self._fetch_frame(number, path, media):
                    missing.discard(path)
            if missing:
                store = (
                    partial(self._copy, chunk.wanted[0], media)
                    if chunk.is_video
                    else partial(self._unpack, chunk, missing, media)
                )
                await self._fetch("chunk", chunk.number, media, store)

    async def _fetch_frame(self, number: int, path: str, media: TaskMedia) -> bool:
        """Fetch a frame. Returns whether it is a whole image of the type that its name says."""
        try:
            await self._fetch("frame", number, media, partial(self._copy, path, media))
        except IntegrityError:
            return False  # its chunk has a CRC, and may have the frame
        return True

    async def _fetch(self, part: MediaPart, number: int, media: TaskMedia, store: _Store) -> None:
        """Fetch a part of the media, as often as that is worth trying.

        Args:
            part: A chunk, or a frame.
            number: Its number.
            media: The media.
            store: Writes the spooled part into the tree. Returns the files.
        """
        source = BodySource(self._options.bandwidth)
        try:
            fetched = await until_whole(
                partial(self._fetch_once, source, part, number, media, store),
                source,
                new_backoff(self._options, self._events),
                self._events,
                continues=lambda _: False,
                start_over=lambda: None,
            )
        finally:
            self.transferred += source.transferred
        if media.fingerprint is not None:
            async with self._noting:
                await in_thread(note_fetched, self._staging, media.fingerprint, fetched)

    async def _fetch_once(
        self,
        source: BodySource,
        part: MediaPart,
        number: int,
        media: TaskMedia,
        store: _Store,
    ) -> tuple[MemberRecord, ...]:
        task_id = self._staging.task_id
        async with AsyncExitStack() as stack:
            async with self._opening:  # the file has a name until it is open
                opened = entered_in_thread(self._staging.open_spool())
                fd = await stack.enter_async_context(opened)
            spool = Spool(fd, self._staged, self._options.limits, is_zip=False)
            async with self._calls.open(task_id, part, number) as stream:
                if is_newer(stream.header("X-Updated-Date"), media):
                    raise MediaChangedError
                await receive(source, stream, spool.write, self._progressed)
            return await store(SpooledPart(fd, spool.size))

    def _progressed(self, size: int) -> None:
        if size:
            self._emit(TransferProgress(self._staging.task_id, size))

    async def _unpack(
        self, chunk: MediaChunk, missing: set[str], media: TaskMedia, spooled: SpooledPart
    ) -> tuple[MemberRecord, ...]:
        """Write the missing frames of a spooled chunk into the tree, in pieces."""
        staged = self._staged
        parts = await in_thread(open_images, spooled, chunk, missing, staged, self._options)
        try:
            for part in parts:
                while part.extractor.reader.position < part.stop:
                    await in_thread(extract_piece, spooled.fd, part.extractor, part.stop)
            await in_thread(finish_images, parts, media, staged)
        finally:
            await in_thread(abandon_images, parts)
        return tuple(staged.records[path] for path in missing)

    async def _copy(
        self, path: str, media: TaskMedia, spooled: SpooledPart
    ) -> tuple[MemberRecord, ...]:
        """Write a spooled file into the tree, if it is whole."""
        await in_thread(check_spooled, spooled, path)
        original = media.originals.get(path)
        await in_thread(copy_spooled, spooled, path, self._staged, original)
        return (self._staged.records[path],)
