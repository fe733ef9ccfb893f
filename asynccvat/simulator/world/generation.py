"""Generate the projects and tasks of a server from a seed.

`content` makes what is inside the tasks.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from asynccvat.simulator.world.content import GeneratedContent, project_labels
from asynccvat.simulator.world.tasks import Project, Task

_FIRST_DAY: Final = datetime(2026, 1, 5, 8, 0, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class GeneratedTasks:
    """Generated projects and tasks, by id."""

    projects: dict[int, Project]
    tasks: dict[int, Task]


def generate_tasks(
    tasks: int = 300,
    frames: int = 5,
    projects: int = 1,
    seed: int = 0,
    *,
    frame_bytes: int | None = None,
    boxes_per_frame: int = 2,
    subsets: Sequence[str] = ("",),
    statuses: Sequence[str] = ("annotation", "validation", "completed"),
    unicode_tasks: int = 0,
    tasks_without_data: int = 0,
    video_tasks: int = 0,
) -> GeneratedTasks:
    """Generate projects and tasks; the same arguments always give the same content.

    Args:
        tasks: Number of tasks; their ids count from 1.
        frames: Images of each task.
        projects: Number of projects, which share the tasks evenly in the order of their ids; 0 for
            tasks without a project.
        seed: Other seeds give other pictures, annotations and dates.
        frame_bytes: Length of each image in bytes; None for a few kilobytes.
        boxes_per_frame: Rectangles on each frame; 0 for tasks without annotations.
        subsets: Given to the tasks in turn; "" is none (CVAT exports it as `default`).
        statuses: Given to the tasks in turn.
        unicode_tasks: How many of the tasks, those with the last ids, have a name and nested frame
            names beyond ASCII.
        tasks_without_data: How many of the tasks before those have no data.
        video_tasks: How many of the first tasks are videos, annotated with tracks.

    Raises:
        ValueError: A count is negative, or there are more special tasks than tasks.
    """
    special = (unicode_tasks, tasks_without_data, video_tasks)
    if min(tasks, frames, projects, boxes_per_frame, *special) < 0:
        raise ValueError("a server cannot hold fewer than 0 of anything: give counts from 0")
    if unicode_tasks + tasks_without_data > tasks:
        raise ValueError(
            f"{unicode_tasks} unicode tasks and {tasks_without_data} without data are more than "
            f"the {tasks} tasks asked for: raise `tasks`"
        )
    plain = GeneratedContent(seed, frame_bytes, boxes_per_frame)
    unicode = dataclasses.replace(plain, unicode_names=True)
    rng = random.Random(f"dates {seed}")
    generated: dict[int, Task] = {}
    for index in range(tasks):
        project_id = 1 + index * projects // tasks if projects else None
        created = _FIRST_DAY + timedelta(minutes=index, microseconds=rng.randrange(10**6))
        is_unicode = index >= tasks - unicode_tasks
        without_data = not is_unicode and index >= tasks - unicode_tasks - tasks_without_data
        task_id = index + 1
        generated[task_id] = Task(
            id=task_id,
            name=_task_name(task_id, unicode=is_unicode),
            project_id=project_id,
            labels=project_labels(project_id),
            size=None if without_data else frames,
            created_date=created,
            updated_date=created + timedelta(seconds=30, microseconds=rng.randrange(10**6)),
            content=unicode if is_unicode else plain,
            subset=subsets[index % len(subsets)],
            status="annotation" if without_data else statuses[index % len(statuses)],
            mode="" if without_data else "interpolation" if index < video_tasks else "annotation",
        )
    updated = _FIRST_DAY + timedelta(minutes=tasks)
    return GeneratedTasks(
        {id_: _project(id_, updated) for id_ in range(1, projects + 1)}, generated
    )


def _task_name(task_id: int, *, unicode: bool) -> str:
    if unicode:
        return f'Имя задачи «ünïcødé» 日本語 😀 / \\ : * ? " < > | {task_id}'
    return f"street-{task_id:05d}"


def _project(project_id: int, updated: datetime) -> Project:
    return Project(
        id=project_id,
        name=f"project-{project_id}",
        labels=project_labels(project_id),
        created_date=_FIRST_DAY - timedelta(days=1),
        updated_date=updated,
    )
