"""Read what a restore made, and compare it with the backup.

`core.plans.restore` judges.
"""

from __future__ import annotations

from asynccvat.client import CvatClient, internals
from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.backups.contents import BackupContents, KindCounts
from asynccvat.core.models import Job, TargetKind
from asynccvat.core.plans.restore import RestoredTask, differences, project_differences
from asynccvat.core.selections.selection import JobSelection, Selection
from asynccvat.errors import RestoreIncompleteError


async def check_restored(
    client: CvatClient, path: str, contents: BackupContents, new_id: int
) -> None:
    """Compare a new task or project with the backup that it was made from.

    Raises:
        RestoreIncompleteError: They differ.
        AsyncCvatError: The server cannot be asked.
    """
    if contents.kind is TargetKind.TASK:
        (wanted,) = contents.tasks
        found = differences(wanted, await _read(client, new_id, wanted.adds_up))
    else:
        listing = await client.tasks(Selection(project_ids=[new_id]))
        adds_up = {task.name: task.adds_up for task in contents.tasks}
        tasks = [
            await _read(client, task.id, adds_up.get(task.name, True)) for task in listing.tasks
        ]
        found = project_differences(contents, tasks)
    if found:
        more = f" and {len(found) - 3} other differences" if len(found) > 3 else ""
        raise RestoreIncompleteError(
            f"{contents.kind} {new_id}, restored from {path!r}, differs from the backup: it has "
            f"{', '.join(found[:3])}{more}. Look at it; delete it before you restore again, with "
            "--again.",
            step="compare",
        )


async def _read(client: CvatClient, task_id: int, adds_up: bool) -> RestoredTask:
    task = await client.task(task_id)
    jobs = await client.jobs(JobSelection(task_ids=[task_id]))
    counts = await _counts(client, task_id, jobs, adds_up)
    return RestoredTask(task_id, task.name, task.size, jobs, counts)


async def _counts(
    client: CvatClient, task_id: int, jobs: tuple[Job, ...], adds_up: bool
) -> KindCounts:
    if adds_up:
        return _of_kinds((await client.annotations(task_id)).counts)
    calls = internals(client).restores
    total = KindCounts()
    for job in jobs:
        total += _of_kinds((await calls.job_annotations(job.id)).counts)
    return total


def _of_kinds(counts: AnnotationCounts) -> KindCounts:
    return KindCounts(counts.tags, counts.shapes, counts.tracks)
