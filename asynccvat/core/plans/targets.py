"""List projects and jobs as a mirror sees them: each with a date that moves with all it exports.

A mirror compares one text of a target, its `updated_date`, with that of the receipt. The dates that
CVAT keeps say too little: whether a task's change moves its project's date depends on the version,
and a label's change does not move a job's. So the text here also covers the tasks behind a target.
`commands.mirror.listing` reads the lists.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from asynccvat.core.models import Job, Project, Task
from asynccvat.core.paths import task_folder_name
from asynccvat.core.targets import TargetKind

MIXED = "mixed"
"""The mode of a project that holds images and videos."""
_DIGITS = 16
_DIGEST = re.compile(rf"\+[0-9a-f]{{{_DIGITS}}}$")


class JobAsTask(Task, frozen=True, kw_only=True, gc=False):
    """A job in the place of a task in a mirror's listing.

    Attributes:
        task_id: The job's task.
    """

    task_id: int


def project_as_task(project: Project, tasks: Iterable[Task]) -> Task:
    """Return a project as a mirror lists it, with the frames of all its tasks.

    Args:
        project: The project.
        tasks: Its tasks.
    """
    own = sorted(tasks, key=lambda task: task.id)
    with_data = [task for task in own if not task.without_data]
    modes = {task.mode for task in with_data}
    return Task(
        id=project.id,
        name=project.name,
        updated_date=_state(project.updated_date, own),
        created_date=project.created_date,
        project_id=project.id,
        status=project.status,
        mode=next(iter(modes)) if len(modes) == 1 else MIXED if modes else None,
        dimension=project.dimension,
        size=sum(task.size or 0 for task in with_data) if with_data else None,
        owner=project.owner,
        assignee=project.assignee,
        organization_id=project.organization_id,
    )


def job_as_task(job: Job, task: Task | None) -> JobAsTask:
    """Return a job as a mirror lists it.

    Args:
        job: The job.
        task: Its task, None if the user may not see it.
    """
    return JobAsTask(
        id=job.id,
        task_id=job.task_id or 0,
        name="" if task is None else task.name,
        updated_date=_state(job.updated_date, () if task is None else (task,)),
        created_date=job.created_date,
        project_id=job.project_id,
        status=job.stage,
        subset=None if task is None else task.subset,
        mode=job.mode,
        dimension=job.dimension,
        size=job.frame_count or (None if task is None else task.size),
        assignee=job.assignee,
        organization_id=job.organization,
    )


def by_project(tasks: Iterable[Task]) -> Mapping[int | None, list[Task]]:
    """Return tasks by their project."""
    found: defaultdict[int | None, list[Task]] = defaultdict(list)
    for task in tasks:
        found[task.project_id].append(task)
    return found


def folder_name(target: TargetKind, prefix: str, task: Task) -> str:
    """Return the folder of a target: `task147`, `project5` or `task147/job355`.

    Args:
        target: What it is.
        prefix: What `--folder-prefix` says. Only the folders of tasks have another.
        task: The target, as a mirror lists it.
    """
    if isinstance(task, JobAsTask):
        return f"{task_folder_name('task', task.task_id)}/{target}{task.id}"
    return folder_of_id(target, prefix, task.id)


def folder_of_id(target: TargetKind, prefix: str, target_id: int) -> str:
    """Return the folder of a target of which the id alone is known."""
    return task_folder_name(prefix if target is TargetKind.TASK else str(target), target_id)


def shown_date(state: str) -> str:
    """Return CVAT's own date of a target, without the digest of the tasks behind it."""
    return _DIGEST.sub("", state)


def _state(date: str, tasks: Iterable[Task]) -> str:
    """Return a target's date with a digest of its tasks and their dates."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(f"{task.id} {task.updated_date} {task.size}\n".encode())
    return f"{date}+{digest.hexdigest()[:_DIGITS]}"
