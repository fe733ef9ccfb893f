"""Import datasets into a project: check the files, compare them with the journal, carry it out.

The journals of imports are like those of restores: one in the folder of the files, for each server.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.client.poller import Poller
from asynccvat.client.upload_file import LocalFile
from asynccvat.commands.import_dataset.one_file import DatasetImporter, DatasetOrder
from asynccvat.commands.restore.records import IMPORTS, RestoreJournal, journal_folder
from asynccvat.core.models import Format, Project
from asynccvat.core.options.restore import ImportOptions
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.plans.import_dataset import (
    DatasetCandidate,
    DatasetPlan,
    ImportDataset,
    RefuseDataset,
    SkipDataset,
    not_begun,
    plan_datasets,
)
from asynccvat.core.plans.restore import too_large
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import (
    AsyncCvatError,
    BackupFileError,
    ConfigError,
    RequestUncertainError,
    StoreError,
)
from asynccvat.events import Event, ImportStarted, ListingRead, Planned, QueueStalled
from asynccvat.transfer.bugs import of_one_task
from asynccvat.transfer.outages import OF_EVERY_TASK, end_of_run
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run


class ImportDatasetRun:
    """One import of datasets, from checking the files to the last task."""

    def __init__(
        self,
        client: CvatClient,
        project: int | str,
        files: Sequence[Path],
        format_name: str,
        options: ImportOptions,
    ) -> None:
        """Import datasets into a project of a client's server.

        Args:
            client: The server.
            project: The project, by its id or name.
            files: The datasets.
            format_name: The importer's or the exporter's name.
            options: The options.

        Raises:
            ConfigError: No file is given.
        """
        if not files:
            raise ConfigError("no files are given. Name the datasets to import.")
        self._client = client
        self._project = project
        self._files = files
        self._format = format_name
        self._options = options

    async def work(self, run: Run) -> None:
        """Import, and write the run's report however it ends."""
        run.target = TargetKind.PROJECT
        report = ReportBuilder(run, self._options, verb="import_dataset")
        await report.during(self._import(run, report))

    async def plan(self) -> DatasetPlan:
        """Return what would be done, and why. Changes nothing, neither here nor at the server."""
        async with AsyncExitStack() as stack:
            plan, _, _, _ = await self._prepare(stack, read_only=True)
            return plan

    async def _import(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with AsyncExitStack() as stack:
            plan, orders, project, importer = await self._prepare(stack, read_only=False)
            _tell(plan, run.emit)
            for skip in plan.of(SkipDataset):
                report.done(_skipped(skip))
            for refusal in plan.of(RefuseDataset):
                report.done(_failed(refusal, refusal.problem))
            poller = Poller(
                self._client,
                timeout=self._options.import_timeout,
                queue_timeout=self._options.queue_timeout,
                action="import",
                by_task=False,
                on_started=lambda number: run.emit(ImportStarted(number)),
                on_stalled=lambda stall: run.emit(QueueStalled(stall)),
            )
            work = DatasetImporter(
                self._client,
                poller,
                project.id,
                importer.name,
                retries=self._options.retries,
                again=self._options.again,
                emit=run.emit,
            )
            return await poller.during(self._each(work, orders, report))

    async def _each(
        self, work: DatasetImporter, orders: Sequence[DatasetOrder], report: ReportBuilder
    ) -> AsyncCvatError | None:
        """Import one after the other: CVAT runs one import of a project at a time."""
        for number, order in enumerate(orders, 1):
            try:
                report.done(await of_one_task(work.bring_in(order), order.step.project_id))
            except AsyncCvatError as error:
                if isinstance(error, (*OF_EVERY_TASK, StoreError)):
                    return error
                report.done(_failed(order.step, error))
                ended = end_of_run(error)
                if ended is not None:
                    return ended
                if isinstance(error, RequestUncertainError):
                    # A second lost answer could not be distinguished from this one.
                    for later in orders[number:]:
                        report.done(_failed(later.step, not_begun(later.step, order.step)))
                    return None
        return None

    # --- the plan ---------------------------------------------------------------------------

    async def _prepare(
        self, stack: AsyncExitStack, *, read_only: bool
    ) -> tuple[DatasetPlan, tuple[DatasetOrder, ...], Project, Format]:
        folders = await in_thread(_folders, self._files)
        engine = internals(self._client)
        await engine.check_version()
        await engine.check_may_write("import datasets")
        importer = await engine.importer(self._format)
        project = await internals(self._client).find_project(self._project)
        journals: dict[Path, RestoreJournal] = {}
        candidates, found = [], []
        for path, folder in zip(self._files, folders, strict=True):
            if folder not in journals:
                journals[folder] = await self._journal(stack, folder, read_only=read_only)
            key = f"{project.id}/{path.name}"
            try:
                file: LocalFile | BackupFileError = await in_thread(_checked, path, importer)
                problem = None if isinstance(file, BackupFileError) else self._too_large(file)
            except BackupFileError as error:
                file, problem = error, error
            size = file.size if isinstance(file, LocalFile) else 0
            state = journals[folder].of(key)
            mtime_ns = file.mtime_ns if isinstance(file, LocalFile) else 0
            candidates.append(
                DatasetCandidate(
                    path=path, size=size, mtime_ns=mtime_ns, state=state, problem=problem
                )
            )
            found.append((file, key, journals[folder]))
        plan = plan_datasets(candidates, project.id, again=self._options.again)
        _check_there(plan)
        orders = tuple(
            DatasetOrder(step, file, key, journal)
            for step, (file, key, journal) in zip(plan.steps, found, strict=True)
            if isinstance(step, ImportDataset) and isinstance(file, LocalFile)
        )
        return plan, orders, project, importer

    def _too_large(self, file: LocalFile) -> AsyncCvatError | None:
        limit = self._options.upload_limit
        if file.size <= limit:
            return None
        return too_large(
            str(file.path), file.size, limit, doing="import", otherwise="Split the dataset"
        )

    async def _journal(
        self, stack: AsyncExitStack, folder: Path, *, read_only: bool
    ) -> RestoreJournal:
        client, given = self._client, self._options.journal
        place = journal_folder(
            folder,
            None if given is None else Path(given),
            client.origin,
            client.organization,
            kind=IMPORTS,
        )
        return await stack.enter_async_context(
            RestoreJournal.open(
                place,
                kind=IMPORTS,
                origin=client.origin,
                organization=client.organization,
                durable=self._options.durable,
                break_lock=self._options.break_lock,
                read_only=read_only,
            )
        )


def _folders(files: Sequence[Path]) -> list[Path]:
    """Return the folder of each file, in one spelling: it has one journal.

    Raises:
        ConfigError: A file is given twice.
    """
    places = [path.parent.resolve() / path.name for path in files]
    seen: set[Path] = set()
    for path, place in zip(files, places, strict=True):
        if place in seen:
            raise ConfigError(f"{str(path)!r} is given twice. Remove one of them.")
        seen.add(place)
    return [place.parent for place in places]


def _check_there(plan: DatasetPlan) -> None:
    """Check that no file is missing that was not imported before.

    Raises:
        ConfigError: One is: a name may be mistyped, so nothing is imported.
    """
    missing = [
        repr(str(one.path))
        for one in plan.of(RefuseDataset)
        if isinstance(one.problem.__cause__, FileNotFoundError)
    ]
    if missing:
        what = "there is no such file" if len(missing) == 1 else "there are no such files"
        raise ConfigError(
            f"cannot import {first_few(missing)}: {what}. Check the names. Nothing was imported."
        )


def _checked(path: Path, importer: Format) -> LocalFile:
    """Check that a file can be a dataset, without reading its images.

    Raises:
        BackupFileError: It cannot.
    """
    status = cause = None
    try:
        status = path.stat()
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                broken = None if archive.namelist() else "it is empty"
        else:
            broken = _no_dataset(path, importer)
    except OSError as error:
        cause, missing = error, isinstance(error, FileNotFoundError)
        broken = "there is no such file" if missing else error.strerror or str(error)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        broken = f"it is no whole zip ({str(error).rstrip('.')})"
    if broken is not None or status is None:
        raise BackupFileError(
            f"cannot import {str(path)!r}: {broken}. Check the file, and the format "
            f"{importer.name!r}.",
            step="plan",
        ) from cause
    return LocalFile(path=path, shown=path, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _no_dataset(path: Path, importer: Format) -> str:
    """Return why a file that is no zip is no dataset. CVAT imports images from archives alone."""
    types = [one.strip().lower() for one in importer.ext.split(",") if one.strip()]
    if path.is_dir():
        return "it is a folder, and CVAT takes one file. Make a zip of what it holds"
    if path.suffix.lower().removeprefix(".") in types:
        return "it is no zip, so it holds no images. `asynccvat upload` imports annotations alone"
    return "it is no zip"


def _tell(plan: DatasetPlan, emit: Callable[[Event], None]) -> None:
    counts = plan.counts
    emit(ListingRead(len(plan.steps), complete=True))
    emit(
        Planned(
            fetch=0,
            keep=0,
            skip=counts.get("skip", 0),
            move=0,
            remove=0,
            refuse=counts.get("refuse", 0),
            upload=counts.get("import", 0),
        )
    )


def _skipped(step: SkipDataset) -> TaskOutcome:
    return TaskOutcome(
        task_id=step.project_id,
        target=TargetKind.PROJECT,
        name=step.path.name,
        action=Action.SKIPPED,
        reason=step.reason,
        location=str(step.path),
    )


def _failed(step: ImportDataset | RefuseDataset, error: AsyncCvatError) -> TaskOutcome:
    return FailedOutcome(
        task_id=step.project_id,
        target=TargetKind.PROJECT,
        name=step.path.name,
        action=Action.FAILED,
        reason=step.reason,
        location=str(step.path),
        error=error,
    )
