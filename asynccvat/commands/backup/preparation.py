"""Make a backup run's plan: read the lists and the receipts, and compare them.

`core.records.settling` settles the selection, `core.plans.backup` compares.
`commands.backup.run` carries the plan out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.core.models import Project, Task, TaskListing
from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.plans.backup import BackupPlan, by_target, plan_backup
from asynccvat.core.plans.backup_notices import absent_notice, broken_notices
from asynccvat.core.plans.mirror import Fetch, Keep, Refuse, Skip
from asynccvat.core.records.backup_settings import SettledSelection, settle_selection
from asynccvat.core.records.backups import StoredBackup, TargetState
from asynccvat.core.selections.selection import ProjectSelection, Selection
from asynccvat.core.targets import TargetKind
from asynccvat.events import DestinationSettled, Event, ListingRead, Planned
from asynccvat.store import BackupStore
from asynccvat.transfer.backup_states import project_states, task_states


async def settle_with(
    client: CvatClient, store: BackupStore, selection: Selection, options: BackupOptions
) -> SettledSelection:
    """Fill in which tasks a run concerns, from what its destination remembers.

    Raises:
        ChangeRefusedError: The run was given another selection than the remembered one.
        ConfigError: The server has no project of a name, or several.
        StoreError: The destination cannot be read.
    """
    return settle_selection(
        await internals(client).resolved(selection),
        options,
        store.remembered,
        place=str(store.path),
        bound=not await store.is_unused(),
    )


async def prepare(
    client: CvatClient,
    store: BackupStore,
    settled: SettledSelection,
    options: BackupOptions,
    *,
    emit: Callable[[Event], None] = lambda _: None,
) -> BackupPlan:
    """Read what the server has and what the destination holds; then compare them."""
    targets = await _targets(client, settled.selection, options)
    backups = await store.list()
    described = settled.describe(options.target)
    description = (
        f"{store.path}/ holds backups of {options.target.plural} of {store.server}: {described}"
    )
    emit(DestinationSettled(description))
    emit(ListingRead(len(targets.listing.tasks), targets.listing.complete))
    absent = await _absent(client, targets.listing, backups, settled.selection, options)
    plan = await in_thread(
        _plan, targets, backups, options, among=settled.selection.task_ids, absent=absent
    )
    if plan.of(Fetch):
        await internals(client).check_version()
    leaving = {expire.folder for expire in plan.expiries}
    notices = (absent_notice(absent, options.target), *broken_notices(backups, leaving=leaving))
    plan = replace(plan, description=description, warnings=tuple(filter(None, notices)))
    emit(
        Planned(
            fetch=len(plan.of(Fetch)),
            keep=len(plan.of(Keep)),
            skip=len(plan.of(Skip)),
            move=0,
            remove=len(plan.expiries),
            refuse=len(plan.of(Refuse)),
        )
    )
    return plan


@dataclass(frozen=True, slots=True)
class _Targets:
    """The tasks or projects of a run, a project as a task with its id and name."""

    listing: TaskListing
    states: dict[int, TargetState]


async def _targets(client: CvatClient, selection: Selection, options: BackupOptions) -> _Targets:
    limit = selection.limit
    if options.target is TargetKind.PROJECT:
        selection = replace(selection, limit=None)  # so many projects, with all their tasks
    listing = await client.tasks(selection)
    if options.target is TargetKind.TASK:
        return _Targets(listing, await task_states(client, listing.tasks, selection))
    projects = (await _projects(client, listing, selection))[:limit]
    inside = selection
    if limit is not None or selection != Selection(project_ids=selection.project_ids):
        # Only some tasks were selected, and a backup of a project holds all of its tasks.
        inside = Selection(project_ids=[project.id for project in projects])
        whole = await client.tasks(inside)
        listing = replace(whole, complete=whole.complete and listing.complete)
    states = await task_states(client, listing.tasks, inside)
    found = project_states(projects, listing.tasks, states)
    return _Targets(
        replace(listing, tasks=tuple(_as_task(project, found[project.id]) for project in projects)),
        found,
    )


async def _projects(
    client: CvatClient, listing: TaskListing, selection: Selection
) -> tuple[Project, ...]:
    """Return the projects of the selected tasks, and those without tasks that were named."""
    if selection == Selection():
        return await client.projects()
    ids = {task.project_id for task in listing.tasks if task.project_id is not None}
    if selection == Selection(project_ids=selection.project_ids):
        ids |= set(selection.project_ids or ())
    return await client.projects(ProjectSelection(project_ids=sorted(ids))) if ids else ()


def _as_task(project: Project, state: TargetState) -> Task:
    return Task(
        id=project.id, name=project.name, updated_date=project.updated_date, size=state.frames
    )


async def _absent(
    client: CvatClient,
    listing: TaskListing,
    backups: Collection[StoredBackup],
    selection: Selection,
    options: BackupOptions,
) -> list[int]:
    """Return the targets with backups that the server does not list any more."""
    is_narrowed = selection.task_ids is not None or selection.limit is not None
    if is_narrowed or not listing.complete:
        return []
    listed = {task.id for task in listing.tasks}
    candidates = [one for one in by_target(backups, options.target) if one not in listed]
    if not candidates or selection == Selection():
        return candidates
    if options.target is TargetKind.TASK:
        return list((await client.tasks(Selection(task_ids=candidates))).missing)
    there = await client.projects(ProjectSelection(project_ids=candidates))
    return sorted(set(candidates) - {project.id for project in there})


def _plan(
    targets: _Targets,
    backups: Collection[StoredBackup],
    options: BackupOptions,
    *,
    among: Collection[int] | None,
    absent: list[int],
) -> BackupPlan:
    if options.projects:
        among = None if among is None else {task.id for task in targets.listing.tasks}
    return plan_backup(
        targets.listing,
        targets.states,
        tuple(backups),
        options,
        now=datetime.now(UTC),
        among=among,
        absent=absent,
    )
