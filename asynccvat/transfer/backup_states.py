"""Ask the server for the states of tasks and projects, which tell whether backups are current.

`core.plans.backup_states` compares them. The jobs of all tasks come in few lists.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient
from asynccvat.core.models import DataMeta, Job, Project, Task
from asynccvat.core.plans.backup_states import needs_meta, project_state, task_state
from asynccvat.core.records.backups import TargetState
from asynccvat.core.selections.selection import JobSelection, Selection
from asynccvat.errors import ResponseError

_METAS_AT_ONCE = 4


async def task_states(
    client: CvatClient, tasks: Sequence[Task], selection: Selection
) -> dict[int, TargetState]:
    """Return the states of tasks, by id.

    Args:
        client: The server.
        tasks: The tasks, as listed.
        selection: What they were listed by. If it is only by projects, so are their jobs.

    Raises:
        AsyncCvatError: The jobs cannot be listed.
    """
    jobs = await _jobs_of(client, tasks, selection)
    metas = await _metas(client, [task for task in tasks if needs_meta(jobs[task.id])])
    return {task.id: task_state(task, jobs[task.id], metas.get(task.id)) for task in tasks}


def project_states(
    projects: Iterable[Project], tasks: Iterable[Task], states: Mapping[int, TargetState]
) -> dict[int, TargetState]:
    """Return the states of projects, by id.

    Args:
        projects: The projects, as listed.
        tasks: All tasks of these projects.
        states: The states of the tasks, by id.
    """
    inside: dict[int, dict[int, TargetState]] = defaultdict(dict)
    for task in tasks:
        if task.project_id is not None:
            inside[task.project_id][task.id] = states[task.id]
    return {project.id: project_state(project, inside[project.id]) for project in projects}


async def _jobs_of(
    client: CvatClient, tasks: Sequence[Task], selection: Selection
) -> dict[int, list[Job]]:
    jobs: dict[int, list[Job]] = {task.id: [] for task in tasks}
    filled = [task.id for task in tasks if not task.without_data]
    if filled:
        async for job in client.iter_jobs(_job_selection(filled, selection)):
            if job.task_id in jobs:
                jobs[job.task_id].append(job)
    return jobs


def _job_selection(task_ids: Sequence[int], selection: Selection) -> JobSelection:
    """Select the jobs of tasks in as few lists as possible."""
    if selection == Selection(project_ids=selection.project_ids):
        return JobSelection(project_ids=selection.project_ids)
    return JobSelection(task_ids=task_ids)


async def _metas(client: CvatClient, tasks: Sequence[Task]) -> dict[int, DataMeta]:
    """Return what the server says of the media of tasks. Of some it may not say it."""
    found: dict[int, DataMeta] = {}
    limiter = anyio.CapacityLimiter(_METAS_AT_ONCE)

    async def ask(task: Task) -> None:
        async with limiter:
            try:
                found[task.id] = await client.data_meta(task.id)
            except ResponseError:
                return  # such a task is backed up again, or its request tells what is wrong

    async with task_group() as group:
        for task in tasks:
            group.start_soon(ask, task)
    return found
