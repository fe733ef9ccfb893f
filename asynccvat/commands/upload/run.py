"""Upload many files: find them, list their tasks, make the plan and carry it out.

`commands.upload.discovery` finds the files, `core.plans.upload` compares them with the tasks.
`commands.upload.dispatcher` uploads many at once, `commands.upload.one_task` each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient, internals
from asynccvat.commands.upload.discovery import Discovery, FoundFile, importer_of
from asynccvat.commands.upload.dispatcher import UploadDispatcher, failed
from asynccvat.commands.upload.json_put import holds_content
from asynccvat.commands.upload.one_task import Imported, UploadOrder, replacement_of
from asynccvat.commands.upload.replacement import is_left_by
from asynccvat.core.annotations.states import read_moment
from asynccvat.core.format_names import means_json
from asynccvat.core.models import TaskListing
from asynccvat.core.options.upload import ImportMode, UploadOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.upload import (
    RefuseUpload,
    SkipUpload,
    Upload,
    UploadPlan,
    plan_uploads,
)
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import CVAT_JSON
from asynccvat.errors import AsyncCvatError, ConfigError
from asynccvat.events import Event, ListingRead, Planned
from asynccvat.transfer.outages import OF_THE_RUN
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

# Tasks whose annotations a dry run reads at once.
_READ_AT_ONCE = 8


class UploadRun:
    """One upload, from finding the files to the last receipt."""

    def __init__(
        self,
        client: CvatClient,
        source: Mapping[int, Path] | Path,
        task_ids: Sequence[int] | None,
        format_name: str | None,
        options: UploadOptions,
        *,
        at: str | None = None,
    ) -> None:
        """Upload files into a client's tasks.

        Args:
            client: The server.
            source: The file or folder of each task, or the folder of the tasks' folders.
            task_ids: The tasks, with a folder of folders. None takes all that it holds.
            format_name: The importer's or the exporter's name. None takes the receipts'.
            options: The options.
            at: Put back what the tasks had on this day or at this time; None takes the files that
                are there now.

        Raises:
            ConfigError: The arguments contradict each other.
        """
        if at is not None:
            _check_earlier(source, task_ids, format_name, options)
        if task_ids is not None and isinstance(source, Mapping):
            raise ConfigError("the files name their tasks already. Give no task_ids as well.")
        # Check the ids as those of any selection.
        Selection(task_ids=list(source) if isinstance(source, Mapping) else task_ids)
        self._client = client
        self._options = options
        moment = None if at is None else read_moment(at)
        self._discovery = Discovery(client, source, task_ids, format_name, options, at=moment)

    async def work(self, run: Run) -> None:
        """Upload, and write the run's report however it ends."""
        report = ReportBuilder(run, self._options, verb="upload")
        await report.during(self._upload(run, report))

    async def plan(self) -> UploadPlan:
        """Return what would be done, and why. Changes nothing, neither here nor at the server."""
        async with self._discovery.discover(read_only=True) as found:
            plan_, orders = await self._prepare(found)
            refused = await self._refused_for_loss(orders)
        return plan_.with_refusals(refused)

    async def _refused_for_loss(self, orders: Sequence[UploadOrder]) -> dict[int, AsyncCvatError]:
        """Return why tasks would be refused for what they have. Reads a few tasks at once."""
        limiter = anyio.CapacityLimiter(_READ_AT_ONCE)
        refused: dict[int, AsyncCvatError] = {}

        async def check(order: UploadOrder) -> None:
            task_id = order.step.task_id
            async with limiter:
                try:
                    await replacement_of(self._client, order, self._options).read()
                except OF_THE_RUN:
                    raise
                except AsyncCvatError as error:
                    refused[task_id] = error

        async with task_group() as group:
            for order in orders:
                group.start_soon(check, order)
        return refused

    async def _upload(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with self._discovery.discover(read_only=False, warn=report.warn) as found:
            plan_, orders = await self._prepare(found, run.emit)
            for skip in plan_.of(SkipUpload):
                report.done(_skipped(skip))
            for refusal in plan_.of(RefuseUpload):
                report.done(failed(refusal, refusal.problem))
            dispatcher = UploadDispatcher(self._client, self._options, run.emit, report)
            await dispatcher.upload_all(orders)
            await _note_dates(self._client, dispatcher.imported, report)
        return dispatcher.stopped_by

    # --- the plan ---------------------------------------------------------------------------

    async def _prepare(
        self, found: list[FoundFile], emit: Callable[[Event], None] = lambda _: None
    ) -> tuple[UploadPlan, list[UploadOrder]]:
        """List only the tasks that can be uploaded to, and compare them with the files."""
        listing = TaskListing(())
        if any(self._is_due(one) for one in found):
            await internals(self._client).check_version()
            await internals(self._client).check_may_write()
            await internals(self._client).check_mode(self._options.mode)
            found = [await self._checked(one) for one in found]
            ids = [one.candidate.task_id for one in found if self._is_due(one)]
            listing = await self._client.tasks(Selection(task_ids=ids))
            dates = {task.id: task.updated_date for task in listing.tasks}
            found = [await self._as_left(one, dates) for one in found]
        emit(ListingRead(len(listing.tasks), listing.complete))
        plan_ = plan_uploads(
            [one.candidate for one in found],
            listing,
            # Annotations that are appended replace no work.
            overwrite=self._options.overwrite or self._options.mode == ImportMode.APPEND,
            force=self._options.force,
        )
        counts = plan_.counts
        emit(
            Planned(
                fetch=0,
                keep=0,
                skip=counts.get("skip", 0),
                move=0,
                remove=0,
                refuse=counts.get("refuse", 0),
                upload=counts.get("upload", 0),
            )
        )
        by_task = {one.candidate.task_id: one for one in found}
        orders = []
        for step in plan_.of(Upload):
            one = by_task[step.task_id]
            assert one.source is not None, "only files that were found are uploaded"
            kind = one.source.check(await importer_of(self._client, step.importer))
            orders.append(UploadOrder(step, one.source, kind, one.mirrored, one.replaced))
        return plan_, orders

    async def _as_left(self, found: FoundFile, dates: Mapping[int, str]) -> FoundFile:
        """If an interrupted upload left the task as it is now, begin from that state."""
        one = found.candidate
        now = dates.get(one.task_id, one.mirrored_date)
        if found.mirrored is None or one.mirrored_date is None or one.mirrored_date == now:
            return found
        assert now is not None, "the server lists a date"
        intent = await found.mirrored.store.replaced.intent(one.task_id)
        if intent is None or intent.mirrored_date != one.mirrored_date:
            return found
        if one.importer == CVAT_JSON and found.source is not None:
            is_own = await holds_content(self._client, one.task_id, found.source.shown)
        else:
            is_own = await is_left_by(intent, self._client, one.task_id, now)
        if is_own:
            return replace(found, candidate=replace(one, left_date=now))
        return found

    def _is_due(self, found: FoundFile) -> bool:
        candidate = found.candidate
        skipped = candidate.may_be_skipped(force=self._options.force)
        return candidate.problem is None and not skipped

    async def _checked(self, found: FoundFile) -> FoundFile:
        """Check files against their importer, by the server's list of formats."""
        candidate = found.candidate
        if found.source is None or not self._is_due(found):
            return found
        importer = await importer_of(self._client, candidate.importer)
        try:
            found.source.check(importer)
        except AsyncCvatError as error:
            error.task_id = candidate.task_id
            return replace(found, candidate=replace(candidate, problem=error))
        candidate = replace(candidate, importer=importer.name, dimension=importer.dimension)
        return replace(found, candidate=candidate)


def _check_earlier(
    source: Mapping[int, Path] | Path,
    task_ids: Sequence[int] | None,
    format_name: str | None,
    options: UploadOptions,
) -> None:
    """Refuse what has no meaning where earlier annotations are put back.

    Raises:
        ConfigError: Something has none.
    """
    if isinstance(source, Mapping) or task_ids is None:
        raise ConfigError(
            "earlier annotations are those of a mirror's tasks. Name the mirror and its tasks."
        )
    if format_name is not None and not means_json(format_name):
        raise ConfigError(
            f"earlier annotations are kept as JSON, not as {format_name!r}. Leave out the format."
        )
    if options.mode == ImportMode.APPEND:
        raise ConfigError(
            "earlier annotations replace those of the task. Leave out the mode, which is to append."
        )


async def _note_dates(
    client: CvatClient, imported: Sequence[tuple[UploadOrder, Imported]], report: ReportBuilder
) -> None:
    """Note the tasks' new states in the receipts, if the imports caused these states.

    The next upload is then refused only if another user changed the task.
    A state from before or after the import is not noted, and may be a person's work.
    """
    noted = {
        order.step.task_id: (order, one)
        for order, one in imported
        if one.keeper.path is not None or (order.mirrored is not None and one.records)
    }
    if not noted:
        return
    try:
        for task in (await client.tasks(Selection(task_ids=list(noted)))).tasks:
            order, one = noted[task.id]
            if not _is_within(task.updated_date, one.between):
                await one.keeper.note_upload(None)
            elif order.mirrored is not None and one.records:
                await order.mirrored.store.note_upload(
                    task.id, one.records, updated_date=task.updated_date
                )
    except AsyncCvatError as error:
        report.warn(
            "cannot note the new states of the tasks in the receipts, so the next upload "
            f"refuses these tasks until they are mirrored, unless --overwrite is given: {error}"
        )


def _is_within(updated_date: str, between: tuple[datetime, datetime] | None) -> bool:
    try:
        moment = datetime.fromisoformat(updated_date)
    except ValueError:
        return False
    return between is not None and between[0] <= moment <= between[1]


def _skipped(step: SkipUpload) -> TaskOutcome:
    return TaskOutcome(
        task_id=step.task_id,
        name=step.name,
        action=Action.SKIPPED,
        reason=step.reason,
        location=str(step.path),
    )
