"""Ask for all that a server knows of a task: `task_details`."""

from __future__ import annotations

import msgspec

from asynccvat.api.arguments import check_client
from asynccvat.client import CvatClient
from asynccvat.client.client import internals
from asynccvat.core.models import Project
from asynccvat.core.selections.selection import JobSelection
from asynccvat.core.task_details import TaskDetails
from asynccvat.errors import NotFoundError, PermissionDeniedError


async def task_details(client: CvatClient, task_id: int) -> TaskDetails:
    """Return a task with its project, jobs, labels, media and numbers of annotations.

    Five or six requests, one after the other. All annotations are read to count them.

    Args:
        client: The server.
        task_id: The task.

    Returns:
        The details. `to_json()` gives them as JSON types.

    Raises:
        NotFoundError: The task does not exist, or the user may not see it.
        AsyncCvatError: The server cannot be reached, or refuses it.
    """
    check_client(client)
    task = await client.task(task_id)
    fields = (await client.task_fields([task_id])).get(task_id)
    return TaskDetails(
        # A task that is being deleted is in no list any more.
        fields=fields or msgspec.to_builtins(task),
        page=f"{client.origin}/tasks/{task_id}",
        project=None if task.project_id is None else await _project(client, task.project_id),
        jobs=await client.jobs(JobSelection(task_ids=[task_id])),
        labels=await internals(client).creations.labels(task_id=task_id),
        media=None if task.without_data else await client.data_meta(task_id),
        annotations=None if task.without_data else (await client.annotations(task_id)).counts,
    )


async def _project(client: CvatClient, project_id: int) -> Project | None:
    """Return a project, None if the user may see the task alone."""
    try:
        return await client.project(project_id)
    except (NotFoundError, PermissionDeniedError):
        return None
