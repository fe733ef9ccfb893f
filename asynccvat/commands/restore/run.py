"""Restore backups: find them, compare them with the journal, and carry the plan out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec

from asynccvat.aio.task_groups import run_limited
from asynccvat.aio.threads import shielded
from asynccvat.client import CvatClient, internals
from asynccvat.commands.restore.dispatcher import RestoreDispatcher, failed
from asynccvat.commands.restore.older_backups import with_older_named
from asynccvat.commands.restore.one_backup import RestoreOrder
from asynccvat.commands.restore.records import RESTORES, RestoreJournal, journal_folder
from asynccvat.commands.restore.sources import BackupChoice, BackupSource, find_sources
from asynccvat.commands.restore.zip_files import BackupZip, read_backup
from asynccvat.core.backups.labels import BackupLabel
from asynccvat.core.models import Project, TargetKind
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.restore import (
    RefuseRestore,
    Restore,
    RestoreCandidate,
    RestorePlan,
    SkipRestore,
    plan_restores,
)
from asynccvat.core.restore_options import RestoreOptions
from asynccvat.core.selections.selection import ProjectSelection, Selection
from asynccvat.core.texts import first_few
from asynccvat.errors import AsyncCvatError, BackupFileError, ConfigError, StoreError
from asynccvat.events import Event, ListingRead, Planned
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

# Zips whose descriptions are read at once.
_READ_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A plan, and what carries it out."""

    plan: RestorePlan
    orders: tuple[RestoreOrder, ...]
    project_id: int | None


class RestoreRun:
    """One restore, from finding the backups to the last comparison."""

    def __init__(
        self,
        client: CvatClient,
        source: Path,
        choice: BackupChoice,
        project: int | str | None,
        options: RestoreOptions,
    ) -> None:
        """Restore backups to a client's server.

        Args:
            client: The server.
            source: A destination of backups, or one zip.
            choice: Which of a destination.
            project: The project to move the tasks into, by its id or name. None for none.
            options: The options.

        Raises:
            ConfigError: The arguments contradict each other.
        """
        if project is not None and choice.kind is TargetKind.PROJECT:
            raise ConfigError(
                "a project cannot be restored into a project. Remove --project or --projects."
            )
        self._client = client
        self._source = source
        self._choice = choice
        self._project = project
        self._options = options

    async def work(self, run: Run) -> None:
        """Restore, and write the run's report however it ends."""
        report = ReportBuilder(run, self._options)
        await report.during(self._restore(run, report))

    async def plan(self) -> RestorePlan:
        """Return what would be done, and why. Changes nothing, neither here nor at the server."""
        async with self._opened(read_only=True) as (journal, sources):
            return (await self._prepare(journal, sources)).plan

    async def _restore(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with self._opened(read_only=False) as (journal, sources):
            prepared = await self._prepare(journal, sources, run.emit)
            if prepared.orders:
                run.target = prepared.orders[0].kind
            for skip in prepared.plan.of(SkipRestore):
                report.done(_skipped(skip))
            for refusal in prepared.plan.of(RefuseRestore):
                report.done(failed(refusal, refusal.problem))
            dispatcher = RestoreDispatcher(
                self._client,
                journal,
                self._options,
                report,
                project_id=prepared.project_id,
                emit=run.emit,
            )
            try:
                await dispatcher.restore_all(prepared.orders)
            finally:
                await shielded(_write_restored(journal, report))
        return dispatcher.stopped_by

    @contextlib.asynccontextmanager
    async def _opened(
        self, *, read_only: bool
    ) -> AsyncIterator[tuple[RestoreJournal, Sequence[BackupSource]]]:
        """Find the backups, and open the journal."""
        found = await find_sources(self._source, self._choice)
        given = self._options.journal
        client = self._client
        folder = journal_folder(
            found.root, None if given is None else Path(given), client.origin, client.organization
        )
        async with RestoreJournal.open(
            folder,
            kind=RESTORES,
            origin=client.origin,
            organization=client.organization,
            durable=self._options.durable,
            break_lock=self._options.break_lock,
            read_only=read_only,
        ) as journal:
            yield journal, found.sources

    # --- the plan ---------------------------------------------------------------------------

    async def _prepare(
        self,
        journal: RestoreJournal,
        sources: Sequence[BackupSource],
        emit: Callable[[Event], None] = lambda _: None,
    ) -> _Prepared:
        engine = internals(self._client)
        await engine.check_version()
        await engine.check_may_write("restore")
        project_id, labels = await self._target_project()
        zips = await _read_all(sources)
        there = await self._still_there(journal, sources)
        candidates = [
            _candidate(one, zips[one.key], journal, there, self._choice.kind) for one in sources
        ]
        emit(ListingRead(len(candidates), complete=True))
        plan = plan_restores(
            candidates,
            upload_limit=self._options.upload_limit,
            project_id=project_id,
            project_labels=labels,
            again=self._options.again,
        )
        plan = await _older_named(plan, sources)
        counts = plan.counts
        emit(
            Planned(
                fetch=0,
                keep=0,
                skip=counts.get("skip", 0),
                move=0,
                remove=0,
                refuse=counts.get("refuse", 0),
                upload=counts.get("restore", 0),
            )
        )
        orders = []
        for one, step in zip(sources, plan.steps, strict=True):
            backup = zips[one.key]
            if isinstance(step, Restore) and isinstance(backup, BackupZip):
                orders.append(RestoreOrder(step, one.key, backup, one.older))
        return _Prepared(plan, tuple(orders), project_id)

    async def _target_project(self) -> tuple[int | None, tuple[BackupLabel, ...]]:
        """Return the id of the project to move tasks into, and its labels."""
        if self._project is None:
            return None, ()
        project = await find_project(self._client, self._project)
        return project.id, await internals(self._client).restores.labels(project.id)

    async def _still_there(
        self, journal: RestoreJournal, sources: Sequence[BackupSource]
    ) -> frozenset[tuple[TargetKind, int]]:
        """Return which of the tasks and projects that were made before are still there."""
        made: dict[TargetKind, list[int]] = {}
        for one in sources:
            done = journal.of(one.key).done
            if done is not None and done.new_id is not None:
                made.setdefault(done.kind, []).append(done.new_id)
        there: set[tuple[TargetKind, int]] = set()
        if ids := made.get(TargetKind.PROJECT):
            projects = await self._client.projects(ProjectSelection(project_ids=ids))
            there |= {(TargetKind.PROJECT, project.id) for project in projects}
        if ids := made.get(TargetKind.TASK):
            listing = await self._client.tasks(Selection(task_ids=ids))
            there |= {(TargetKind.TASK, task.id) for task in listing.tasks}
        return frozenset(there)


async def find_project(client: CvatClient, project: int | str) -> Project:
    """Return a project by its id, or by its name.

    Raises:
        ConfigError: There is none of that name, or more than one.
        NotFoundError: There is none of that id.
    """
    text = str(project).strip()
    if text.isascii() and text.isdecimal():
        return await client.project(int(text))
    by_name = msgspec.json.encode({"==": [{"var": "name"}, text]}).decode()
    listed = await client.projects(ProjectSelection(filter=by_name))
    found = [one for one in listed if one.name == text]
    if len(found) == 1:
        return found[0]
    if found:
        ids = first_few([one.id for one in found])
        raise ConfigError(
            f"{client.origin} has {len(found)} projects named {text!r}: {ids}. Give the id of one."
        )
    raise ConfigError(
        f"there is no project {text!r} at {client.origin} that this user may see. `asynccvat "
        "list-projects` shows which there are."
    )


async def _read_all(
    sources: Sequence[BackupSource],
) -> dict[str, BackupZip | BackupFileError]:
    found: dict[str, BackupZip | BackupFileError] = {}

    async def read(one: BackupSource) -> None:
        try:
            found[one.key] = one.problem or await read_backup(one.path)
        except BackupFileError as error:
            found[one.key] = error

    await run_limited(_READ_AT_ONCE, [partial(read, one) for one in sources])
    return found


async def _older_named(plan: RestorePlan, sources: Sequence[BackupSource]) -> RestorePlan:
    """Name, for each backup that is refused for its file, an older one that is whole."""
    steps = list(plan.steps)

    async def name(number: int, one: BackupSource) -> None:
        step = steps[number]
        if isinstance(step, RefuseRestore) and isinstance(step.problem, BackupFileError):
            problem = await with_older_named(step.problem, one.kind, one.target_id, one.older)
            steps[number] = replace(step, problem=problem)

    await run_limited(
        _READ_AT_ONCE, [partial(name, number, one) for number, one in enumerate(sources)]
    )
    return RestorePlan(tuple(steps))


def _candidate(
    one: BackupSource,
    found: BackupZip | BackupFileError,
    journal: RestoreJournal,
    there: frozenset[tuple[TargetKind, int]],
    target: TargetKind,
) -> RestoreCandidate:
    state = journal.of(one.key)
    is_there = state.done is not None and (state.done.kind, state.done.new_id) in there
    if isinstance(found, BackupFileError):
        found.task_id = one.target_id or None
        return RestoreCandidate(
            target_id=one.target_id,
            name=one.name,
            path=one.path,
            state=state,
            there=is_there,
            problem=found,
            target=target,
        )
    return RestoreCandidate(
        target_id=one.target_id,
        name=found.contents.name,
        path=one.path,
        size=found.file.size,
        contents=found.contents,
        state=state,
        there=is_there,
        target=found.contents.kind,
    )


async def _write_restored(journal: RestoreJournal, report: ReportBuilder) -> None:
    if not journal.states.done:
        return
    try:
        report.new_ids_file = await journal.write_restored()
    except StoreError as error:
        report.warn(f"the list of new ids could not be written, but the journal has them: {error}")


def _skipped(step: SkipRestore) -> TaskOutcome:
    return TaskOutcome(
        task_id=step.target_id,
        target=step.target,
        name=step.name,
        action=Action.SKIPPED,
        reason=step.reason,
        location=str(step.path),
        new_id=step.new_id,
        warnings=(step.detail,) if step.detail else (),
    )
