"""Make tasks and projects of backups, as a worker does that restores them.

`formats.backup_reader` reads a backup, `import_queue` runs the requests.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.simulator.formats.backup_reader import (
    NewNumbers,
    RestoredJob,
    RestoredProject,
    RestoredTask,
    read_project_backup,
    read_task_backup,
)
from asynccvat.simulator.queues.requests import RestoreRequest
from asynccvat.simulator.world.relabel import relabel
from asynccvat.simulator.world.tasks import Project, Task
from asynccvat.simulator.world.world import World


def read_restore(request: RestoreRequest, world: World) -> None:
    """Read the uploaded backup; nothing of the world changes.

    Raises:
        RestoreError: It is no backup of the kind that the request restores.
    """
    numbers = NewNumbers(world.label_ids, world.attribute_ids, world.annotation_ids)
    read = read_project_backup if request.target.kind == "project" else read_task_backup
    request.restored = read(request.upload.path, numbers)


def make_restored(request: RestoreRequest, world: World) -> None:
    """Make the task, or the project with its tasks, that was read."""
    restored = request.restored
    if isinstance(restored, RestoredTask):
        request.made_id = _make_task(restored, request, world).id
    elif restored is not None:
        request.made_id = _make_project(restored, request, world).id


def _make_project(restored: RestoredProject, request: RestoreRequest, world: World) -> Project:
    project = world.add_project(
        restored.name,
        restored.labels,
        owner=request.owner,
        organization_id=request.target.organization_id,
    )
    for task in restored.tasks:
        _make_task(task, request, world, project)
    return project


def _make_task(
    restored: RestoredTask, request: RestoreRequest, world: World, project: Project | None = None
) -> Task:
    """Make a task; owner, assignees, stages and states of jobs are not those of the backup."""
    added = world.add_task(
        restored.name,
        project_id=None if project is None else project.id,
        frames=None,
        organization_id=request.target.organization_id,
        owner=request.owner,
        labels=project.labels if project is not None else restored.labels,
        subset=restored.subset,
    )
    jobs = [job for job in restored.jobs if job.type == "annotation"]
    task = world.fill_task(
        added.id,
        restored.media,
        segments=[(job.start_frame, job.stop_frame) for job in jobs],
        mode=restored.mode,
        **_segment_fields(jobs),
        **restored.fields,
    )
    for job in restored.jobs:
        if job.type == "ground_truth":
            made = world.add_job(task.id, "ground_truth", job.frames)
            world.change_job(made.id, given=relabel(job.annotations, task.labels))
    return world.annotate_task(task.id, relabel(restored.annotations, task.labels))


def _segment_fields(jobs: Sequence[RestoredJob]) -> dict[str, int]:
    """Return segment size and overlap, which a backup has only in its jobs."""
    if len(jobs) < 2:
        return {}
    first, second = jobs[:2]
    return {
        "wanted_segment_size": first.stop_frame - first.start_frame + 1,
        "wanted_overlap": max(0, first.stop_frame - second.start_frame + 1),
    }
