"""What a simulated server holds: projects, tasks and organizations, and their changes.

Every change moves `version`, which tells that responses made earlier are out of date.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.world.annotations import Annotations, Label
from asynccvat.simulator.world.content import project_labels
from asynccvat.simulator.world.generation import generate_tasks
from asynccvat.simulator.world.job_annotations import annotations_of_job
from asynccvat.simulator.world.media import TaskMedia
from asynccvat.simulator.world.relabel import relabel
from asynccvat.simulator.world.reported_holdings import FIRST_ID, ReportedHoldings
from asynccvat.simulator.world.tasks import Project, Task
from asynccvat.simulator.world.users import ADMIN, User


class World(ReportedHoldings):
    """The projects, tasks and organizations of a server.

    Attributes:
        annotation_ids: Numbers for new annotations.
        label_ids: Numbers for new labels.
        attribute_ids: Numbers for new attributes of labels.
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
        super().__init__(generated.projects, generated.tasks)
        self.annotation_ids: Iterator[int] = itertools.count(FIRST_ID)
        self.label_ids: Iterator[int] = itertools.count(FIRST_ID)
        self.attribute_ids: Iterator[int] = itertools.count(FIRST_ID)
        self._last_project = max(self.projects, default=0)
        self._last_task = max(self.tasks, default=0)

    def edit_task(self, task_id: int) -> Task:
        """Change the task's annotations, and so its `updated_date` and its archives.

        Raises:
            KeyError: There is no such task.
        """
        return self._annotated(self.tasks[task_id].edited(self._clock.now()))

    def annotate_task(self, task_id: int, annotations: Annotations) -> Task:
        """Replace the task's annotations, and update its `updated_date`.

        Raises:
            KeyError: There is no such task.
        """
        return self._annotated(self.tasks[task_id].annotated(annotations, self._clock.now()))

    def _annotated(self, task: Task) -> Task:
        """Store a task with other annotations, and date the jobs that have them and the project."""
        before = self.tasks[task.id]
        if task.own_jobs is not None:
            dated = tuple(
                dataclasses.replace(job, updated_date=task.updated_date)
                if annotations_of_job(before, job) != annotations_of_job(task, job)
                else job
                for job in task.own_jobs
            )
            task = dataclasses.replace(task, own_jobs=dated)
        self.store(task)
        for job, changed in zip(before.jobs(), task.jobs(), strict=True):
            if job != changed:
                self.report(job, changed, task)
        self.report(before, task)
        self.touch_project(task)
        return task

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
        before = self.tasks[task_id]
        # The date of a job moves with its annotations, not with the task's name.
        fields.setdefault("annotated_date", before.annotated_date or before.updated_date)
        task = self.store(dataclasses.replace(before, **fields))
        self.report(before, task)
        return task

    def delete_task(self, task_id: int) -> None:
        """Delete the task.

        Raises:
            KeyError: There is no such task.
        """
        self.version += 1
        task = self.tasks.pop(task_id)
        for job in task.jobs():
            self.report(job, None, task)
        self.report(task, None)
        for issue in [one for one in self.issues.values() if one.task_id == task_id]:
            del self.issues[issue.id]

    def delete_project(self, project_id: int) -> None:
        """Delete the project and its tasks.

        Raises:
            KeyError: There is no such project.
        """
        for task in self.project_tasks(project_id):
            self.delete_task(task.id)
        project = self.projects.pop(project_id)
        self.version += 1
        self.report(project, None)
        self.webhooks.delete_of_project(project_id)

    def add_task(
        self,
        name: str | None = None,
        *,
        project_id: int | None = None,
        frames: int | None = 5,
        organization_id: int | None = None,
        owner: User | None = None,
        labels: tuple[Label, ...] | None = None,
        **fields: Any,
    ) -> Task:
        """Add a task; `frames` None makes one without data.

        Its labels are those of the project, or else `labels`, or those of generated tasks.
        Further fields are those of `Task`.
        """
        task_id = self._last_task = max(self._last_task, max(self.tasks, default=0)) + 1
        like = next(iter(self.tasks.values()), None)
        now = self._clock.now()
        project = self.projects.get(project_id) if project_id is not None else None
        if labels is None:
            labels = project.labels if project is not None else project_labels(project_id)
        task = Task(
            id=task_id,
            name=name if name is not None else f"street-{task_id:05d}",
            project_id=project_id,
            labels=tuple(dataclasses.replace(one, task_id=task_id) for one in labels)
            if project_id is None and labels != project_labels(None)
            else labels,
            size=frames,
            created_date=now,
            updated_date=now,
            mode="" if frames is None else "annotation",
            owner=owner or ADMIN,
            organization_id=organization_id,
        )
        if like is not None:
            task = dataclasses.replace(task, content=like.content)
        task = self.store(dataclasses.replace(task, **fields))
        self.report(None, task)
        return task

    def fill_task(
        self,
        task_id: int,
        media: TaskMedia,
        *,
        segments: Sequence[tuple[int, int]] | None = None,
        **fields: Any,
    ) -> Task:
        """Give a task its media, and make its jobs.

        `segments` has first and last frame of each job; None: what the task asks for. Further
        fields are those of `Task`.

        Raises:
            KeyError: There is no such task.
        """
        before, now = self.tasks[task_id], self._clock.now()
        task = dataclasses.replace(
            before,
            **{
                "size": len(media.frames),
                "media": media,
                "mode": "interpolation" if media.video else "annotation",
                "chunks_updated_date": now,
                "updated_date": now,
                **fields,
            },
        )
        jobs = [self.make_job(task, start, stop) for start, stop in segments or task.segments()]
        task = dataclasses.replace(task, own_jobs=tuple(jobs))
        for job in jobs:
            self.report(None, job, task)
        self.report(before, task)
        # Seen on 2.64: the worker stores the task once more, with another date.
        dated = fields.get("updated_date") or self._clock.now()
        again = self.store(dataclasses.replace(task, updated_date=dated))
        self.report(task, again)
        return again

    def move_task(self, task_id: int, project_id: int) -> Task:
        """Move a task into a project, whose labels of the same names its annotations get.

        Raises:
            KeyError: There is no such task or project, or the project lacks a label.
        """
        task, labels = self.tasks[task_id], self.projects[project_id].labels
        given = relabel(task.annotations(), labels) if task.size else None
        return self.change_task(task_id, project_id=project_id, labels=labels, given=given)

    def add_project(self, name: str, labels: tuple[Label, ...] = (), **fields: Any) -> Project:
        """Add a project; its labels get its id. Further fields are those of `Project`."""
        number = self._last_project = max(self._last_project, max(self.projects, default=0)) + 1
        now = self._clock.now()
        own = tuple(dataclasses.replace(label, project_id=number) for label in labels)
        project = Project(number, name, own, now, now, **fields)
        self.version += 1
        self.projects[number] = project
        self.report(None, project)
        return project

    def touch_project(self, task: Task) -> None:
        """Update the date of the task's project.

        Seen on 2.64, when a task is created, changed or annotated; not when it gets its data.
        """
        if task.project_id in self.projects:
            self.change_project(task.project_id)

    def change_project(self, project_id: int, **fields: Any) -> Project:
        """Change fields of the project and its `updated_date`; labels are those of its tasks, too.

        Raises:
            KeyError: There is no such project.
        """
        fields.setdefault("updated_date", self._clock.now())
        before = self.projects[project_id]
        project = dataclasses.replace(before, **fields)
        self.version += 1
        self.projects[project_id] = project
        self.report(before, project)
        if "labels" in fields:
            for task in self.project_tasks(project_id):
                self.change_task(task.id, labels=project.labels)
        return project
