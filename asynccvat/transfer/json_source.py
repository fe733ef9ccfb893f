"""Read the files of tasks from calls that answer with JSON. Nothing is exported.

A task costs a call for its annotations and one for its frames. Each ground truth job and each
replica costs one more. `transfer.json_lookups` reads the rest in bulk, and `transfer.json_media`
fetches images and videos. If only the jobs of a task changed, the other files of its folder are
reused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import anyio

from asynccvat.aio.threads import in_thread
from asynccvat.archives import StagedArchive, write_files
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.client import CvatClient, internals
from asynccvat.core.annotations import json_files
from asynccvat.core.annotations.counts import read_task_annotations
from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.plans.mirror import Reason
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.selections.selection import JobSelection
from asynccvat.core.specs import ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ProtocolError
from asynccvat.events import Event, Retrying, TransferProgress, TransferStarted
from asynccvat.store import Staging
from asynccvat.transfer.json_lookups import Labels, TaskFields
from asynccvat.transfer.json_media import FetchedMedia, fetch_media, with_media
from asynccvat.transfer.orders import Destination, FetchOrder
from asynccvat.transfer.slots import RequestSlots

_FROM_LISTS = (json_files.TASK, json_files.JOBS)
"""The files that are written anew where only the jobs changed."""


class JsonSource:
    """Reads tasks by calls that answer with JSON, many at once.

    A task holds its slot while the server is asked, and until its files are written.
    """

    has_room = True
    """A slot is all that a task needs."""

    def __init__(
        self,
        client: CvatClient,
        spec: ExportSpec,
        jobs: Mapping[int, bytes] | None,
        slots: RequestSlots,
        *,
        bandwidth: Bandwidth | None,
        transfers: anyio.CapacityLimiter,
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare to read tasks.

        Args:
            client: The server.
            spec: Whether the names and sizes of frames are read, too.
            jobs: The text of `jobs.json` for each task that has jobs. None if their list may lack
                some. The jobs of each task then cost a call.
            slots: Slots for tasks that are being read.
            bandwidth: Limits the bytes of the answers; None for no limit.
            transfers: Limits the chunks of media that are fetched at once.
            emit: Receives the events.
        """
        self.calls = internals(client).json_calls
        self.spec = spec
        self.fields = TaskFields(client)
        self.labels = Labels(client)
        self.bandwidth = bandwidth
        self.transfers = transfers
        self.emit = emit
        self._jobs = jobs
        self._slots = slots

    def expect(self, orders: Sequence[FetchOrder]) -> None:
        """Note which tasks will be read, so that lists hold many of them."""
        self.fields.expect([order.task.id for order in orders])

    @contextmanager
    def reading(self, order: FetchOrder) -> Iterator[JsonReading]:
        """Begin with a task. The caller holds a slot, which is given back."""
        reading = JsonReading(self, order, self._slots.release)
        try:
            yield reading
        finally:
            reading.release_slot()

    async def jobs_of(self, task_id: int) -> bytes:
        """Return the text of a task's `jobs.json`.

        Raises:
            ProtocolError: The list of its jobs kept changing while it was read.
            AsyncCvatError: The server cannot be asked.
        """
        if self._jobs is not None:
            return self._jobs.get(task_id, json_files.NO_JOBS)
        found = await self.calls.jobs(JobSelection(task_ids=[task_id]))
        if not found.complete:
            raise ProtocolError(
                f"cannot read the jobs of task {task_id}: their list kept changing while it was "
                "read, or jobs in it cannot be read. What is here stays. Run again.",
                task_id=task_id,
                step="list",
            )
        own = [job for job in found.items if job.get("task_id") == task_id]
        return json_files.jobs_files(own).get(task_id, json_files.NO_JOBS)


class JsonReading:
    """One task while its files are read.

    Attributes:
        spec: What the folder will hold.
        jobs: Digest of the task's jobs, once they are read.
        rule: None: the files are the server's own.
    """

    rule = None

    def __init__(self, source: JsonSource, order: FetchOrder, release: Callable[[], None]) -> None:
        """Begin with a task that holds a slot.

        Args:
            source: The source.
            order: The task.
            release: Gives the slot back.
        """
        self.spec = source.spec
        self.jobs: str | None = None
        self._source = source
        self._order = order
        self._jobs_file = json_files.NO_JOBS
        self._release: Callable[[], None] | None = release
        self._files: dict[str, bytes] = {}
        self._annotations: int | None = None
        self._is_video = False
        self._transferred = self._told = 0

    def release_slot(self) -> None:
        """Give the slot to another task."""
        release, self._release = self._release, None
        if release is not None:
            release()

    async def prepare(self) -> None:
        """Read what lists say of the task, and all of it unless only its jobs changed."""
        task_id = self._order.task.id
        fields = await self._source.fields.take(task_id)
        self._jobs_file = await self._source.jobs_of(task_id)
        self.jobs = json_files.jobs_digest(self._jobs_file)
        self._is_video = fields.get("data_original_chunk_type") == "video"
        self._files = {
            json_files.TASK: json_files.json_text(fields),
            json_files.JOBS: self._jobs_file,
        }
        if self._order.reason != Reason.JOBS:
            await self._read_all()
        # Until here the run waits for the server's answers, not for the network. Without a size,
        # the rate of finished tasks predicts the time left: the bytes of answers tell nothing.
        self._source.emit(TransferStarted(task_id, None, 0))
        self._tell_progress()

    async def fill(
        self, destination: Destination[Any], staging: Any
    ) -> tuple[StagedArchive, str | None]:
        """Write the files. Where only the jobs changed, reuse the others."""
        if json_files.ANNOTATIONS not in self._files:
            read = await self._refresh(staging)
            if read is not None:
                self._tell_progress()
                self.release_slot()
                return self._counted(read), staging.previous.head.media_fingerprint
            await self._read_all()
            self._tell_progress()
        media = FetchedMedia()
        if self.spec.images:
            self.release_slot()
            media = await self._fetch_media(destination, staging)
        read = await in_thread(write_files, staging, self._files)
        assert read is not None, "no file is reused"
        self.release_slot()
        return with_media(self._counted(read), media), media.fingerprint

    def _counted(self, read: StagedArchive) -> StagedArchive:
        return replace(read, transferred=self._transferred, annotations=self._annotations)

    async def _fetch_media(self, destination: Destination[Any], staging: Staging) -> FetchedMedia:
        order, source = self._order, self._source

        async def start_over() -> None:
            why = "its media changed while they were fetched, so the task is read again"
            source.emit(Retrying(order.task.id, "download", why, 0.0))
            await self._read_all()
            self._tell_progress()

        return await fetch_media(
            destination.reader.media(
                staging, bandwidth=source.bandwidth, transfers=source.transfers
            ),
            task_id=order.task.id,
            is_video=self._is_video,
            meta=lambda: self._files[json_files.FRAMES],
            meta_again=partial(source.calls.data_meta, order.task.id),
            start_over=start_over,
            previous=staging.previous,
        )

    async def _refresh(self, staging: Staging) -> StagedArchive | None:
        """Reuse the files that do not depend on the jobs. None if one of them changed."""
        previous = staging.previous
        if previous is None or not previous.head.is_made_as(self.spec):
            return None
        own = set(map(json_files.annotations_of_job, self._own_jobs()))
        kept = [one for one in previous.members if self._is_kept(one, own)]
        new = own - {one.path for one in kept}
        for job_id in self._own_jobs():
            if json_files.annotations_of_job(job_id) in new:
                await self._read_job(job_id)
        self._annotations = previous.head.annotations
        return await in_thread(write_files, staging, self._files, kept)

    @staticmethod
    def _is_kept(member: MemberRecord, own: set[str]) -> bool:
        if json_files.is_own_annotations(member.path):
            return member.path in own
        return member.path not in _FROM_LISTS

    async def _read_all(self) -> None:
        task_id, calls = self._order.task.id, self._source.calls
        body = await calls.annotations(task_id)
        self._annotations = await self._add(json_files.ANNOTATIONS, body, count=True)
        if self.spec.frames:
            await self._add(json_files.FRAMES, await calls.data_meta(task_id))
        self._files[json_files.LABELS] = await self._source.labels.of(self._order.task)
        for job_id in self._own_jobs():
            if json_files.annotations_of_job(job_id) not in self._files:
                await self._read_job(job_id)

    async def _read_job(self, job_id: int) -> None:
        """Read the annotations of a ground truth job or of a consensus replica."""
        task_id = self._order.task.id
        body = await self._source.calls.annotations(job_id, TargetKind.JOB, task_id=task_id)
        await self._add(json_files.annotations_of_job(job_id), body)

    def _own_jobs(self) -> tuple[int, ...]:
        return json_files.jobs_with_own_annotations(self._jobs_file)

    def _tell_progress(self) -> None:
        """Emit how many bytes came since the last such event."""
        came, self._told = self._transferred - self._told, self._transferred
        if came:
            self._source.emit(TransferProgress(self._order.task.id, came))

    async def _add(self, name: str, body: bytes, *, count: bool = False) -> int | None:
        """Add an answer as a file. Returns the number of its annotations if it is to be counted."""
        task_id = self._order.task.id
        self._transferred += len(body)
        if self._source.bandwidth is not None:
            await self._source.bandwidth.take(len(body))
        # Fifty thousand boxes are 11 MB, whose decoding would hold the event loop up.
        self._files[name], total = await in_thread(partial(_as_file, name, body, task_id, count))
        return total


def _as_file(name: str, body: bytes, task_id: int, count: bool) -> tuple[bytes, int | None]:
    total = read_task_annotations(task_id, body).counts.total if count else None
    try:
        return json_files.json_file(body), total
    except UNREADABLE as error:
        raise ProtocolError(
            f"cannot read {name!r} of task {task_id}: the server sent JSON that cannot be read "
            f"({error}). Try again, or check the server's version.",
            task_id=task_id,
            step="annotations",
        ) from error
