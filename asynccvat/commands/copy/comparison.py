"""Read a task and its copy, compare them, and tell how a copy is now.

`core.plans.comparison` judges.
"""

from __future__ import annotations

from collections.abc import Iterable

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.core.models import Job, Task
from asynccvat.core.plans.comparison import ComparedTask, TaskContent
from asynccvat.core.plans.copy import CopyLook
from asynccvat.core.records.copies import TargetState, digest_of
from asynccvat.core.records.replaced import content_digest
from asynccvat.core.selections.selection import JobSelection


async def compare(source: CvatClient, target: CvatClient, task: int, copy: int) -> ComparedTask:
    """Read a task and its copy, and put them beside each other.

    Raises:
        AsyncCvatError: A server cannot be asked, or does not have it any more.
    """
    return ComparedTask(task, copy, await _content(source, task), await _content(target, copy))


async def _content(client: CvatClient, task_id: int) -> TaskContent:
    task = await client.task(task_id)
    counts = (await client.annotations(task_id)).counts
    return TaskContent(task.size, counts, task.subset or "")


async def look_at(
    client: CvatClient,
    task: Task,
    *,
    jobs: Iterable[Job] | None = None,
    known_date: str | None = None,
) -> CopyLook:
    """Return how a copy is now.

    Args:
        client: The target.
        task: The copy, as just read.
        jobs: Its jobs, None to read them.
        known_date: The date that we left it with. Its annotations are read if this differs.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """
    if jobs is None:
        jobs = await client.jobs(JobSelection(task_ids=[task.id]))
    jobs = list(jobs)
    digest = ""
    if task.updated_date != known_date:
        raw = (await client.annotations(task.id)).raw
        digest = await in_thread(content_digest, raw)
    state = TargetState(
        task.updated_date,
        digest,
        digest_of(_job(job) for job in jobs),
        task.name,
        task.subset or "",
        task.size,
        None if task.assignee is None else task.assignee.id,
    )
    return CopyLook(state, sum(job.issue_count for job in jobs))


def _job(job: Job) -> dict[str, object]:
    assignee = None if job.assignee is None else job.assignee.id
    return {"id": job.id, "stage": job.stage, "state": job.state, "assignee": assignee}


def source_jobs_digest(jobs: Iterable[Job]) -> str:
    """Return a digest of the stages and states of a task's jobs at the source."""
    return digest_of(
        {
            "first": job.start_frame,
            "last": job.stop_frame,
            "type": job.type,
            "stage": job.stage,
            "state": job.state,
        }
        for job in jobs
    )
