"""Download tasks into one folder each, without receipts.

`store.loose_folder` keeps such a folder, `commands.mirror.run` keeps a mirror with receipts.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from asynccvat.aio.threads import in_thread
from asynccvat.archives import ArchiveReader
from asynccvat.client import CvatClient, internals
from asynccvat.core.format_names import format_without_server
from asynccvat.core.models import Task
from asynccvat.core.options.mirror import DownloadOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.paths import NameRules
from asynccvat.core.plans.dimensions import other_dimension
from asynccvat.core.plans.download import DownloadChoice, DownloadPlan, PlannedDownload, choose_step
from asynccvat.core.plans.mirror import Reason
from asynccvat.core.selections.selection import Selection
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    ExportError,
    ForeignFolderError,
    StoreError,
)
from asynccvat.events import Event, Planned
from asynccvat.store import LooseFolder, Staging
from asynccvat.transfer.dispatcher import Dispatcher, within_handles
from asynccvat.transfer.folders import FolderDestination
from asynccvat.transfer.orders import Destination, FetchOrder, failed
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run


class _LooseFolders:
    """One folder for each order, held only while its archive is read."""

    def __init__(
        self,
        client: CvatClient,
        paths: Mapping[int, Path],
        options: DownloadOptions,
        emit: Callable[[Event], None],
        *,
        replace: bool,
    ) -> None:
        self._paths = paths
        self._durable = options.durable
        self._replace = replace
        self._reader = ArchiveReader(client, options, NameRules(), emit)

    @asynccontextmanager
    async def destination(self, order: FetchOrder) -> AsyncIterator[Destination[Staging]]:
        """Hold the folder of an order."""
        path = self._paths[order.task.id]
        opening = LooseFolder.open(path, durable=self._durable, replace=self._replace)
        async with opening as folder:
            yield FolderDestination(folder, self._reader.with_rules(folder.rules))


class DownloadRun:
    """Downloads of some tasks, each whole or absent."""

    def __init__(
        self,
        client: CvatClient,
        paths: Mapping[int, Path],
        spec: ExportSpec,
        options: DownloadOptions,
        *,
        skip_existing: bool,
        replace: bool,
    ) -> None:
        """Download tasks of a client."""
        self._client = client
        self._paths = paths
        self._spec = spec
        self._options = options
        self._skip_existing = skip_existing
        self._replace = replace

    async def work(self, run: Run) -> None:
        """Download, and write the run's report however it ends."""
        report = ReportBuilder(run, self._options, verb="download")
        await report.during(self._download(run, report))

    async def plan(self) -> DownloadPlan:
        """Return what would be done. Changes nothing, and does not ask the server."""
        await in_thread(_refuse_shared, self._paths)
        return DownloadPlan(
            tuple(
                [
                    PlannedDownload(await self._choice(path), task_id, path)
                    for task_id, path in self._paths.items()
                ]
            )
        )

    async def _choice(self, path: Path) -> DownloadChoice:
        present = await LooseFolder.contents(path)
        return choose_step(
            present,
            format_without_server(self._spec.format),
            skip_existing=self._skip_existing,
            replace=self._replace,
        )

    async def _download(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        await in_thread(_refuse_shared, self._paths)
        orders = [
            order
            for task_id in self._paths
            if (order := await self._order(task_id, report)) is not None
        ]
        if not orders:
            return None
        await internals(self._client).check_version()
        format_name = await internals(self._client).exporter(self._spec.format)
        self._spec = replace(self._spec, format=format_name)
        created: list[Path] = []
        try:
            # Check this now rather than after the server has exported everything.
            wanted = [self._paths[order.task.id] for order in orders]
            for path in {path.parent: path for path in wanted}.values():
                created += await LooseFolder.check_parent(path, durable=self._options.durable)
            orders = await self._of_the_formats_dimension(orders, report)
            run.emit(_planned(orders, report.outcomes))
            return await self._fetch(orders, run, report)
        finally:
            if created:
                # A download that failed would leave folders that hold none.
                await LooseFolder.remove_created(created)

    async def _fetch(
        self, orders: Sequence[FetchOrder], run: Run, report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Fetch what is missing. Returns the error that stopped it, if any did."""
        options = within_handles(self._options, report.warn)
        dispatcher = Dispatcher(
            self._client,
            _LooseFolders(self._client, self._paths, options, run.emit, replace=self._replace),
            self._spec,
            options,
            emit=run.emit,
            done=report.done,
            warn=report.warn,
            one_lock=False,
        )
        await dispatcher.fetch_all(orders)
        return dispatcher.stopped_by

    async def _of_the_formats_dimension(
        self, orders: list[FetchOrder], report: ReportBuilder
    ) -> list[FetchOrder]:
        """Return the orders whose export can hold annotations. Report the others."""
        formats = await self._client.formats()
        listing = await self._client.tasks(Selection(task_ids=[one.task.id for one in orders]))
        listed = {task.id: task for task in listing.tasks}
        fitting = []
        for order in orders:
            # The export of a task that is not listed fails with the server's own reason.
            task = listed.get(order.task.id, order.task)
            why = other_dimension(task, self._spec, formats)
            if why is None:
                # The task's mode decides the flavour of CVAT's own XML.
                fitting.append(msgspec.structs.replace(order, task=task))
                continue
            error = ExportError(
                f"cannot download task {task.id}: {why}", task_id=task.id, step="plan"
            )
            report.done(failed(order, error, 0.0))
        return fitting

    async def _order(self, task_id: int, report: ReportBuilder) -> FetchOrder | None:
        """Return the order to fetch a task. If its folder is filled, report that instead."""
        path = self._paths[task_id]
        order = FetchOrder(task=Task(id=task_id), folder=path.name, reason=Reason.ASKED_FOR)
        try:
            choice = await self._choice(path)
        except AsyncCvatError as error:
            report.done(failed(order, error, 0.0))
            return None
        if choice is DownloadChoice.FETCH:
            return order
        if choice is DownloadChoice.SKIP:
            warnings: tuple[str, ...] = ()
            try:
                await LooseFolder.clear_leftovers(path)
            except StoreError as error:
                warnings = (str(error),)  # the task is there, which is what counts
            report.done(
                TaskOutcome(
                    task_id=task_id,
                    action=Action.SKIPPED,
                    reason=Reason.EXISTING,
                    location=str(path),
                    warnings=warnings,
                )
            )
            return None
        filled = ForeignFolderError(
            f"cannot download task {task_id} to {str(path)!r}: the folder holds "
            f"{'something other than an export' if self._replace else 'files already'}. "
            "Move it away, or name another folder.",
            task_id=task_id,
            step="plan",
        )
        report.done(failed(order, filled, 0.0))
        return None


def _planned(orders: Sequence[FetchOrder], outcomes: Sequence[TaskOutcome]) -> Planned:
    """Return the event that tells how many tasks will be fetched, and were skipped or refused."""
    refused = sum(outcome.action is Action.FAILED for outcome in outcomes)
    return Planned(
        fetch=len(orders),
        keep=0,
        skip=len(outcomes) - refused,
        move=0,
        remove=0,
        refuse=refused,
    )


def _refuse_shared(paths: Mapping[int, Path]) -> None:
    """Check that no two tasks have the same folder. Blocks while it asks the system for paths.

    Raises:
        ConfigError: Two tasks have the same folder.
    """
    owners: dict[str, int] = {}
    for task_id, path in paths.items():
        other = owners.setdefault(os.path.normpath(path.absolute()), task_id)
        if other != task_id:
            raise ConfigError(
                f"tasks {other} and {task_id} cannot share {str(path)!r}: each needs its own "
                "folder. "
                "Name another one for one of them."
            )
