"""Create one task: make it, send its media, have the server make its frames, and count them.

Each step is in the journal before the call that it announces, so a later process goes on from
there. `client.creations` makes the calls, `core.plans.create` decides where to begin.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import anyio

from asynccvat.client import internals
from asynccvat.client.creations import NewTask
from asynccvat.client.lookups import TaskLookups
from asynccvat.client.poller import Poller
from asynccvat.client.tus import BegunUpload, SentFile
from asynccvat.client.upload_file import ByteSource, LocalFile
from asynccvat.commands.create.context import CreateContext
from asynccvat.commands.create.frames import checked_frames
from asynccvat.commands.create.zip_source import ZipOfFiles
from asynccvat.core.media.kinds import MediaKind
from asynccvat.core.models import Task
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.create import CreateStep, CreateStepKind, lost_tasks
from asynccvat.core.plans.create_refusals import several
from asynccvat.core.plans.create_units import MediaUnit
from asynccvat.core.records.creations import (
    Discarding,
    Finishing,
    SendingBegun,
    Stage,
    TaskAsked,
    TaskDone,
    TaskMade,
)
from asynccvat.core.requests import RequestAccepted, RequestStatus, ServerRequest
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import (
    CreationFailedError,
    ExportExpiredError,
    ExportTimeoutError,
    UploadForgottenError,
    UploadTooLargeError,
)
from asynccvat.events import (
    ImportFinished,
    ImportRequested,
    TaskStarted,
    UploadProgress,
    UploadStarted,
)
from asynccvat.transfer.slots import RequestSlots


class TaskCreator:
    """Create tasks, many at once.

    Media that are sent and requests in flight have separate limits. Calls that make tasks may be
    unanswered side by side, because no two tasks of a run have the same name.
    """

    def __init__(self, context: CreateContext, poller: Poller) -> None:
        """Prepare to create tasks. The poller has to run."""
        self._context = context
        self._journal = context.journal
        self._calls = internals(context.client).creations
        self._poller = poller
        self._slots = RequestSlots(poller, context.options.concurrency)
        self._sending = anyio.CapacityLimiter(context.options.transfers)
        # Else the media of the first task wait in the server's queue behind the making of all.
        self._making = anyio.CapacityLimiter(context.options.transfers)
        self._tasks = TaskLookups(context.client)

    async def create(self, step: CreateStep) -> TaskOutcome:
        """Create one task, or go on with it.

        Raises:
            CreationFailedError: The server could not make the frames, or made another number.
            RequestUncertainError: It is unknown which task an earlier call made.
            AsyncCvatError: It failed. The next run goes on from there.
        """
        clock = asyncio.get_running_loop().time
        began, unit, sent = clock(), step.unit, _Sent()
        task_id = step.task_id
        if task_id is not None and step.kind is CreateStepKind.REPLACE:
            await self._discard(unit, task_id)
            task_id = None
        elif task_id is not None and self._context.creation(unit).task_id is None:
            await self._journal.note(TaskMade(self._project_id, unit.key, task_id))
        task_id, frames = await self._with_frames(step, task_id, sent)
        await self._journal.note(TaskDone(self._project_id, unit.key, frames))
        return TaskOutcome(
            task_id=task_id,
            name=unit.name,
            action=Action.CREATED,
            reason=step.reason,
            location=str(self._context.root / unit.path),
            files=len(unit.files),
            bytes=unit.size,
            transferred=sent.bytes,
            seconds=clock() - began,
            new_id=task_id,
        )

    @property
    def _project_id(self) -> int | None:
        return self._context.target.project_id

    async def _with_frames(
        self, step: CreateStep, task_id: int | None, sent: _Sent
    ) -> tuple[int, int]:
        """Return the id of a task with its frames, and how many it has."""
        unit = step.unit
        is_old = task_id is not None
        if task_id is None:
            task_id = await self._make(unit)
        try:
            await self._fill(unit, task_id, sent)
        except UploadTooLargeError as error:
            # No run can fill the task.
            await self._discard(unit, task_id)
            error.task_id = None
            raise
        except (CreationFailedError, UploadForgottenError) as error:
            # What an earlier process left may be a part of the media. A whole one is sent once.
            # One that the server still works on stays.
            if not is_old or (isinstance(error, CreationFailedError) and error.step == "wait"):
                raise
            await self._discard(unit, task_id)
            task_id = await self._make(unit)
            await self._fill(unit, task_id, sent)
        return task_id, await checked_frames(self._context, self._tasks, step, task_id)

    # --- the task -------------------------------------------------------------------------------

    async def _make(self, unit: MediaUnit) -> int:
        context, target = self._context, self._context.target
        is_images = unit.kind is MediaKind.IMAGE
        asked = TaskAsked(
            target.project_id,
            unit.key,
            unit.name,
            unit.fingerprint,
            context.after_id,
            single=context.options.single if is_images else None,
            split=context.options.split if is_images else None,
        )
        await self._journal.note(asked)
        new = NewTask(
            name=unit.name,
            project_id=target.project_id,
            labels=target.labels,
            subset=context.options.subset,
            segment_size=context.options.segment_size,
            overlap=context.options.overlap,
        )
        async with self._making:
            task = await self._calls.task(new, find_made=lambda: self._find_made(unit.name))
        await self._journal.note(TaskMade(target.project_id, unit.key, task.id))
        return task.id

    async def _find_made(self, name: str) -> Task | None:
        """Find the task that a call has made whose answer was lost."""
        context = self._context
        ids = None if self._project_id is None else [self._project_id]
        # The name may hold what a selection takes for a wildcard, so the list is not narrowed.
        listing = await context.client.tasks(Selection(project_ids=ids))
        ours = {one.task_id for one in self._journal.state.tasks.values() if one.task_id}
        named = [
            task
            for task in listing.tasks
            if task.name == name and task.project_id == self._project_id
        ]
        found = lost_tasks(named, context.after_id, context.user_id, ours)
        if len(found) > 1:
            raise several(name, found)
        return found[0] if found else None

    async def _discard(self, unit: MediaUnit, task_id: int) -> None:
        """Delete a task that our journal made, if it has neither frames nor annotations.

        Raises:
            CreationFailedError: It has some, or the server is making its frames.
        """

        async def check() -> bool:
            await self._check_empty(unit, task_id)
            await self._journal.note(Discarding(self._project_id, unit.key))
            return True

        await internals(self._context.client).deletions.discard(task_id, check)

    async def _check_empty(self, unit: MediaUnit, task_id: int) -> None:
        context = self._context
        # Asked before the size: a request that has ended by then has left its frames.
        request = await self._calls.data_request(task_id)
        task = (await context.client.tasks(Selection(task_ids=[task_id]))).tasks
        if task:
            annotations = await context.client.annotations(task_id)
            is_busy = request is not None and not request.ended
            if task[0].size or is_busy or annotations.counts.total:
                raise CreationFailedError(
                    f"cannot replace task {task_id}, which an interrupted run made of "
                    f"{unit.shown!r}: it is not empty any more. Look at it, and run again.",
                    task_id=task_id,
                    step="discard",
                )

    # --- its data -------------------------------------------------------------------------------

    async def _fill(self, unit: MediaUnit, task_id: int, sent: _Sent) -> None:
        """Send the media, and wait until the server has made frames of them."""
        self._context.emit(TaskStarted(task_id, unit.name))
        creation = self._context.creation(unit)
        if creation.stage is Stage.FINISHING:
            request = await self._calls.data_request(task_id)
            if request is not None:
                await self._wait(unit, task_id, request.id)
                return
            if (await self._context.client.task(task_id)).size:
                return  # the server has forgotten the request, and done it
        source = _source_of(self._context.root, unit)
        file = None
        if creation.upload is not None or not self._calls.fits_one_call(source.size):
            file = await self._send(source, unit, task_id, sent)
        await self._slots.acquire()
        try:
            accepted = await self._use(source, file, unit, task_id, sent)
            self._context.emit(ImportRequested(task_id, accepted.rq_id))
            await self._wait(unit, task_id, accepted.rq_id)
        finally:
            self._slots.release()

    async def _use(
        self,
        source: ByteSource,
        file: SentFile | None,
        unit: MediaUnit,
        task_id: int,
        sent: _Sent,
    ) -> RequestAccepted:
        """Have the server use the media. Small ones are sent with this call."""
        told = self._context.options.data_options(ordered=unit.ordered)
        if file is None:
            self._context.emit(UploadStarted(task_id, source.size))
            content = b"".join([piece async for piece in source.pieces(0, source.size)])
            await source.check_unchanged()
            await self._note_finishing(unit)
            accepted = await self._calls.send_in_one_call(task_id, source.filename, content, told)
            if accepted is not None:
                self._count_sent(task_id, sent, source.size)
                return accepted
            file = await self._send(source, unit, task_id, sent)
        await self._note_finishing(unit)
        return await self._calls.finish(task_id, file.file_id, told)

    async def _note_finishing(self, unit: MediaUnit) -> None:
        if self._context.creation(unit).stage is not Stage.FINISHING:
            await self._journal.note(Finishing(self._project_id, unit.key))

    def _count_sent(self, task_id: int, sent: _Sent, length: int) -> None:
        sent.bytes += length
        self._context.emit(UploadProgress(task_id, length))

    async def _send(
        self, source: ByteSource, unit: MediaUnit, task_id: int, sent: _Sent
    ) -> SentFile:
        creation = self._context.creation(unit)
        begun = None if creation.upload is None else BegunUpload(*creation.upload)
        if begun is not None and creation.stage is Stage.FINISHING:
            return SentFile(begun.file_id, certain=False)  # all of it was sent before that call

        async def note(created: BegunUpload) -> None:
            line = SendingBegun(self._project_id, unit.key, created.file_id, created.address)
            await self._journal.note(line)

        self._context.emit(UploadStarted(task_id, source.size))
        async with self._sending:
            file = await self._calls.send(
                task_id,
                source,
                begun,
                on_sent=lambda length: self._count_sent(task_id, sent, length),
                on_begun=note,
            )
        await source.check_unchanged()
        return file

    async def _wait(self, unit: MediaUnit, task_id: int, rq_id: str) -> None:
        """Wait until the server has made the frames.

        Raises:
            CreationFailedError: It could not, or takes too long.
        """
        clock = asyncio.get_running_loop().time
        watched = self._poller.watch(rq_id, task_id, asked_at=clock(), created=True)
        request: ServerRequest | None
        try:
            request = await self._poller.wait(watched)
        except ExportExpiredError:
            return  # the count of the frames tells what came of it
        except ExportTimeoutError as error:
            raise CreationFailedError(
                f"making task {task_id} of {unit.shown!r} takes too long: the server still works "
                "on it. Run the same command again later, or allow more time with "
                "--import-timeout.",
                task_id=task_id,
                rq_id=rq_id,
                step="wait",
            ) from error
        assert request is not None, "the result of a creation is never predicted"
        if request.state is RequestStatus.FAILED:
            raise CreationFailedError(
                f"the server could not make task {task_id} of {unit.shown!r}: "
                f"{(request.cause or 'it does not say why').rstrip('.')}. The task is empty. The "
                "next run replaces it.",
                task_id=task_id,
                rq_id=rq_id,
                step="create",
            )
        self._context.emit(
            ImportFinished(task_id, request.worker_seconds, ended_at=request.finished_date)
        )


@dataclass(slots=True)
class _Sent:
    """How many bytes of one task's media were sent."""

    bytes: int = 0


def _source_of(root: Path, unit: MediaUnit) -> ByteSource:
    if unit.kind is MediaKind.IMAGE:
        return ZipOfFiles(root, unit.files, folder=unit.folder, shown=unit.key)
    (file,) = unit.files
    path = root / file.path
    return LocalFile(path=path, shown=path, size=file.size, mtime_ns=file.mtime_ns)
