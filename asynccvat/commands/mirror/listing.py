"""List what a mirror holds: tasks, projects or jobs, each as `core.plans.targets` makes it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.core.models import Task, TaskListing
from asynccvat.core.plans.targets import by_project, job_as_task, project_as_task
from asynccvat.core.selections.fitting import unfitting_condition
from asynccvat.core.selections.id_lists import required
from asynccvat.core.selections.selection import JobSelection, ProjectSelection, Selection
from asynccvat.core.targets import TargetKind

# Ids in one query: CVAT's nginx refuses request lines beyond 8 KiB.
_IDS_AT_ONCE = 300

SelectByIds = Callable[[Sequence[int]], Selection]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSelection:
    """Which tasks, projects or jobs a run is about.

    Attributes:
        target: What they are.
        selection: The conditions. For projects they are about the projects, for jobs about
            their tasks, except the assignee, the time of change and the filter.
        stage: Only jobs in this stage.
        state: Only jobs in this state.
        type: Only jobs of this type.
        ids: Only targets with these ids. None for all.
        also: Tasks that are listed even if they were not updated since then.
    """

    target: TargetKind
    selection: Selection
    stage: str | None = None
    state: str | None = None
    type: str | None = None
    ids: Collection[int] | None = None
    also: Sequence[int] = ()

    @property
    def unfitting(self) -> str | None:
        """The first condition that has no meaning for the targets, as it is typed."""
        return unfitting_condition(
            self.target, self.selection, stage=self.stage, state=self.state, type=self.type
        )


async def list_targets(client: CvatClient, wanted: TargetSelection) -> TaskListing:
    """Return the targets of a selection, in ascending order of id.

    Raises:
        AsyncCvatError: The server cannot be reached, or refuses the lists.
    """
    if wanted.target is TargetKind.TASK:
        listing = await client.tasks(wanted.selection)
        if not wanted.also:
            return listing
        also = replace(wanted.selection, updated_since=None, task_ids=wanted.also)
        with warnings_to(_ignore):
            return _together(listing, await client.tasks(also))
    selection = await internals(client).resolved(wanted.selection)
    wanted = replace(wanted, selection=selection)
    of_projects = wanted.target is TargetKind.PROJECT
    listing = await (_projects(client, wanted) if of_projects else _jobs(client, wanted))
    if wanted.ids is None:
        return listing
    ids = set(wanted.ids)
    listed = tuple(task for task in listing.tasks if task.id in ids)
    missing = sorted(ids - {task.id for task in listed})
    return replace(listing, tasks=listed, missing=tuple(missing))


def _ignore(_warning: str) -> None:
    """Leave out why none of a few tasks is listed: it was deleted, or has left the selection."""


def _together(listing: TaskListing, more: TaskListing) -> TaskListing:
    """Join two lists of tasks, each task once."""
    found = {task.id: task for task in (*more.tasks, *listing.tasks)}
    return TaskListing(
        tasks=tuple(found[task_id] for task_id in sorted(found)),
        read_at=listing.read_at,
        complete=listing.complete and more.complete,
        unreadable=listing.unreadable + more.unreadable,
    )


async def _projects(client: CvatClient, wanted: TargetSelection) -> TaskListing:
    given = wanted.selection
    found = await internals(client).list_projects(
        ProjectSelection(
            project_ids=given.project_ids,
            status=given.status,
            name=given.name,
            exclude=given.exclude,
            owner=given.owner,
            assignee=given.assignee,
            updated_since=given.updated_since,
            filter=given.filter,
            limit=given.limit,
        )
    )
    everything = given == Selection()
    ids = None if everything else [project.id for project in found.items]
    tasks = await _tasks(client, ids, _in_projects)
    owned = by_project(tasks.tasks)
    listed = await in_thread(
        lambda: tuple(project_as_task(one, owned.get(one.id, ())) for one in found.items)
    )
    listing = _joined(listed, tasks, found.read_at, complete=found.complete)
    if given != Selection(project_ids=given.project_ids):
        return listing  # a project may exist, and not meet the other conditions
    there = {project.id for project in found.items}
    return replace(listing, missing=tuple(sorted(required(given.project_ids) - there)))


def _in_projects(ids: Sequence[int]) -> Selection:
    """Select the tasks of projects that are listed; one may be empty, or gone by now."""
    return Selection(filter=json.dumps({"in": [{"var": "project_id"}, list(ids)]}))


async def _jobs(client: CvatClient, wanted: TargetSelection) -> TaskListing:
    given = wanted.selection
    found = await internals(client).list_jobs(
        JobSelection(
            project_ids=given.project_ids,
            task_ids=given.task_ids,
            task_name=given.name,
            exclude=given.exclude,
            stage=wanted.stage,
            state=wanted.state,
            type=wanted.type,
            assignee=given.assignee,
            updated_since=given.updated_since,
            filter=given.filter,
            limit=given.limit,
        )
    )
    ids = sorted({job.task_id for job in found.items if job.task_id is not None})
    tasks = await _tasks(client, ids, lambda some: Selection(task_ids=some))
    known = {task.id: task for task in tasks.tasks}
    listed = await in_thread(
        lambda: tuple(
            job_as_task(job, known.get(job.task_id))
            for job in found.items
            if job.task_id is not None
        )
    )
    listing = _joined(listed, tasks, found.read_at, complete=found.complete)
    # An empty list does not say that there is no such project.
    seen = {job.project_id for job in found.items}
    await internals(client).check_projects(given.project_ids, seen)
    without_jobs = sorted(required(given.task_ids) - set(ids))
    if wanted.ids is not None or not without_jobs:
        return listing
    asked = await _tasks(client, without_jobs, lambda some: Selection(task_ids=some))
    return replace(listing, missing_tasks=asked.missing)


async def _tasks(
    client: CvatClient, ids: Sequence[int] | None, selecting: SelectByIds
) -> TaskListing:
    """Return the tasks behind targets, by batches of ids; all tasks for None."""
    if ids is None:
        return await client.tasks()
    batches = [ids[at : at + _IDS_AT_ONCE] for at in range(0, len(ids), _IDS_AT_ONCE)]
    listings = [await client.tasks(selecting(batch)) for batch in batches]
    return TaskListing(
        tasks=tuple(task for listing in listings for task in listing.tasks),
        read_at=max((one.read_at for one in listings if one.read_at is not None), default=None),
        complete=all(one.complete for one in listings),
        unreadable=sum(one.unreadable for one in listings),
        missing=tuple(task_id for one in listings for task_id in one.missing),
    )


def _joined(
    listed: tuple[Task, ...], tasks: TaskListing, read_at: datetime | None, *, complete: bool
) -> TaskListing:
    dates = [date for date in (read_at, tasks.read_at) if date is not None]
    return TaskListing(
        tasks=listed,
        read_at=max(dates, default=None),
        complete=complete and tasks.complete,
        unreadable=tasks.unreadable,
    )


async def listed_ids(
    client: CvatClient, target: TargetKind, ids: Sequence[int], tasks_of_jobs: Collection[int]
) -> set[int]:
    """Return which of some ids the server still lists.

    Args:
        client: The server.
        target: What the ids are ids of.
        ids: The ids.
        tasks_of_jobs: The tasks of jobs, by which the server lists these.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """
    match target:
        case TargetKind.TASK:
            listing = await client.tasks(Selection(task_ids=ids))
            return set(ids) - set(listing.missing)
        case TargetKind.PROJECT:
            projects = await internals(client).list_projects(ProjectSelection(project_ids=ids))
            return {project.id for project in projects.items}
        case TargetKind.JOB:
            selection = JobSelection(task_ids=sorted(tasks_of_jobs))
            jobs = await internals(client).list_jobs(selection)
            return {job.id for job in jobs.items}
