"""Create many tasks: list the media, compare them with what is there, and carry the plan out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.commands.create.context import CreateContext
from asynccvat.commands.create.dispatcher import CreateDispatcher, failed, made_before
from asynccvat.commands.create.journal import CreateJournal
from asynccvat.commands.create.project import CreateTarget, find_target, make_project
from asynccvat.commands.create.sources import media_units
from asynccvat.core.models import Task, User
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.outcomes import Action
from asynccvat.core.plans.create import (
    CreatePlan,
    CreateStep,
    CreateStepKind,
    KnownTasks,
    plan_creations,
)
from asynccvat.core.plans.create_units import MediaUnit
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import AsyncCvatError, ProtocolError
from asynccvat.events import ListingRead, Planned
from asynccvat.transfer.report import ReportBuilder
from asynccvat.transfer.run import Run

# No project has this id: that of a project which is not made yet.
_NOT_MADE = 0


_IDLE = (CreateStepKind.REFUSE, CreateStepKind.SKIP)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a run begins with."""

    units: Sequence[MediaUnit]
    target: CreateTarget
    user: User
    journal: CreateJournal


class CreateRun:
    """One run of `create`, from listing the media to the last count of frames."""

    def __init__(
        self,
        client: CvatClient,
        source: Path,
        *,
        project: int | str | None,
        labels: Path | Sequence[Any] | None,
        labels_from: int | str | None,
        order: Path | Sequence[str] | None,
        options: CreateOptions,
    ) -> None:
        """Create tasks at a client's server. The arguments are those of `api.creations`."""
        self._client = client
        self._source = source
        self._project = project
        self._labels = labels
        self._labels_from = labels_from
        self._order = order
        self._options = options

    async def work(self, run: Run) -> None:
        """Create, and write the run's report however it ends."""
        report = ReportBuilder(run, self._options, verb="create")
        await report.during(self._create(run, report))

    async def plan(self) -> CreatePlan:
        """Return what would be done, and why. Changes nothing, neither here nor at the server."""
        async with self._opened(read_only=True) as found:
            _, steps = await self._planned(found)
            target = found.target
            return CreatePlan(steps, target.shown, makes_project=target.new_name is not None)

    @asynccontextmanager
    async def _opened(self, *, read_only: bool) -> AsyncIterator[_Found]:
        """List and check the media, find the project, and open the journal."""
        units = await in_thread(media_units, self._source, self._options, self._order)
        client = self._client
        await internals(client).check_version()
        await internals(client).check_may_write("create tasks")
        user = await client.user()
        # A project that cannot be found leaves no journal behind.
        async with self._journal(read_only=True) as journal:
            target, seen = await self._target(journal), dict(journal.state.projects)
            if read_only:
                yield _Found(units, target, user, journal)
                return
        async with self._journal(read_only=False) as journal:
            if journal.state.projects != seen:
                target = await self._target(journal)  # another run made it meanwhile
            yield _Found(units, target, user, journal)

    def _journal(self, *, read_only: bool) -> AbstractAsyncContextManager[CreateJournal]:
        return CreateJournal.open(self._source, self._client, self._options, read_only=read_only)

    async def _target(self, journal: CreateJournal) -> CreateTarget:
        return await find_target(
            self._client, self._project, self._labels, self._labels_from, journal
        )

    async def _planned(self, found: _Found) -> tuple[KnownTasks, tuple[CreateStep, ...]]:
        """Compare the media with the journal and the server's tasks."""
        project_id = found.target.project_id
        if found.target.new_name is not None:
            known = KnownTasks({}, _NOT_MADE, found.user.id)
        else:
            tasks = await self._tasks(found, project_id)
            known = KnownTasks({task.id: task for task in tasks}, project_id, found.user.id)
        return known, plan_creations(found.units, found.journal.state, known, self._options)

    async def _tasks(self, found: _Found, project_id: int | None) -> list[Task]:
        """Return the tasks of the project or outside projects, and those of the journal.

        Raises:
            ProtocolError: The list cannot be read as a whole, so that a task could be missed.
        """
        where = (
            Selection(owner=found.user.username)
            if project_id is None
            else Selection(project_ids=[project_id])
        )
        listing = await self._client.tasks(where)
        if not listing.complete:
            raise ProtocolError(
                "cannot create tasks: the server's list of tasks kept changing while it was read, "
                "or cannot be read, so what is there already is not known. Run again.",
                step="list",
                retryable=True,
            )
        tasks = list(listing.tasks)
        listed = {task.id for task in tasks}
        creations = found.journal.state.tasks
        ids = [
            one.task_id
            for (of_project, _), one in creations.items()
            if of_project == project_id and one.task_id is not None and one.task_id not in listed
        ]
        if ids:
            tasks += (await self._client.tasks(Selection(task_ids=ids))).tasks
        return tasks

    async def _create(self, run: Run, report: ReportBuilder) -> AsyncCvatError | None:
        async with self._opened(read_only=False) as found:
            target, (known, steps) = found.target, await self._planned(found)
            if target.new_name is not None and _makes_any(steps):
                target = await make_project(self._client, target, found.user, found.journal)
                known, steps = await self._planned(replace(found, target=target))
            self._tell(run, known, steps)
            root = self._source if await in_thread(self._source.is_dir) else self._source.parent
            for step in steps:
                if step.kind is CreateStepKind.REFUSE:
                    report.done(failed(step, step.problem, root))
                elif step.kind is CreateStepKind.SKIP:
                    report.done(made_before(step, Action.SKIPPED, root))
            context = CreateContext(
                client=self._client,
                journal=found.journal,
                options=self._options,
                root=root,
                target=target,
                user_id=found.user.id,
                after_id=known.highest_id,
                emit=run.emit,
            )
            dispatcher = CreateDispatcher(context, report)
            await dispatcher.create_all([step for step in steps if step.kind not in _IDLE])
            return dispatcher.stopped_by

    def _tell(self, run: Run, known: KnownTasks, steps: Sequence[CreateStep]) -> None:
        run.emit(ListingRead(len(known.tasks), complete=True))
        counts = CreatePlan(tuple(steps)).counts
        refused, skipped = counts[CreateStepKind.REFUSE], counts[CreateStepKind.SKIP]
        run.emit(
            Planned(
                fetch=0,
                keep=0,
                skip=skipped,
                move=0,
                remove=0,
                refuse=refused,
                upload=len(steps) - refused - skipped,
            )
        )


def _makes_any(steps: Sequence[CreateStep]) -> bool:
    return any(step.kind not in _IDLE for step in steps)
