"""Read what restores made, and compare it with the backups.

`client.lookups` reads for many at once, `core.plans.restored` judges.
"""

from __future__ import annotations

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient
from asynccvat.client.lookups import TaskLookups
from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.backups.contents import BackupContents, KindCounts
from asynccvat.core.models import Task
from asynccvat.core.plans.restored import RestoredTask, differences, project_differences
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import RestoreIncompleteError


class Comparison:
    """Compare new tasks and projects with the backups that they were made from."""

    def __init__(self, client: CvatClient, lookups: TaskLookups) -> None:
        """Read from a client's server.

        Args:
            client: The server.
            lookups: Reads its tasks.
        """
        self._client = client
        self._lookups = lookups

    async def check(self, path: str, contents: BackupContents, new_id: int) -> None:
        """Compare a new task or project with its backup.

        Raises:
            RestoreIncompleteError: They differ.
            AsyncCvatError: The server cannot be asked.
        """
        if contents.kind is TargetKind.TASK:
            (wanted,) = contents.tasks
            task = await self._lookups.task(new_id)
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
        async with task_group() as group:
            counts = group.start(self._counts, task, adds_up)
            jobs = await self._lookups.jobs(task.id)
        return RestoredTask(task.id, task.name, task.size, jobs, counts.result)

    async def _counts(self, task: Task, adds_up: bool) -> KindCounts:
        """Count the annotations of a task, or those of its jobs if these do not add up."""
        if adds_up:
            return _of_kinds((await self._lookups.annotations(task.id)).counts)
        counts = KindCounts()
        for job in await self._lookups.jobs(task.id):
            counts += _of_kinds((await self._lookups.job_annotations(job.id)).counts)
        return counts


def _of_kinds(counts: AnnotationCounts) -> KindCounts:
    return KindCounts(counts.tags, counts.shapes, counts.tracks)
