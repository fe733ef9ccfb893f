"""Tell from what the server lists whether a backup is still current.

A backup is current if the task, its jobs and its media are unchanged. The states of jobs do not
move the task's own date, so the list of jobs is compared, too. CVAT takes a task's media only once,
so that the id of its data tells them. Only tasks with a ground truth job can change media later,
when validation frames are replaced; for these alone `data/meta` is asked.

These are pure functions. `transfer.backup_states` asks the server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import msgspec

from asynccvat.core.models import DataMeta, Job, Project, Task
from asynccvat.core.plans.mirror import Reason
from asynccvat.core.records.backups import TargetState

_GROUND_TRUTH = "ground_truth"


def needs_meta(jobs: Iterable[Job]) -> bool:
    """Whether only `data/meta` tells if the media of a task with these jobs changed."""
    return any(job.type == _GROUND_TRUTH for job in jobs)


def task_state(task: Task, jobs: Iterable[Job], meta: DataMeta | None = None) -> TargetState:
    """Return the state of a task.

    Args:
        task: The task, as listed.
        jobs: Its jobs.
        meta: What the server says of its media. None if it was not asked.
    """
    listed = sorted(jobs, key=lambda job: job.id)
    told: list[object] = [task.data, task.size, task.dimension]
    if needs_meta(listed):
        told += ["unknown"] if meta is None else [*_of_media(meta)]
    return TargetState(
        updated_date=task.updated_date,
        jobs=_digest([_of_job(job) for job in listed]),
        # Without an answer nothing is known to be unchanged.
        media="" if needs_meta(listed) and meta is None else _digest(told),
        frames=task.size,
        job_count=len(listed),
    )


def project_state(project: Project, tasks: Mapping[int, TargetState]) -> TargetState:
    """Return the state of a project, with those of all its tasks.

    Args:
        project: The project, as listed.
        tasks: The states of its tasks, by id.
    """
    states = [tasks[task_id] for task_id in sorted(tasks)]
    known = all(state.media for state in states)
    frames = [state.frames for state in states if state.frames is not None]
    return TargetState(
        updated_date=project.updated_date,
        jobs=_digest(
            [
                [task_id, tasks[task_id].updated_date, tasks[task_id].jobs]
                for task_id in sorted(tasks)
            ]
        ),
        media=_digest([state.media for state in states]) if known else "",
        frames=sum(frames),
        job_count=sum(state.job_count for state in states),
        task_count=len(states),
    )


def outdated(stored: TargetState, now: TargetState) -> Reason | None:
    """Return why a backup of a state is no longer current, None if it is."""
    if stored.updated_date != now.updated_date:
        return Reason.CHANGED
    if stored.jobs != now.jobs:
        return Reason.JOBS
    # An unknown state is never the same.
    return None if stored.media == now.media != "" else Reason.MEDIA


def _of_job(job: Job) -> list[object]:
    return [
        job.id,
        job.type,
        job.stage,
        job.state,
        job.start_frame,
        job.stop_frame,
        job.parent_job_id,
        job.updated_date,
    ]


def _of_media(meta: DataMeta) -> list[object]:
    included = None if meta.included_frames is None else sorted(meta.included_frames)
    return [meta.size, sorted(meta.deleted_frames), included, meta.chunks_updated_date]


def _digest(told: object) -> str:
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:32]
