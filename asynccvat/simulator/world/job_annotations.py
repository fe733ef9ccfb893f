"""The annotations of one job: its part of the task's, or its own.

Ground truth jobs and replicas have annotations of their own, which the task does not show.
"""

from __future__ import annotations

from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.tasks import Job, Task


def has_own_annotations(job: Job) -> bool:
    """Tell whether the annotations of a job are not those of its task."""
    return job.type != "annotation"


def annotations_of_job(task: Task, job: Job) -> Annotations:
    """Return the annotations of a job; a track is that of the job in which it begins."""
    if has_own_annotations(job):
        return job.given
    return _part(task.annotations(), job, inside=True)


def with_part_of_job(task: Task, job: Job, part: Annotations) -> Annotations:
    """Return the task's annotations with others for the frames of a job."""
    rest, new = _part(task.annotations(), job, inside=False), _part(part, job, inside=True)
    return Annotations(rest.shapes + new.shapes, rest.tags + new.tags, rest.tracks + new.tracks)


def _part(annotations: Annotations, job: Job, *, inside: bool) -> Annotations:
    return Annotations(
        tuple(one for one in annotations.shapes if job.has(one.frame) == inside),
        tuple(one for one in annotations.tags if job.has(one.frame) == inside),
        tuple(one for one in annotations.tracks if job.has(one.frame) == inside),
    )
