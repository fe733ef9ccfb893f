"""Plan an export to a cloud storage, and carry the plan out.

`core.plans.cloud` compares; `commands.export_to_cloud.dispatcher` requests many exports at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from asynccvat.client import CvatClient, internals
from asynccvat.commands.export_to_cloud.dispatcher import CloudDispatcher, failed
from asynccvat.commands.export_to_cloud.objects import ObjectLookup
from asynccvat.commands.mirror.listing import TargetSelection, list_targets
from asynccvat.core.options.cloud import RECORD_SUFFIX, CloudOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.cloud import (
    CloudPlan,
    CloudReason,
    CloudRecord,
    CloudStep,
    folder_of,
    plan_writes,
    read_records,
)
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import ExportSpec, RequestSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    ExportError,
    NotFoundError,
    ObjectExistsError,
)
from asynccvat.events import DestinationSettled, ListingRead, Planned
from asynccvat.store.journal import Journal
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

_KIND = "exports to cloud storages"
_AVAILABLE = "AVAILABLE"


class CloudRun:
    """One export of many targets to a cloud storage."""

    def __init__(
        self,
        client: CvatClient,
        storage_id: int,
        prefix: str,
        selection: Selection,
        *,
        spec: RequestSpec,
        options: CloudOptions,
    ) -> None:
        """Export a selection of a client's targets to one of its server's cloud storages.

        Args:
            client: The server.
            storage_id: The cloud storage.
            prefix: The folder in it.
            selection: Which targets.
            spec: What the server makes of each.
            options: The options.

        Raises:
            ConfigError: The folder cannot be used, a condition has no meaning for the targets, or
                the record's name has another ending.
        """
        self._client = client
        self._storage_id = storage_id
        self._folder = folder_of(prefix)
        self._spec = spec
        self._options = options
        self._wanted = TargetSelection(
            target=spec.target,
            selection=selection,
            stage=options.stage,
            state=options.state,
            type=options.type,
        )
        wrong = self._wanted.unfitting
        if wrong is not None:
            raise ConfigError(
                f"cannot {spec.verb} {spec.target.plural} with {wrong}: it has no meaning for "
                f"{spec.target.plural}. Leave it out."
            )
        self._objects = ObjectLookup(client, storage_id, self._folder)
        self._record = None if options.record is None else Path(options.record)
        if self._record is not None and self._record.suffix != RECORD_SUFFIX:
            raise ConfigError(
                f"the record {str(self._record)!r} cannot be used: its name has to end with "
                f"{RECORD_SUFFIX}. Give another with --record."
            )

    async def plan(self) -> CloudPlan:
        """Return what would be written, and why. Changes nothing, neither here nor there."""
        async with self._journal(read_only=True) as journal:
            return await self._prepare(journal)

    async def work(self, run: Run) -> None:
        """Export, and write the run's report however it ends."""
        run.target = self._spec.target
        report = ReportBuilder(run, self._options, verb="export_to_cloud")
        await report.during(self._export(run, report))

    async def _export(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with self._journal(read_only=False) as journal:
            plan = await self._prepare(journal)
            run.emit(DestinationSettled(plan.description))
            run.emit(ListingRead(len(plan.listing.tasks), plan.listing.complete))
            counts = plan.counts
            run.emit(
                Planned(
                    fetch=counts.get("write", 0),
                    keep=counts.get("keep", 0),
                    skip=counts.get("skip", 0),
                    move=0,
                    remove=0,
                    refuse=counts.get("refuse", 0),
                )
            )
            report.set_listing(complete=plan.listing.complete, guard=None)
            if not plan.listing.complete:
                report.warn("the listing is incomplete. Run again for the rest.")
            for step in plan.steps:
                if step.step != "write":
                    report.done(self._without_export(step))

            async def note(record: CloudRecord) -> None:
                if journal is not None:
                    await journal.note(record)

            dispatcher = CloudDispatcher(
                self._client,
                self._spec,
                self._options,
                storage_id=self._storage_id,
                objects=self._objects,
                note=note,
                emit=run.emit,
                done=report.done,
                warn=report.warn,
            )
            await dispatcher.write_all(plan.of("write"))
        return dispatcher.stopped_by

    @contextlib.asynccontextmanager
    async def _journal(self, *, read_only: bool) -> AsyncIterator[Journal | None]:
        """Open the record, if there is to be one."""
        if self._record is None:
            yield None
            return
        async with Journal.open(
            self._record.parent,
            self._record.name.removesuffix(RECORD_SUFFIX),
            kind=_KIND,
            origin=self._client.origin,
            organization=self._client.organization,
            durable=self._options.durable,
            break_lock=self._options.break_lock,
            read_only=read_only,
            option="--record",
        ) as journal:
            yield journal

    async def _prepare(self, journal: Journal | None) -> CloudPlan:
        """Check the storage, read the list and the objects, and compare them."""
        storage = await self._client.cloud_storage(self._storage_id)
        status = await self._client.cloud_storage_status(self._storage_id)
        if status != _AVAILABLE:
            raise ConfigError(
                f"cannot export to cloud storage {storage.id} ({storage.display_name!r}): the "
                f"server says that it is {status}. Look at it in CVAT."
            )
        if not self._folder.startswith(storage.prefix):
            inside = f"{storage.prefix.rstrip('/')}/{self._folder}".rstrip("/")
            raise ConfigError(
                f"cannot export to {self._folder!r} in cloud storage {storage.id} "
                f"({storage.display_name!r}): CVAT lists only what lies under {storage.prefix!r} "
                f"there, so what would be replaced cannot be seen. Use --prefix {inside!r}."
            )
        listing = await list_targets(self._client, self._wanted)
        formats = None
        if isinstance(self._spec, ExportSpec):
            formats = await self._client.formats()
            await internals(self._client).check_version()
            format_name = await internals(self._client).exporter(self._spec.format)
            self._spec = replace(self._spec, format=format_name)
        steps = plan_writes(
            listing,
            self._spec,
            storage_id=self._storage_id,
            folder=self._folder,
            existing=await self._objects.names(),
            records=read_records(() if journal is None else journal.lines, self._storage_id),
            overwrite=self._options.overwrite,
            formats=formats,
            named=self._wanted.selection.task_ids is not None,
        )
        place = f"{storage.resource or storage.display_name}/{self._folder}"
        return CloudPlan(
            steps=steps,
            listing=listing,
            target=self._spec.target,
            description=(
                f"{self._client.origin} writes {self._spec.noun}s of {self._spec.target.plural} "
                f"to cloud storage {storage.id}: {place}"
            ),
        )

    def _without_export(self, step: CloudStep) -> TaskOutcome:
        """Return the outcome of a step that asks the server for nothing."""
        target = self._spec.target
        if step.step == "refuse":
            return self._refused(step)
        return TaskOutcome(
            task_id=step.target_id,
            target=target,
            name=step.name,
            action=Action.KEPT if step.step == "keep" else Action.SKIPPED,
            reason=step.reason,
            location=step.key if step.step == "keep" else None,
            warnings=() if step.step == "keep" else (step.explanation,),
        )

    def _refused(self, step: CloudStep) -> TaskOutcome:
        """Return the outcome of a step that fails without a call."""
        what = f"{self._spec.target} {step.target_id} to {step.key!r}"
        if step.reason is CloudReason.NO_TASK:
            what = f"the jobs of task {step.target_id}"
        said = f"cannot {self._spec.verb} {what}: {step.explanation.removesuffix('.')}."
        error: AsyncCvatError = ObjectExistsError(said, task_id=step.target_id, step="plan")
        if step.reason is CloudReason.DIMENSION:
            error = ExportError(said, task_id=step.target_id, step="plan")
        elif step.reason in (CloudReason.NO_TASK, CloudReason.NOT_FOUND):
            said += " Check the id, the user and the organization."
            error = NotFoundError(said, status=404, task_id=step.target_id, step="list")
        outcome = failed(step, self._spec, error)
        if step.reason is CloudReason.NO_TASK:
            return structs.replace(outcome, target=TargetKind.TASK)
        return outcome
