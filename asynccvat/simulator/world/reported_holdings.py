"""Jobs and issues of a simulated server, their changes, and who watches changes.

`world` changes projects and tasks, and reports through this.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

from asynccvat.simulator.world.holdings import Holdings
from asynccvat.simulator.world.issues import Issue
from asynccvat.simulator.world.reported_changes import Change, Resource
from asynccvat.simulator.world.tasks import Job, JobType, Project, Task
from asynccvat.simulator.world.users import ADMIN

FIRST_ID: Final = 1_000_001
"""What clients create is numbered from here: annotations, labels, attributes, jobs.

Generated annotations are numbered from 1 in each task, and the job of a generated task like it.
"""


class ReportedHoldings(Holdings):
    """What a server holds, with the changes of jobs and issues.

    Attributes:
        job_ids: Numbers for new jobs.
        watchers: Functions that are called with each change.
    """

    def __init__(self, projects: dict[int, Project], tasks: dict[int, Task]) -> None:
        """Hold these projects and tasks."""
        super().__init__(projects, tasks)
        self.job_ids: Iterator[int] = itertools.count(FIRST_ID)
        self.watchers: list[Callable[[Change], None]] = []
        self._tasks_of_jobs: dict[int, int] = {}
        self._last_issue = 0

    def job(self, job_id: int) -> Job | None:
        """Return the job of that id."""
        task = self.tasks.get(self._tasks_of_jobs.get(job_id, job_id))
        jobs = task.jobs() if task is not None else ()
        return next((job for job in jobs if job.id == job_id), None)

    def change_job(self, job_id: int, **fields: Any) -> Job:
        """Change fields of a job and its date; the date of its task stays.

        Raises:
            KeyError: There is no such job.
        """
        job = self.job(job_id)
        if job is None:
            raise KeyError(job_id)
        task = self.tasks[job.task_id]
        changed = dataclasses.replace(job, **{"updated_date": self._clock.now(), **fields})
        jobs = tuple(changed if one.id == job_id else one for one in task.jobs())
        revision = task.job_revision + ("given" in fields)
        task = self.store(dataclasses.replace(task, own_jobs=jobs, job_revision=revision))
        self.report(job, changed, task)
        return changed

    def add_job(self, task_id: int, type_: JobType, frames: tuple[int, ...] | None = None) -> Job:
        """Add a ground truth job or a replica to a task with data.

        Raises:
            KeyError: There is no such task.
        """
        task = self.tasks[task_id]
        parent = task.jobs()[0].id if type_ == "consensus_replica" else None
        made = self.make_job(task, 0, (task.size or 1) - 1)
        job = dataclasses.replace(made, type=type_, frames=frames, parent_job_id=parent)
        task = self.store(dataclasses.replace(task, own_jobs=(*task.jobs(), job)))
        self.report(None, job, task)
        return job

    def make_job(self, task: Task, start: int, stop: int) -> Job:
        """Return a new job of a task, which does not have it yet."""
        now = self._clock.now()
        return Job(
            id=next(self.job_ids),
            task_id=task.id,
            project_id=task.project_id,
            status="annotation",
            stage="annotation",
            state="new",
            start_frame=start,
            stop_frame=stop,
            created_date=now,
            updated_date=now,
            task_name=task.name,
        )

    def add_issue(
        self, job_id: int, message: str, frame: int = 0, *, resolved: bool = False
    ) -> Issue:
        """Add an issue to a job.

        Raises:
            KeyError: There is no such job.
        """
        job = self.job(job_id)
        if job is None:
            raise KeyError(job_id)
        number = self._last_issue = self._last_issue + 1
        now = self._clock.now()
        issue = Issue(number, job_id, job.task_id, frame, message, ADMIN, now, resolved)
        self.issues[number] = issue
        self.report(None, issue)
        return issue

    def resolve_issue(self, issue_id: int, *, resolved: bool = True) -> Issue:
        """Resolve an issue, or open it again.

        Raises:
            KeyError: There is no such issue.
        """
        before = self.issues[issue_id]
        issue = dataclasses.replace(before, resolved=resolved)
        self.issues[issue_id] = issue
        self.report(before, issue)
        return issue

    def report(
        self, before: Resource | None, after: Resource | None, task: Task | None = None
    ) -> None:
        """Tell the watchers of a change; that of a job comes with its task."""
        for watch in self.watchers:
            watch(Change(before, after, task))

    def store(self, task: Task) -> Task:
        """Hold a task in place of the one of its id, and return it."""
        self.version += 1
        for job in task.own_jobs or ():
            self._tasks_of_jobs[job.id] = task.id
        self.tasks[task.id] = task
        return task
