"""Read what a deletion is about: targets, their jobs and open issues, and their backups."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

import anyio

from asynccvat.aio.list_warnings import warn
from asynccvat.aio.task_groups import task_group
from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.client.presence import presence
from asynccvat.core.models import Task
from asynccvat.core.options.delete import DeleteOptions
from asynccvat.core.plans.backup_states import outdated
from asynccvat.core.plans.delete import DeleteFacts, TargetFacts
from asynccvat.core.plans.removals import Presence
from asynccvat.core.records.backups import BackupReceipt, StoredBackup, TargetState
from asynccvat.core.selections.id_lists import required
from asynccvat.core.selections.selection import ProjectSelection, Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError, NotFoundError
from asynccvat.store import BackupStore
from asynccvat.transfer.backup_states import project_states, task_states

_ISSUES_AT_ONCE = 4

_Key = tuple[TargetKind, int]


class RequiredBackups:
    """The backups that deletions need."""

    def __init__(self, store: BackupStore, backups: Sequence[StoredBackup]) -> None:
        self._store = store
        self._whole: dict[_Key, list[BackupReceipt]] = defaultdict(list)
        for backup in reversed(backups):
            if backup.is_whole:
                self._whole[backup.receipt.target, backup.receipt.id].append(backup.receipt)
        self._problems: dict[str, str] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, client: CvatClient, options: DeleteOptions
    ) -> AsyncIterator[RequiredBackups | None]:
        """Open the destination that the options require; None if they require none.

        Raises:
            ConfigError: It holds no backups, or those of another server.
        """
        if options.require_backup is None:
            yield None
            return
        place = Path(options.require_backup)
        async with BackupStore.open(
            place, origin=client.origin, organization=client.organization, read_only=True
        ) as store:
            if await store.is_unused():
                raise ConfigError(
                    f"{str(place)!r} holds no backups. Check the path, or make some with "
                    "`asynccvat backup`."
                )
            backups = await store.list()
            for warning in store.new_warnings():
                warn(warning)
            yield cls(store, backups)

    async def lacking(
        self, target: TargetKind, target_id: int, now: TargetState, called: str = "it"
    ) -> str:
        """Return why a target has no backup to rely on, "" if it has one.

        Its zip is read again, once in a run. Later calls look at its size.

        Args:
            target: What it is.
            target_id: Its id.
            now: Its present state.
            called: What the answer calls it.

        Raises:
            StoreError: A zip cannot be read for a reason that concerns this process.
        """
        receipts = self._whole[target, target_id]
        if not receipts:
            return f"{called} has no full backup"
        current = [one for one in receipts if outdated(one.state, now) is None]
        if not current:
            return f"{called} has no full backup of its present state"
        problems = [await self._problem(receipt) for receipt in current]
        return "" if "" in problems else f"{called} has a full backup, but {problems[0]}"

    async def _problem(self, receipt: BackupReceipt) -> str:
        if self._problems.get(receipt.file) == "":
            there = await in_thread(_has_size, self._store.location(receipt), receipt.size)
            if there:
                return ""
        found = await self._store.check(receipt)
        said = "" if found is None else f"{receipt.file!r} is damaged or gone"
        self._problems[receipt.file] = said
        return said


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


async def read_facts(
    client: CvatClient,
    selection: Selection,
    options: DeleteOptions,
    backups: RequiredBackups | None,
    also: Collection[int] = (),
) -> DeleteFacts:
    """Read the targets of a selection.

    Args:
        client: The server.
        selection: Which targets.
        options: The guards.
        backups: What each target has to be in, None for nothing.
        also: Targets of the dry run. Those that are not there any more are `missing`.

    Raises:
        AsyncCvatError: The server cannot be asked, or a backup not be read.
    """
    complete, missing = True, tuple[int, ...]()
    if options.projects:
        listed = await internals(client).list_projects(
            ProjectSelection(
                project_ids=selection.project_ids,
                status=selection.status,
                name=selection.name,
                exclude=selection.exclude,
                owner=selection.owner,
                assignee=selection.assignee,
                updated_since=selection.updated_since,
                filter=selection.filter,
                limit=selection.limit,
            )
        )
        ids = [project.id for project in listed.items]
        inside = Selection(project_ids=ids)
        tasks = await client.tasks(inside)
        states = await task_states(client, tasks.tasks, inside)
        of_projects = project_states(listed.items, tasks.tasks, states)
        complete = listed.complete and tasks.complete
        if selection == Selection(project_ids=selection.project_ids):
            # Another condition, or a limit, may leave out projects that are there.
            missing = tuple(sorted(required(selection.project_ids) - set(ids)))
        missing += await _missing_projects(client, set(also) - {*ids, *missing})
        targets = [
            TargetFacts(one.id, one.name, of_projects[one.id], _inside(tasks.tasks, one.id))
            for one in listed.items
        ]
    else:
        tasks = await client.tasks(selection)
        states = await task_states(client, tasks.tasks, selection)
        complete, missing = tasks.complete, tasks.missing
        unlisted = set(also) - {*missing, *(task.id for task in tasks.tasks)}
        if unlisted:
            missing += (await client.tasks(Selection(task_ids=sorted(unlisted)))).missing
        targets = [TargetFacts(one.id, one.name, states[one.id], (one.id,)) for one in tasks.tasks]
    issues = await _open_issues(client, [task.id for task in tasks.tasks], options)
    return DeleteFacts(
        origin=client.origin,
        organization=client.organization,
        target=options.target,
        targets=[await _completed(one, options.target, states, issues, backups) for one in targets],
        missing=missing,
        complete=complete,
    )


async def read_again(
    client: CvatClient, target_id: int, options: DeleteOptions, backups: RequiredBackups | None
) -> TargetFacts | None:
    """Read one target as it is now, None if it is gone.

    Raises:
        AsyncCvatError: The server cannot be asked, or a backup not be read.
    """
    try:
        if options.projects:
            project = await client.project(target_id)
            inside = Selection(project_ids=[target_id])
            listing = await client.tasks(inside)
            states = await task_states(client, listing.tasks, inside)
            state = project_states([project], listing.tasks, states)[target_id]
            if not listing.complete:
                # What is in it is not known, so it is not what was seen.
                state = TargetState(updated_date="", jobs="", media="")
            facts = TargetFacts(target_id, project.name, state, _inside(listing.tasks, target_id))
        else:
            task = await client.task(target_id)
            states = await task_states(client, [task], Selection(task_ids=[target_id]))
            facts = TargetFacts(target_id, task.name, states[target_id], (target_id,))
        issues = await _open_issues(client, facts.tasks, options)
    except NotFoundError:
        return None
    return await _completed(facts, options.target, states, issues, backups)


async def is_gone(client: CvatClient, target: TargetKind, target_id: int) -> bool:
    """Whether a target is not there any more.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """
    return await presence(client, target, target_id) is Presence.GONE


async def _missing_projects(client: CvatClient, project_ids: Collection[int]) -> tuple[int, ...]:
    if not project_ids:
        return ()
    wanted = ProjectSelection(project_ids=sorted(project_ids))
    listed = await internals(client).list_projects(wanted)
    return tuple(sorted(set(project_ids) - {one.id for one in listed.items}))


def _inside(tasks: Sequence[Task], project_id: int) -> tuple[int, ...]:
    return tuple(sorted(task.id for task in tasks if task.project_id == project_id))


async def _completed(
    facts: TargetFacts,
    target: TargetKind,
    states: dict[int, TargetState],
    issues: dict[int, int],
    backups: RequiredBackups | None,
) -> TargetFacts:
    """Return facts of a target with its issues and the state of its backups."""
    unsaved = ""
    if backups is not None:
        unsaved = await backups.lacking(target, facts.id, facts.state)
        if unsaved and target is TargetKind.PROJECT and facts.tasks:
            # A backup of each task holds its media and annotations as well.
            of_tasks = [
                await backups.lacking(TargetKind.TASK, one, states[one], f"its task {one}")
                for one in facts.tasks
            ]
            missing = next((said for said in of_tasks if said), "")
            unsaved = missing and f"{unsaved}, and {missing}"
    count = sum(issues.get(one, 0) for one in facts.tasks)
    return TargetFacts(facts.id, facts.name, facts.state, facts.tasks, count, unsaved)


async def _open_issues(
    client: CvatClient, task_ids: Sequence[int], options: DeleteOptions
) -> dict[int, int]:
    """Return how many open issues tasks have, by id. Nothing is asked if none of them counts."""
    found: dict[int, int] = {}
    if options.lose_issues:
        return found
    calls = internals(client).deletions
    limiter = anyio.CapacityLimiter(_ISSUES_AT_ONCE)

    async def ask(task_id: int) -> None:
        async with limiter:
            found[task_id] = await calls.open_issues(task_id)

    async with task_group() as group:
        for task_id in task_ids:
            group.start_soon(ask, task_id)
    return found
