"""Read a task and its copy, compare them, and tell how a copy is now.

`core.plans.comparison` judges.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from asynccvat.aio.task_groups import task_group
from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.client.lookups import TaskLookups
from asynccvat.core.models import Job, Task
from asynccvat.core.plans.comparison import ComparedTask, TaskContent
from asynccvat.core.plans.copy import CopyLook
from asynccvat.core.records.copies import TargetState, digest_of
from asynccvat.core.records.replaced import content_digest
from asynccvat.core.selections.selection import JobSelection


@dataclass(frozen=True, slots=True)
class ReadCopy:
    """A task and its copy, as just read.

    Attributes:
        compared: Both sides.
        copy: The copy.
        jobs: Its jobs.
        raw: Its annotations, as the server sent them.
    """

    compared: ComparedTask
    copy: Task
    jobs: tuple[Job, ...]
    raw: bytes


async def compare(source: CvatClient, target: TaskLookups, task: Task, copy: int) -> ReadCopy:
    """Read the annotations of a task and its copy, for a comparison.

    Args:
        source: The server that has the task.
        target: Reads from the server that has the copy.
        task: The task, as listed.
        copy: The copy's id.

    Raises:
        AsyncCvatError: A server cannot be asked, or does not have it any more.
    """
    async with task_group() as group:
        mine = group.start(source.annotations, task.id)
        # First the task: its date must not be younger than what is read of its annotations.
        there = await target.task(copy)
        jobs = group.start(target.jobs, copy)
        theirs = await target.annotations(copy)
    compared = ComparedTask(
        task.id,
        copy,
        TaskContent(task.size, mine.result.counts, task.subset or ""),
        TaskContent(there.size, theirs.counts, there.subset or ""),
    )
    return ReadCopy(compared, there, jobs.result, theirs.raw)


async def look_at(
    client: CvatClient,
    task: Task,
    *,
    jobs: Iterable[Job] | None = None,
    raw: bytes | None = None,
    known_date: str | None = None,
) -> CopyLook:
    """Return how a copy is now.

    Args:
        client: The target.
        task: The copy, as just read.
        jobs: Its jobs, None to read them.
        raw: Its annotations, None to read them if they are needed.
        known_date: The date that we left it with. Its annotations count if this differs.

    Raises:
        AsyncCvatError: The server cannot be asked.
    """
    if jobs is None:
        jobs = await client.jobs(JobSelection(task_ids=[task.id]))
    jobs = list(jobs)
    digest = ""
    if task.updated_date != known_date:
        if raw is None:
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
