"""Read what restores made, and compare it with the backups.

Tasks and jobs that are asked for at the same time are read by one list. `core.plans.restore`
judges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asynccvat.client import CvatClient, internals
from asynccvat.commands.restore.batches import Batches
from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.backups.contents import BackupContents, KindCounts
from asynccvat.core.models import Job, TargetKind, Task
from asynccvat.core.plans.restore import RestoredTask, differences, project_differences
from asynccvat.core.selections.selection import JobSelection, Selection
from asynccvat.errors import RestoreIncompleteError


class Comparison:
    """Compare new tasks and projects with the backups that they were made from."""

    def __init__(self, client: CvatClient) -> None:
        """Read from a client's server."""
        self._client = client
        self._tasks: Batches[Task] = Batches(self._read_tasks)
        self._jobs: Batches[tuple[Job, ...]] = Batches(self._read_jobs)

    async def check(self, path: str, contents: BackupContents, new_id: int) -> None:
        """Compare a new task or project with its backup.

        Raises:
            RestoreIncompleteError: They differ.
            AsyncCvatError: The server cannot be asked.
        """
        if contents.kind is TargetKind.TASK:
            (wanted,) = contents.tasks
            task = await self._tasks.get(new_id) or await self._client.task(new_id)
            found = differences(wanted, await self._restored(task, adds_up=wanted.adds_up))
        else:
            listing = await self._client.tasks(Selection(project_ids=[new_id]))
            adds_up = {task.name: task.adds_up for task in contents.tasks}
            tasks = [
                await self._restored(task, adds_up=adds_up.get(task.name, True))
                for task in listing.tasks
            ]
            found = project_differences(contents, tasks)
        if found:
            more = f" and {len(found) - 3} other differences" if len(found) > 3 else ""
            raise RestoreIncompleteError(
                f"{contents.kind} {new_id}, restored from {path!r}, differs from the backup: it "
                f"has {', '.join(found[:3])}{more}. Look at it; delete it before you restore "
                "again, with --again.",
                step="compare",
            )

    async def _restored(self, task: Task, *, adds_up: bool) -> RestoredTask:
        jobs = await self._jobs.get(task.id) or ()
        if adds_up:
            counts = _of_kinds((await self._client.annotations(task.id)).counts)
        else:
            calls = internals(self._client).restores
            counts = KindCounts()
            for job in jobs:
                counts += _of_kinds((await calls.job_annotations(job.id)).counts)
        return RestoredTask(task.id, task.name, task.size, jobs, counts)

    async def _read_tasks(self, ids: Sequence[int]) -> Mapping[int, Task]:
        if len(ids) == 1:
            # A list of one takes the server longer than the task itself.
            return {ids[0]: await self._client.task(ids[0])}
        listing = await self._client.tasks(Selection(task_ids=ids))
        return {task.id: task for task in listing.tasks}

    async def _read_jobs(self, ids: Sequence[int]) -> Mapping[int, tuple[Job, ...]]:
        found: dict[int, list[Job]] = {}
        for job in await self._client.jobs(JobSelection(task_ids=ids)):
            if job.task_id is not None:
                found.setdefault(job.task_id, []).append(job)
        return {task_id: tuple(jobs) for task_id, jobs in found.items()}


def _of_kinds(counts: AnnotationCounts) -> KindCounts:
    return KindCounts(counts.tags, counts.shapes, counts.tracks)
