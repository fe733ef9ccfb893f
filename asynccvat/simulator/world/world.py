"""What a simulated server holds: projects, tasks and organizations, and every change to them.

Every change moves `version`, which tells that responses made earlier are out of date.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Final

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.world.accounts import UserAccount
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.content import project_labels
from asynccvat.simulator.world.dates import RisingClock
from asynccvat.simulator.world.generation import generate_tasks
from asynccvat.simulator.world.tasks import Project, Task
from asynccvat.simulator.world.users import ADMIN, Organization, User

_FIRST_ANNOTATION_ID: Final = 1_000_001
"""Annotations that clients create are numbered from here; generated ones from 1 in each task."""


class World:
    """The projects, tasks and organizations of a server.

    Attributes:
        projects: The projects, by id.
        tasks: The tasks, by id.
        organizations: The organizations, by id.
        version: Grows with every change.
        annotation_ids: Numbers for new annotations.
    """

    def __init__(self, options: SimulatorOptions) -> None:
        """Generate the projects and tasks that the options ask for.

        Raises:
            ValueError: The options do not fit together.
        """
        generated = generate_tasks(
            options.tasks,
            options.frames,
            options.projects,
            options.seed,
            frame_bytes=options.frame_bytes,
            boxes_per_frame=options.boxes_per_frame,
            subsets=options.subsets,
            statuses=options.statuses,
            unicode_tasks=options.unicode_tasks,
            tasks_without_data=options.tasks_without_data,
            video_tasks=options.video_tasks,
        )
        self.projects: dict[int, Project] = generated.projects
        self.tasks: dict[int, Task] = generated.tasks
        self.organizations: dict[int, Organization] = {}
        self.version = 0
        self.annotation_ids: Iterator[int] = itertools.count(_FIRST_ANNOTATION_ID)
        self._clock = RisingClock()

    def can_see(self, account: UserAccount, item: Task | Project) -> bool:
        """Tell whether an account may see a task or project.

        A user sees what they own, what is assigned to them, what is in their organization, and the
        tasks of a project that they see. A superuser sees everything.
        """
        if account.superuser:
            return True
        user_id = account.user.id
        if user_id in (item.owner.id, item.assignee.id if item.assignee else None):
            return True
        if item.organization_id is not None:
            organization = self.organizations.get(item.organization_id)
            if organization is not None and organization.owner.id == user_id:
                return True
        if isinstance(item, Task) and item.project_id is not None:
            project = self.projects.get(item.project_id)
            return project is not None and self.can_see(account, project)
        return False

    def project_tasks(self, project_id: int) -> list[Task]:
        """Return the tasks of a project, by id."""
        return [task for task in self.tasks.values() if task.project_id == project_id]

    def edit_task(self, task_id: int) -> Task:
        """Change the task's annotations, and so its `updated_date` and its archives.

        Raises:
            KeyError: There is no such task.
        """
        return self._store(self.tasks[task_id].edited(self._clock.now()))

    def annotate_task(self, task_id: int, annotations: Annotations) -> Task:
        """Replace the task's annotations, and update its `updated_date`.

        Raises:
            KeyError: There is no such task.
        """
        return self._store(self.tasks[task_id].annotated(annotations, self._clock.now()))

    def change_media(self, task_id: int) -> Task:
        """Change the pixels of the task's images, and so its date and its archives.

        Raises:
            KeyError: There is no such task.
        """
        now = self._clock.now()
        revision = self.tasks[task_id].media_revision + 1
        return self.change_task(
            task_id, media_revision=revision, chunks_updated_date=now, updated_date=now
        )

    def change_task(self, task_id: int, **fields: Any) -> Task:
        """Change fields of the task and its `updated_date`.

        Raises:
            KeyError: There is no such task.
        """
        fields.setdefault("updated_date", self._clock.now())
        return self._store(dataclasses.replace(self.tasks[task_id], **fields))

    def delete_task(self, task_id: int) -> None:
        """Delete the task.

        Raises:
            KeyError: There is no such task.
        """
        self.version += 1
        del self.tasks[task_id]

    def add_task(
        self,
        name: str | None = None,
        *,
        project_id: int | None = None,
        frames: int | None = 5,
        organization_id: int | None = None,
        owner: User | None = None,
    ) -> Task:
        """Add a task; `frames` None makes one without data."""
        task_id = max(self.tasks, default=0) + 1
        like = next(iter(self.tasks.values()), None)
        now = self._clock.now()
        task = Task(
            id=task_id,
            name=name if name is not None else f"street-{task_id:05d}",
            project_id=project_id,
            labels=project_labels(project_id),
            size=frames,
            created_date=now,
            updated_date=now,
            mode="" if frames is None else "annotation",
            owner=owner or ADMIN,
            organization_id=organization_id,
        )
        if like is not None:
            task = dataclasses.replace(task, content=like.content)
        return self._store(task)

    def add_organization(
        self, slug: str, name: str | None = None, owner: User | None = None
    ) -> Organization:
        """Add an organization."""
        self.version += 1
        number = len(self.organizations) + 1
        organization = Organization(number, slug, name or slug, owner or ADMIN, self._clock.now())
        self.organizations[number] = organization
        return organization

    def _store(self, task: Task) -> Task:
        self.version += 1
        self.tasks[task.id] = task
        return task
