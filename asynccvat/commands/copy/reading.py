"""Read what the plan of a copy needs of both sides: tasks, copies, jobs and projects.

`core.plans.copy` decides. `commands.copy.projects` matches the projects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from asynccvat.aio.task_groups import run_limited
from asynccvat.client import CvatClient, internals
from asynccvat.client.presence import presence
from asynccvat.commands.copy.comparison import look_at, source_jobs_digest
from asynccvat.commands.copy.projects import match_projects
from asynccvat.commands.copy.state import CopyState
from asynccvat.core.models import Job, Task
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.plans.copy import CopyFacts, CopyLook, copies_to_look_at, is_due, jobs_as_left
from asynccvat.core.plans.copy_steps import ProjectMatch
from asynccvat.core.plans.removals import Presence
from asynccvat.core.records.copies import CopyLedger, TargetState
from asynccvat.core.selections.selection import JobSelection, Selection
from asynccvat.core.targets import TargetKind

_AT_ONCE = 4
_BEGINNING = (("annotation", "new"), (None, None))


async def read_facts(
    source: CvatClient,
    target: CvatClient,
    state: CopyState,
    selection: Selection,
    options: CopyOptions,
) -> CopyFacts:
    """Read both sides.

    Raises:
        ConfigError: There is no such project at the target.
        AsyncCvatError: A server cannot be reached, or refuses a list.
    """
    ledger, asked = state.ledger, state.asked()
    selection = await internals(source).resolved(selection, side="--from")
    listing = await source.tasks(selection)
    listed = {task.id: task for task in listing.tasks}
    unlisted = [task for task in ledger.copies if task not in listed]
    if selection.task_ids and not options.prune:
        # A run for few tasks asks for no others, however many were copied before.
        asked_for = set(selection.task_ids)
        unlisted = [task for task in unlisted if task in asked_for]
    if selection.limit is not None:
        unlisted = []  # the limit says nothing about them
    known_of = await _presence(source, unlisted)
    gone = [task for task, how in known_of.items() if how is Presence.GONE]
    made = {copy for copy in asked.values() if copy is not None}
    concerned = [ledger.copies[task].copy for task in (*listed, *gone) if task in ledger.copies]
    copies = await _read_copies(target, sorted({*made, *ledger.replaced, *concerned}))
    known = {*made, *ledger.replaced, *(one.copy for one in ledger.copies.values())}
    jobs: dict[int, str] = {}
    of_source: Mapping[int, list[Job]] = {}
    if options.states:
        of_source = await _jobs(source, listed)
        jobs = {task: source_jobs_digest(of_source.get(task, ())) for task in listed}
    wanted = copies_to_look_at(listing, ledger, gone, jobs)
    due = [
        task
        for task in listing.tasks
        if not task.without_data and is_due(task, ledger, copies.lost)
    ]
    if not options.states:
        of_source = await _jobs(source, [task.id for task in due])
    projects = await match_projects(source, target, ledger, due, options)
    return CopyFacts(
        listing=listing,
        ledger=ledger,
        asked=asked,
        jobs=jobs,
        looks=await _looks(target, ledger, wanted, copies.there),
        lost=copies.lost,
        hidden=copies.hidden,
        presence=known_of,
        projects=projects,
        existing=await _existing(target, due, ledger, projects, known),
        not_carried={
            task.id: _not_carried(task, of_source.get(task.id, ()), options) for task in due
        },
    )


class _Copies:
    """The copies at the target: those that are there, are gone, and cannot be seen."""

    def __init__(self) -> None:
        self.there: dict[int, Task] = {}
        self.lost: set[int] = set()
        self.hidden: set[int] = set()


async def _read_copies(target: CvatClient, ids: Sequence[int]) -> _Copies:
    copies = _Copies()
    if not ids:
        return copies
    listing = await target.tasks(Selection(task_ids=ids))
    copies.there = {task.id: task for task in listing.tasks}

    async def ask(task_id: int) -> None:
        match await presence(target, TargetKind.TASK, task_id):
            case Presence.GONE:
                copies.lost.add(task_id)
            case Presence.FORBIDDEN:
                copies.hidden.add(task_id)
            case _:
                copies.there[task_id] = await target.task(task_id)

    absent = [task_id for task_id in ids if task_id not in copies.there]
    await run_limited(_AT_ONCE, [partial(ask, task_id) for task_id in absent])
    return copies


async def _presence(source: CvatClient, task_ids: Sequence[int]) -> dict[int, Presence]:
    """Ask for copied tasks that are not in the listing. Only a 404 says that one is deleted."""
    if not task_ids:
        return {}
    absent = (await source.tasks(Selection(task_ids=task_ids))).missing
    found = dict.fromkeys(task_ids, Presence.ELSEWHERE)

    async def ask(task_id: int) -> None:
        found[task_id] = await presence(source, TargetKind.TASK, task_id)

    await run_limited(_AT_ONCE, [partial(ask, task_id) for task_id in absent])
    return found


async def _looks(
    target: CvatClient, ledger: CopyLedger, wanted: Collection[int], there: Mapping[int, Task]
) -> dict[int, CopyLook]:
    """Look at the copies that may be replaced or removed, and at those whose date moved."""
    left = {one.copy: one.target for one in (*ledger.copies.values(), *ledger.replaced.values())}
    moved = [copy for copy, task in there.items() if copy in left and _moved(task, left[copy])]
    ids = sorted({*wanted, *moved} & there.keys() & left.keys())
    jobs = await _jobs(target, ids)
    looks: dict[int, CopyLook] = {}

    async def look(copy: int) -> None:
        held = jobs.get(copy, [])
        seen = await look_at(target, there[copy], jobs=held, known_date=left[copy].updated_date)
        looks[copy] = jobs_as_left(seen, left[copy]) if ledger.jobs_are_ours(copy, held) else seen

    await run_limited(_AT_ONCE, [partial(look, copy) for copy in ids])
    return looks


def _moved(task: Task, left: TargetState) -> bool:
    return task.updated_date != left.updated_date


async def _jobs(client: CvatClient, task_ids: Collection[int]) -> dict[int, list[Job]]:
    found: defaultdict[int, list[Job]] = defaultdict(list)
    if task_ids:
        for job in await client.jobs(JobSelection(task_ids=sorted(task_ids))):
            if job.task_id is not None:
                found[job.task_id].append(job)
    return dict(found)


async def _existing(
    target: CvatClient,
    due: Sequence[Task],
    ledger: CopyLedger,
    projects: Mapping[int | None, ProjectMatch],
    known: Collection[int],
) -> dict[tuple[int | None, str, str, int | None], int]:
    """Return tasks where copies would go to, and which the journal does not know."""
    new = {task.project_id for task in due if task.id not in ledger.copies}
    matches = [projects.get(project, ProjectMatch()) for project in new]
    ids = sorted({match.into for match in matches if match.into is not None})
    outside = any(match.into is None and not match.is_made for match in matches)
    if not ids and not outside:
        return {}
    # CVAT has no filter for tasks outside projects.
    listing = await target.tasks(None if outside else Selection(project_ids=ids))
    return {
        (task.project_id, task.name, task.subset or "", task.size): task.id
        for task in listing.tasks
        if task.id not in known
    }


def _not_carried(task: Task, jobs: Sequence[Job], options: CopyOptions) -> tuple[str, ...]:
    """Return what a backup of a task does not carry, in words."""
    found = []
    if task.assignee is not None or any(job.assignee is not None for job in jobs):
        found.append("assignees")
    if any(job.issue_count for job in jobs):
        found.append("issues")
    if not options.states and any((job.stage, job.state) not in _BEGINNING for job in jobs):
        found.append("stages and states of jobs, unless --states is given")
    return tuple(found)
