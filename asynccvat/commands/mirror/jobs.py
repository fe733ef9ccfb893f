"""List the jobs of a mirror as JSON: for whole projects, or for the listed tasks.

The state of a job does not move the date of its task. So each run lists the jobs, and compares them
with those of the receipts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.core.annotations.json_files import jobs_files
from asynccvat.core.models import TaskListing
from asynccvat.core.selections.selection import JobSelection, Selection


async def with_jobs(client: CvatClient, listing: TaskListing, selection: Selection) -> TaskListing:
    """Return a listing of tasks together with their jobs.

    Args:
        client: The server.
        listing: The tasks.
        selection: What they were listed by. Its projects have their ids.

    Raises:
        AsyncCvatError: The server cannot be asked, or refuses the list.
    """
    listed = {task.id for task in listing.tasks}
    if not listed:
        return replace(listing, jobs={})
    wanted = JobSelection(task_ids=sorted(listed))
    if replace(selection, project_ids=None) == Selection():
        # One list of whole projects is shorter than lists by the ids of tasks.
        wanted = JobSelection(project_ids=selection.project_ids)
    found = await internals(client).json_calls.jobs(wanted)
    files = await in_thread(_of_tasks, found.items, listed)
    return replace(listing, jobs=files, complete=listing.complete and found.complete)


def _of_tasks(jobs: Iterable[dict[str, Any]], task_ids: set[int]) -> dict[int, bytes]:
    return jobs_files(job for job in jobs if job.get("task_id") in task_ids)
