"""Prepare a restore: read the backups, look at the server, and plan a step for each backup.

`commands.restore.run` opens the journal, and carries the plan out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from asynccvat.aio.list_warnings import warn
from asynccvat.aio.task_groups import run_limited
from asynccvat.client import CvatClient, internals
from asynccvat.client.presence import presence
from asynccvat.commands.restore.older_backups import with_older_named
from asynccvat.commands.restore.one_backup import RestoreOrder
from asynccvat.commands.restore.records import RestoreJournal
from asynccvat.commands.restore.sources import BackupChoice, BackupSource
from asynccvat.commands.restore.zip_files import BackupZip, read_backup
from asynccvat.core.backups.labels import BackupLabel
from asynccvat.core.options.restore import RestoreOptions
from asynccvat.core.plans.removals import Presence
from asynccvat.core.plans.restore import (
    RefuseRestore,
    Restore,
    RestoreCandidate,
    RestorePlan,
    duplicates_warning,
    plan_restores,
    restored_before_warning,
)
from asynccvat.core.selections.selection import ProjectSelection, Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import BackupFileError, ConfigError
from asynccvat.events import Event, ListingRead, Planned

# Zips whose descriptions are read at once.
_READ_AT_ONCE = 4
# Tasks and projects that are asked for at once.
_ASKED_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class PreparedRestore:
    """A plan, and what carries it out."""

    plan: RestorePlan
    orders: tuple[RestoreOrder, ...]
    project_id: int | None


@dataclass(frozen=True, slots=True)
class RestoreTarget:
    """The project that tasks are moved into, None for none, and its labels."""

    project_id: int | None
    labels: tuple[BackupLabel, ...]


class RestorePreparation:
    """What one restore needs to know before its first call that counts."""

    def __init__(
        self,
        client: CvatClient,
        choice: BackupChoice,
        project: int | str | None,
        options: RestoreOptions,
    ) -> None:
        """Prepare for a client's server; the arguments are those of `RestoreRun`."""
        self._client = client
        self._choice = choice
        self._project = project
        self._options = options

    async def target(self) -> RestoreTarget:
        """Check that the server takes backups, and find the project to move tasks into.

        Raises:
            ConfigError: There is no such project, or several have its name.
            AsyncCvatError: The server cannot be asked, or takes no backups of the user.
        """
        engine = internals(self._client)
        await engine.check_version()
        await engine.check_may_write("restore")
        if self._project is None:
            return RestoreTarget(None, ())
        project = await engine.find_project(self._project)
        return RestoreTarget(project.id, await engine.restores.labels(project.id))

    async def prepare(
        self,
        journal: RestoreJournal,
        sources: Sequence[BackupSource],
        target: RestoreTarget,
        emit: Callable[[Event], None] = lambda _: None,
    ) -> PreparedRestore:
        """Compare the backups with the journal and the server, and plan."""
        zips = await _read_all(sources)
        others = _made_of_other_backups(journal, sources)
        there = await self._at_server(_made(journal, sources, others), confirmed=True)
        alive = await self._alive(sources)
        candidates = [
            replace(
                _candidate(one, zips[one.key], journal, there, self._choice.kind),
                alive=one.target_id in alive,
            )
            for one in sources
        ]
        emit(ListingRead(len(candidates), complete=True))
        plan = plan_restores(
            candidates,
            upload_limit=self._options.upload_limit,
            project_id=target.project_id,
            project_labels=target.labels,
            again=self._options.again,
            missing=self._options.missing,
        )
        if (warning := duplicates_warning(plan, alive)) is not None:
            warn(warning)
        kind = sources[0].kind
        earlier = {old: [new for new in ids if (kind, new) in there] for old, ids in others.items()}
        earlier = {old: ids for old, ids in earlier.items() if ids}
        if (warning := restored_before_warning(plan, earlier)) is not None:
            warn(warning)
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
        return PreparedRestore(plan, tuple(orders), target.project_id)

    async def _alive(self, sources: Sequence[BackupSource]) -> frozenset[int]:
        """Return which of the tasks or projects that were backed up are still at the server.

        Raises:
            ConfigError: Only missing ones are wanted, and the backups are of another server.
        """
        here = [one for one in sources if one.origin == self._client.origin]
        foreign = [one for one in sources if one.origin != self._client.origin]
        if self._options.missing and foreign:
            one = foreign[0]
            raise ConfigError(
                f"{str(one.path)!r} is a backup of {one.origin or 'an unknown server'}: its id "
                f"means another {one.kind} at {self._client.origin}. Restore without --missing."
            )
        kind = sources[0].kind
        ids = [one.target_id for one in here if one.target_id]
        # A warning alone is not worth a call for each that no list has.
        found = await self._at_server({kind: ids}, confirmed=self._options.missing)
        return frozenset(number for _, number in found)

    async def _at_server(
        self, ids: Mapping[TargetKind, Sequence[int]], *, confirmed: bool
    ) -> frozenset[tuple[TargetKind, int]]:
        """Return which of some tasks and projects are at the server.

        Args:
            ids: The tasks and projects.
            confirmed: Whether to ask for each that no list has: the user may not see it, or its
                entry cannot be read.
        """
        there: set[tuple[TargetKind, int]] = set()
        if wanted := ids.get(TargetKind.PROJECT):
            projects = await self._client.projects(ProjectSelection(project_ids=wanted))
            there |= {(TargetKind.PROJECT, project.id) for project in projects}
        if wanted := ids.get(TargetKind.TASK):
            listing = await self._client.tasks(Selection(task_ids=wanted))
            there |= {(TargetKind.TASK, task.id) for task in listing.tasks}
        absent = {(kind, one) for kind, wanted in ids.items() for one in wanted} - there

        async def ask(kind: TargetKind, number: int) -> None:
            if await presence(self._client, kind, number) is not Presence.GONE:
                there.add((kind, number))

        if confirmed:
            await run_limited(_ASKED_AT_ONCE, [partial(ask, *one) for one in sorted(absent)])
        return frozenset(there)


def _made_of_other_backups(
    journal: RestoreJournal, sources: Sequence[BackupSource]
) -> dict[int, list[int]]:
    """Return, by old id, what earlier runs made of other backups of the same tasks or projects."""
    found: dict[int, list[int]] = {}
    keys = {(one.kind, one.target_id): one.key for one in sources if one.target_id}
    for done in journal.states.done:
        key = None if done.old_id is None else keys.get((done.kind, done.old_id))
        if key not in (None, done.key) and done.old_id and done.new_id is not None:
            found.setdefault(done.old_id, []).append(done.new_id)
    return found


def _made(
    journal: RestoreJournal, sources: Sequence[BackupSource], others: Mapping[int, Sequence[int]]
) -> dict[TargetKind, list[int]]:
    """Return the ids of the tasks and projects that earlier runs made.

    Args:
        journal: What was restored.
        sources: What is to be restored.
        others: What was made of other backups of the same tasks or projects.
    """
    made: dict[TargetKind, list[int]] = {}
    for one in sources:
        made.setdefault(one.kind, []).extend(others.get(one.target_id, ()))
    for one in sources:
        done = journal.of(one.key).done
        if done is not None and done.new_id is not None:
            made.setdefault(done.kind, []).append(done.new_id)
    return made


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
