"""Tasks, jobs and annotations as a server of this version shows them.

`serializers` has the JSON of CVAT 2.54, to which 2.64 added keys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from asynccvat.simulator.formats.annotations_json import annotations_json
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.serializers import job_json, task_json
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.tasks import Job, Task

_NOT_IN_264: Final = ("view_id", "description", "needs_review")


def shown_task(call: Call, task: Task, assigned: datetime | None = None) -> dict[str, Any]:
    """Return a task as JSON."""
    value = task_json(task, call.origin, assigned)
    if call.backend.options.names_projects:
        value["project_name"] = _project_name(call, task.project_id)
        value.setdefault("data", None)
    return value


def shown_job(call: Call, job: Job) -> dict[str, Any]:
    """Return a job as JSON."""
    world = call.backend.world
    issues = sum(issue.job_id == job.id for issue in world.issues.values())
    value = job_json(job, world.tasks[job.task_id], call.origin, issues)
    if call.backend.options.names_projects:
        value["task_name"] = job.task_name
        value["project_name"] = _project_name(call, job.project_id)
        value["replicas_count"] = 0
        value["bug_tracker"] = None if job.project_id is None else ""
    return value


def _project_name(call: Call, project_id: int | None) -> str | None:
    project = call.backend.world.projects.get(project_id or 0)
    return None if project is None else project.name


def shown_annotations(
    call: Call, annotations: Annotations, *, sent: bool = False
) -> dict[str, Any]:
    """Return annotations as JSON; the response to those that were `sent` repeats their numbers."""
    value = annotations_json(annotations)
    if call.backend.options.names_projects:
        for shape in value["shapes"]:
            _as_of_264(shape, sent=sent)
        for track in value["tracks"]:
            for shape in () if sent else track["shapes"]:
                shape["points"] = [float(point) for point in shape["points"]]
    return value


def _as_of_264(shape: dict[str, Any], *, sent: bool) -> None:
    for name in _NOT_IN_264:
        shape.pop(name, None)
    shape["score"] = 1 if sent else 1.0
    if not sent:
        shape["points"] = [float(point) for point in shape["points"]]
    for element in shape["elements"]:
        _as_of_264(element, sent=sent)
