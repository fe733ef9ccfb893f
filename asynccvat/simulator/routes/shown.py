"""Tasks, jobs and annotations as a server of this version shows them.

`serializers` has the JSON of CVAT 2.54, to which 2.64 added keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from asynccvat.simulator.formats.annotations_json import annotations_json
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.serializers import job_json, task_json
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.tasks import Job, Task
from asynccvat.simulator.world.world import World

_NOT_IN_264: Final = ("view_id", "description", "needs_review")


@dataclass(frozen=True, slots=True)
class Shown:
    """How a server shows its tasks and jobs.

    Attributes:
        world: What it holds.
        names_projects: Whether its version names the project of each.
        origin: Scheme and host of links.
    """

    world: World
    names_projects: bool
    origin: str

    def task(self, task: Task, assigned: datetime | None = None) -> dict[str, Any]:
        """Return a task as JSON."""
        value = task_json(task, self.origin, assigned)
        if self.names_projects:
            value["project_name"] = self._project_name(task.project_id)
            value.setdefault("data", None)
        return value

    def job(self, job: Job, task: Task) -> dict[str, Any]:
        """Return a job of a task as JSON."""
        issues = sum(issue.job_id == job.id for issue in self.world.issues.values())
        value = job_json(job, task, self.origin, issues)
        if self.names_projects:
            value["task_name"] = job.task_name
            value["project_name"] = self._project_name(job.project_id)
            value["replicas_count"] = 0
            value["bug_tracker"] = None if job.project_id is None else ""
        return value

    def _project_name(self, project_id: int | None) -> str | None:
        project = self.world.projects.get(project_id or 0)
        return None if project is None else project.name


def shown_task(call: Call, task: Task, assigned: datetime | None = None) -> dict[str, Any]:
    """Return a task as JSON."""
    return _shown(call).task(task, assigned)


def shown_job(call: Call, job: Job) -> dict[str, Any]:
    """Return a job as JSON."""
    return _shown(call).job(job, call.backend.world.tasks[job.task_id])


def _shown(call: Call) -> Shown:
    return Shown(call.backend.world, call.backend.options.names_projects, call.origin)


def shown_annotations(
    call: Call, annotations: Annotations, *, sent: bool = False
) -> dict[str, Any]:
    """Return annotations as JSON; the response to those that were `sent` repeats their numbers."""
    value = annotations_json(annotations)
    shapes = list(_shapes(value))
    if not sent:
        for shape in shapes:
            shape["rotation"] = float(shape["rotation"])
    if call.backend.options.names_projects:
        for shape in shapes:
            if not sent:
                shape["points"] = [float(point) for point in shape["points"]]
                if "score" in shape:
                    shape["score"] = float(shape["score"])
            for name in _NOT_IN_264:
                shape.pop(name, None)
    else:
        for shape in shapes:
            shape.pop("score", None)
    return value


def _shapes(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the shapes of annotations, also those of tracks and elements."""
    for name in ("shapes", "elements", "tracks"):
        for one in value.get(name, ()):
            if "points" in one:
                yield one
            yield from _shapes(one)
