"""Put back what uploads replaced: `upload --undo`.

The newest kept state is put back that differs from what the task holds, or the one that the user
names. What the task holds is kept first, so a second undo takes the first one back.
`store.replaced` has the states.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from asynccvat.aio.task_groups import run_limited
from asynccvat.aio.threads import in_thread, shielded
from asynccvat.client import CvatClient, internals
from asynccvat.commands.upload.dispatcher import failed
from asynccvat.commands.upload.json_put import replace_and_read
from asynccvat.commands.upload.keeping import add_hint
from asynccvat.core.annotations.counts import TaskAnnotations, read_task_annotations
from asynccvat.core.models import Task
from asynccvat.core.options.upload import UploadOptions
from asynccvat.core.outcomes import Action, AnnotationChange, TaskOutcome
from asynccvat.core.plans.undo import (
    changed_since_upload,
    check_put_back,
    no_such_state,
    nothing_kept,
    put_back_refused,
    undo_uncertain,
)
from asynccvat.core.plans.upload import (
    PutBack,
    RefuseUpload,
    SkipUpload,
    UploadPlan,
    UploadReason,
    UploadStep,
    not_found,
)
from asynccvat.core.records.replaced import ReplacedState, content_digest, to_put_back
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    ResponseError,
    ServerError,
    StoreError,
    UploadError,
)
from asynccvat.events import Event, ListingRead, Planned
from asynccvat.http import HeldBackError
from asynccvat.store import MirrorStore, ReplacedAnnotations
from asynccvat.store.placement import is_destination
from asynccvat.transfer.outages import OF_EVERY_TASK
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

# Tasks at once. Each replacement takes the server's own time, and no worker of its queue.
_AT_ONCE = 4
# The Date header has whole seconds, rounded down.
_DATE_RESOLUTION = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Undo:
    """What is to be done with one task.

    Attributes:
        step: The step of the plan.
        now: What the task holds, None if that was not read.
        raw: What is put back, as it was kept.
        state: Where that is kept.
    """

    step: UploadStep
    now: TaskAnnotations | None = None
    raw: bytes = b""
    state: ReplacedState | None = None


@dataclass(frozen=True, slots=True)
class UndoPlace:
    """Where states are kept: in a mirror, or in a folder of `--backup-dir`."""

    replaced: ReplacedAnnotations
    mirror: MirrorStore | None = None
    mirrored: frozenset[int] = frozenset()


class UndoRun:
    """One undo of uploads to some tasks."""

    def __init__(
        self,
        client: CvatClient,
        folder: Path,
        states: Mapping[int, str | None],
        options: UploadOptions,
        *,
        of_ranges: Collection[int] = (),
    ) -> None:
        """Put back what was replaced in a client's tasks.

        Args:
            client: The server.
            folder: The mirror, or the folder of `--backup-dir`.
            states: The name of the state to put back for each task. None takes the newest that
                differs from what the task holds.
            options: The options; most of an upload's have no meaning here.
            of_ranges: The tasks that are left out if nothing of them is kept.
        """
        self._selection = Selection(task_ids=tuple(states))
        self._client = client
        self._folder = folder
        self._task_ids = self._selection.task_ids or ()
        self._states = states
        self._of_ranges = of_ranges
        self._options = options

    async def work(self, run: Run) -> None:
        """Put the states back, and write the run's report however it ends."""
        report = ReportBuilder(run, self._options, verb="undo_upload")
        await report.during(self._put_all_back(run, report))

    async def plan(self) -> UploadPlan:
        """Return what would be put back, and why. Changes nothing, neither here nor there."""
        found: dict[int, UploadStep] = {}

        async def look(place: UndoPlace, task_id: int, task: Task | None) -> None:
            found[task_id] = (await self.look(place, task_id, task)).step

        async with self.open_place(read_only=True) as place:
            await self._leave_gaps_out(place)
            await self._for_each_task(partial(look, place))
        return UploadPlan(tuple(found[task_id] for task_id in self._task_ids))

    async def _put_all_back(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        stopped: list[AsyncCvatError] = []

        async def put_back(place: UndoPlace, task_id: int, task: Task | None) -> None:
            if stopped:
                return
            outcome = None
            try:
                while outcome is None:
                    # Right before it is replaced, so that little can change in between.
                    undo = await self.look(place, task_id, task)
                    with suppress(HeldBackError):
                        outcome = await self._done(place, undo)
                report.done(outcome)
            except OF_EVERY_TASK as error:
                stopped.append(error)

        async with self.open_place(read_only=False) as place:
            await self._leave_gaps_out(place)
            await self._for_each_task(partial(put_back, place), run.emit)
            if place.mirror is not None:
                for warning in place.mirror.new_warnings():
                    report.warn(warning)
        return stopped[0] if stopped else None

    async def _leave_gaps_out(self, place: UndoPlace) -> None:
        """Leave out the numbers of ranges for which nothing is kept."""
        gaps = {one for one in self._of_ranges if not await self.is_kept(place, one)}
        if gaps:
            self._task_ids = tuple(one for one in self._task_ids if one not in gaps)
            self._selection = Selection(task_ids=self._task_ids)

    async def _for_each_task(
        self,
        work: Callable[[int, Task | None], Awaitable[None]],
        emit: Callable[[Event], None] = lambda _: None,
    ) -> None:
        await internals(self._client).check_may_write()
        listing = await self._client.tasks(self._selection)
        emit(ListingRead(len(listing.tasks), listing.complete))
        emit(
            Planned(fetch=0, keep=0, skip=0, move=0, remove=0, refuse=0, upload=len(self._task_ids))
        )
        tasks = {task.id: task for task in listing.tasks}
        await run_limited(
            _AT_ONCE, [partial(work, task_id, tasks.get(task_id)) for task_id in self._task_ids]
        )

    # --- the plan ---------------------------------------------------------------------------

    @asynccontextmanager
    async def open_place(self, *, read_only: bool) -> AsyncIterator[UndoPlace]:
        """Open the folder that holds the states.

        Raises:
            ConfigError: It holds none, or those of another server.
            StoreError: It cannot be used.
        """
        client, options = self._client, self._options
        if await in_thread(is_destination, self._folder):
            async with MirrorStore.open(
                self._folder,
                origin=client.origin,
                organization=client.organization,
                durable=options.durable,
                break_lock=options.break_lock,
                read_only=read_only,
            ) as store:
                yield UndoPlace(store.replaced, store, frozenset(await store.receipts()))
            return
        if not await in_thread(self._folder.is_dir):
            raise ConfigError(
                f"cannot undo uploads from {str(self._folder)!r}: there is no such folder. Name "
                "the mirror with -i, or the folder that was given with --backup-dir."
            )
        async with ReplacedAnnotations.open(
            self._folder, origin=client.origin, durable=options.durable, read_only=read_only
        ) as replaced:
            yield UndoPlace(replaced)

    async def is_kept(self, place: UndoPlace, task_id: int) -> bool:
        """Whether there is something to put back into a task.

        Raises:
            StoreError: The folder cannot be read.
        """
        return bool(await place.replaced.states(task_id))

    async def look(self, place: UndoPlace, task_id: int, task: Task | None) -> Undo:
        """Decide about one task: choose the state to put back, or refuse."""
        name, path = "" if task is None else task.name, place.replaced.path
        try:
            states = self._chosen(await place.replaced.states(task_id), task_id, path)
            if task is None:
                problem: AsyncCvatError = not_found(task_id, what="undo an upload to")
                return Undo(RefuseUpload(task_id, name, path, UploadReason.NOT_FOUND, problem))
            if not states:
                problem = nothing_kept(task_id, str(path))
                return Undo(RefuseUpload(task_id, name, path, UploadReason.NOTHING_KEPT, problem))
            now = await self._client.annotations(task_id)
            digest = await in_thread(content_digest, now.raw)
            for state in states:
                raw = await place.replaced.read(state)
                if await in_thread(content_digest, raw) != digest:
                    break
            else:
                return Undo(SkipUpload(task_id, name, path, UploadReason.UNCHANGED))
            path = path / state.name
            last = await place.replaced.last_upload(task_id)
            if not self._options.overwrite and (last is None or last.digest != digest):
                problem = changed_since_upload(task_id, known=last is not None)
                return Undo(RefuseUpload(task_id, name, path, UploadReason.CONFLICT, problem))
            kept = (await in_thread(read_task_annotations, task_id, raw)).counts
            step = PutBack(task_id, name, path, UploadReason.UNDO, now.counts, kept)
            return Undo(step, now, raw, state)
        except OF_EVERY_TASK:
            raise
        except AsyncCvatError as error:
            error.task_id = task_id
            of_files = isinstance(error, UploadError | StoreError)
            reason = UploadReason.FILE if of_files else UploadReason.UNREADABLE
            return Undo(RefuseUpload(task_id, name, path, reason, error))

    def _chosen(
        self, states: tuple[ReplacedState, ...], task_id: int, path: Path
    ) -> tuple[ReplacedState, ...]:
        """Return the states that may be put back: the named one, or all.

        Raises:
            UploadError: There is no such state.
        """
        name = self._states[task_id]
        if name is None or not states:
            return states
        named = tuple(state for state in states if state.name == name)
        if not named:
            raise no_such_state(task_id, name, str(path), [state.name for state in states])
        return named

    # --- one task ---------------------------------------------------------------------------

    async def _done(self, place: UndoPlace, undo: Undo) -> TaskOutcome:
        """Do what was decided about one task, and return how it ended."""
        match undo.step:
            case RefuseUpload() as step:
                return failed(step, step.problem)
            case PutBack() as step:
                try:
                    return await self._put_back(place, undo, step)
                except OF_EVERY_TASK:
                    raise
                except AsyncCvatError as error:
                    refused = RefuseUpload(step.task_id, step.name, step.path, step.reason, error)
                    return failed(refused, error)
            case step:
                return TaskOutcome(
                    task_id=step.task_id,
                    name=step.name,
                    action=Action.SKIPPED,
                    reason=step.reason,
                    location=str(step.path),
                )

    async def _put_back(self, place: UndoPlace, undo: Undo, step: PutBack) -> TaskOutcome:
        assert undo.now is not None, "it was read"
        clock = asyncio.get_running_loop().time
        began = clock()
        content = await in_thread(to_put_back, undo.raw)
        state = await place.replaced.keep(step.task_id, undo.now.raw)
        before = self._client.server_date
        # A cancellation in between would leave a task of which nothing tells how it came about.
        after = await shielded(self._replace(place, step, content, undo))
        check_put_back(step.task_id, wanted=step.kept, found=after.counts, file=str(step.path))
        return TaskOutcome(
            task_id=step.task_id,
            name=step.name,
            action=Action.UPLOADED,
            reason=step.reason,
            location=str(step.path),
            files=1,
            bytes=len(undo.raw),
            transferred=len(content),
            seconds=clock() - began,
            annotations=AnnotationChange(step.now.total, step.kept.total, after.counts.total),
            kept=str(place.replaced.path / state.name),
            warnings=await self._note_in_receipt(place, step.task_id, before),
        )

    async def _replace(
        self, place: UndoPlace, step: PutBack, content: bytes, undo: Undo
    ) -> TaskAnnotations:
        """Replace the annotations, and return and note what the task holds then.

        If the answer is lost, what the task holds tells whether it happened.
        """
        task_id = step.task_id
        assert undo.now is not None, "it was read"
        try:
            after = await replace_and_read(
                self._client,
                task_id,
                content,
                wanted=undo.raw,
                before=undo.now.raw,
                uncertain=lambda lost: undo_uncertain(lost, task_id),
                in_part=lambda error: add_hint(
                    error, f"`{self._completing(place, undo)}` completes it."
                ),
            )
        except ServerError:
            raise  # what the task holds told that nothing was replaced
        except ResponseError as error:
            raise put_back_refused(error, task_id, str(step.path), len(content)) from error
        await place.replaced.note_upload(task_id, after.raw)
        return after

    def _completing(self, place: UndoPlace, undo: Undo) -> str:
        """Return the command that completes what was put back in part."""
        task_id = undo.step.task_id
        return place.replaced.command(task_id, overwrite=True, state=undo.state)

    async def _note_in_receipt(
        self, place: UndoPlace, task_id: int, before: datetime | None
    ) -> tuple[str, ...]:
        """Note the task's new state in its receipt, so that the next upload is no conflict."""
        if place.mirror is None or task_id not in place.mirrored or before is None:
            return ()
        try:
            date = (await self._client.task(task_id)).updated_date
            now = self._client.server_date
            if now is not None and before <= datetime.fromisoformat(date) <= now + _DATE_RESOLUTION:
                await place.mirror.note_upload(task_id, (), updated_date=date)
        except (AsyncCvatError, ValueError) as error:
            return (f"put back, but not noted in the receipt: {error}",)
        return ()
