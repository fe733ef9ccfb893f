"""What a simulated server knows beside its accounts and its queue: tasks, projects, organizations.

Who may see what, the lists as they are filtered and sorted, and the changes that tests and clients
make. Every change moves `version`, by which answers made earlier are known to be out of date.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from asynccvat.simulator.formats.archives import (
    WRITTEN_FORMATS,
    ExportUnavailableError,
    ready_archive,
)
from asynccvat.simulator.formats.ready_archives import add_archives
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.queues.export_queue import NO_DATA
from asynccvat.simulator.queues.requests import Wanted
from asynccvat.simulator.routes.filters import Terms, select
from asynccvat.simulator.wire.responses import detail, forbidden, messages, no_such
from asynccvat.simulator.world.accounts import Account
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.dates import utc_now
from asynccvat.simulator.world.tasks import (
    Dataset,
    Job,
    Project,
    Task,
    User,
    build_dataset,
    project_labels,
)

NO_TASK: Final = "cvat.apps.engine.models.Task.DoesNotExist: Task matching query does not exist.\n"
"""What CVAT says of a request whose task was deleted."""

_KEPT_SELECTIONS: Final = 16
_FIRST_ANNOTATION_ID: Final = 1_000_001
"""Ids of annotations that clients make count from here; generated ones from 1 in each task."""


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization, by which tasks and projects are grouped."""

    id: int
    slug: str
    name: str
    owner: User
    created: datetime


@dataclass(frozen=True, slots=True)
class Anywhere:
    """No organization was named: everything visible counts."""


OrganizationScope = Organization | Anywhere | None
"""Where a call looks: one organization, anywhere, or (None) the personal workspace only."""


def _username(user: User | None) -> str | None:
    return user.username if user else None


TASK_TERMS: Final = Terms[Task](
    read={
        "id": lambda task: task.id,
        "name": lambda task: task.name,
        "project_id": lambda task: task.project_id,
        "project_name": lambda task: f"project-{task.project_id}",
        "subset": lambda task: task.subset,
        "owner": lambda task: _username(task.owner),
        "assignee": lambda task: _username(task.assignee),
        "status": lambda task: task.status,
        "mode": lambda task: task.mode,
        "dimension": lambda _: "2d",
        "updated_date": lambda task: task.updated_date,
        "created_date": lambda task: task.created_date,
        "tracker_link": lambda _: "",
        "validation_mode": lambda _: None,
    },
    simple=(
        "project_id",
        "name",
        "subset",
        "owner",
        "assignee",
        "status",
        "mode",
        "dimension",
        "tracker_link",
        "validation_mode",
    ),
    numbers=frozenset({"project_id"}),
    search=("project_name", "name", "owner", "status", "assignee", "subset", "mode"),
)

PROJECT_TERMS: Final = Terms[Project](
    read={
        "id": lambda project: project.id,
        "name": lambda project: project.name,
        "owner": lambda project: _username(project.owner),
        "assignee": lambda project: _username(project.assignee),
        "status": lambda project: project.status,
        "updated_date": lambda project: project.updated_date,
    },
    simple=("name", "owner", "assignee", "status"),
    numbers=frozenset(),
    search=("name", "owner", "assignee", "status"),
)

JOB_TERMS: Final = Terms[Job](
    read={
        "id": lambda job: job.id,
        "task_id": lambda job: job.task_id,
        "task_name": lambda job: job.task_name,
        "project_id": lambda job: job.project_id,
        "project_name": lambda job: f"project-{job.project_id}",
        "assignee": lambda job: _username(job.assignee),
        "stage": lambda job: job.stage,
        "state": lambda job: job.state,
        "updated_date": lambda job: job.updated_date,
        "dimension": lambda _: "2d",
        "type": lambda _: "annotation",
        "parent_job_id": lambda _: None,
    },
    simple=(
        "task_id",
        "task_name",
        "project_id",
        "project_name",
        "assignee",
        "stage",
        "state",
        "dimension",
        "type",
        "parent_job_id",
    ),
    numbers=frozenset({"task_id", "project_id", "parent_job_id"}),
    search=("task_name", "project_name", "assignee", "stage", "state"),
)

Kind = Literal["task", "project", "job"]


class World:
    """The tasks, projects and organizations of a server."""

    def __init__(self, options: SimulatorOptions, admin: User) -> None:
        """Build them as the options say.

        Raises:
            ValueError: The options do not fit together.
        """
        self.dataset: Dataset = build_dataset(
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
        )
        self.version = 0
        self.organizations: dict[int, Organization] = {}
        self.annotation_ids: Iterator[int] = itertools.count(_FIRST_ANNOTATION_ID)
        self._admin = admin
        self._latest = utc_now()
        self._selections: OrderedDict[Hashable, Sequence[Any]] = OrderedDict()

    def add_archives(self, folder: Path) -> None:
        """Serve the archives of a folder as further tasks; this reads the disk.

        Raises:
            ValueError: The folder holds no archives that can be told apart.
            OSError: The folder cannot be read.
        """
        add_archives(self.dataset, folder)
        self.version += 1

    # Who may see what.

    def can_see(self, account: Account, item: Task | Project) -> bool:
        """Whether the account may see the item: its own, assigned to it, or of its project."""
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
            project = self.dataset.projects.get(item.project_id)
            return project is not None and self.can_see(account, project)
        return False

    def task(self, task_id: int, account: Account) -> Task:
        """The task.

        Raises:
            RefusedError: 404 if there is none, 403 if the account may not see it.
        """
        task = self.dataset.tasks.get(task_id)
        if task is None:
            raise no_such("Task")
        if not self.can_see(account, task):
            raise forbidden()
        return task

    def project(self, project_id: int, account: Account) -> Project:
        """The project.

        Raises:
            RefusedError: 404 if there is none, 403 if the account may not see it.
        """
        project = self.dataset.projects.get(project_id)
        if project is None:
            raise no_such("Project")
        if not self.can_see(account, project):
            raise forbidden()
        return project

    def job(self, job_id: int, account: Account) -> Job:
        """The job; its id is that of its task.

        Raises:
            RefusedError: 404 if there is none, 403 if the account may not see it.
        """
        task = self.dataset.tasks.get(job_id)
        if task is None or not task.jobs():
            raise no_such("Job")
        if not self.can_see(account, task):
            raise forbidden()
        return task.jobs()[0]

    # Lists.

    def tasks(
        self, query: Mapping[str, str], account: Account, scope: OrganizationScope
    ) -> Sequence[Task]:
        """The tasks that a list call asks for.

        Raises:
            RefusedError: 400 for a bad filter.
        """
        key = ("task", self._selection_key(query, account, scope))
        return self._kept(
            key,
            lambda: select(self._visible(self.dataset.tasks, account, scope), query, TASK_TERMS),
        )

    def projects(
        self, query: Mapping[str, str], account: Account, scope: OrganizationScope
    ) -> Sequence[Project]:
        """The projects that a list call asks for.

        Raises:
            RefusedError: 400 for a bad filter.
        """
        return select(self._visible(self.dataset.projects, account, scope), query, PROJECT_TERMS)

    def jobs(
        self, query: Mapping[str, str], account: Account, scope: OrganizationScope
    ) -> Sequence[Job]:
        """The jobs that a list call asks for.

        Raises:
            RefusedError: 400 for a bad filter.
        """
        wanted = query.get("task_id", "")
        tasks = self._visible(self.dataset.tasks, account, scope)
        if wanted.isdecimal():  # the usual question needs no look at all the others
            tasks = [task for task in tasks if task.id == int(wanted)]
        return select([job for task in tasks for job in task.jobs()], query, JOB_TERMS)

    def scope(self, query: Mapping[str, str], header: str | None) -> OrganizationScope:
        """Where a call looks, by `org`, `org_id` or the X-Organization header.

        Raises:
            RefusedError: 404 for an unknown organization, 400 for contradictions.
        """
        slug, number = query.get("org"), query.get("org_id")
        if number is not None and (slug is not None or header is not None):
            raise messages(
                400,
                'You cannot specify "org_id" query parameter with "org" query parameter or '
                '"X-Organization" HTTP header at the same time.',
            )
        if slug is not None and header is not None and slug != header:
            raise messages(
                400,
                'You cannot specify "org" query parameter and "X-Organization" HTTP header with '
                "different values.",
            )
        if number is not None:
            return self._organization(number, lambda one: str(one.id) == number)
        wanted = slug if slug is not None else header
        if wanted is None:
            return Anywhere()
        if not wanted:
            return None
        return self._organization(wanted, lambda one: one.slug == wanted)

    def _organization(self, name: str, matches: Any) -> Organization:
        for organization in self.organizations.values():
            if matches(organization):
                return organization
        raise detail(404, f"{name} organization does not exist.")

    def _visible(
        self, items: Mapping[int, Any], account: Account, scope: OrganizationScope
    ) -> list[Any]:
        """Newest id first, as CVAT lists by default."""
        rows = [items[id_] for id_ in sorted(items, reverse=True)]
        if not account.superuser:
            rows = [row for row in rows if self.can_see(account, row)]
        if isinstance(scope, Anywhere):
            return rows
        wanted = scope.id if scope is not None else None
        return [row for row in rows if row.organization_id == wanted]

    def _selection_key(
        self, query: Mapping[str, str], account: Account, scope: OrganizationScope
    ) -> Hashable:
        rest = tuple(sorted(item for item in query.items() if item[0] not in ("page", "page_size")))
        return (self.version, account.user.id, scope, rest)

    def _kept(self, key: Hashable, make: Any) -> Sequence[Any]:
        if key in self._selections:
            self._selections.move_to_end(key)
            return self._selections[key]
        rows: Sequence[Any] = make()
        self._selections[key] = rows
        if len(self._selections) > _KEPT_SELECTIONS:
            self._selections.popitem(last=False)
        return rows

    # Exports.

    def snapshot(self, wanted: Wanted) -> tuple[Task, ...] | str:
        """The tasks that an export holds now, or the message by which it fails.

        A project is exported without its tasks that have no data.
        """
        if wanted.target == "project":
            tasks = self.dataset.project_tasks(wanted.target_id)
        else:
            task = self.dataset.tasks.get(wanted.target_id)
            if task is None:
                return NO_TASK
            tasks = [task]
        if wanted.format is None:
            return tuple(tasks)
        with_data = tuple(task for task in tasks if task.size is not None)
        if not with_data:
            return NO_DATA
        if any(task.ready for task in with_data):
            return self._ready(wanted, with_data)
        if wanted.format not in WRITTEN_FORMATS:
            names = ", ".join(WRITTEN_FORMATS)
            return f"The simulator does not write {wanted.format}, only {names}\n"
        return with_data

    def _ready(self, wanted: Wanted, tasks: tuple[Task, ...]) -> tuple[Task, ...] | str:
        if wanted.target == "project":
            return "The simulator does not merge ready archives: export the tasks one by one\n"
        assert wanted.format is not None
        try:
            ready_archive(tasks[0], wanted.format, wanted.save_images)
        except ExportUnavailableError as error:
            return str(error)
        return tasks

    # Changes.

    def now(self) -> datetime:
        """A date later than that of any change before."""
        self._latest = max(utc_now(), self._latest + timedelta(microseconds=1))
        return self._latest

    def edit_task(self, task_id: int) -> Task:
        """Change the task's annotations, and so its `updated_date` and its archives.

        Raises:
            KeyError: There is no such task.
        """
        self.version += 1
        return self.dataset.edit(task_id, self.now())

    def annotate_task(self, task_id: int, annotations: Annotations) -> Task:
        """Replace the task's annotations by these; the date moves.

        Raises:
            KeyError: There is no such task.
        """
        self.version += 1
        return self.dataset.annotate(task_id, annotations, self.now())

    def change_media(self, task_id: int) -> Task:
        """Change the task's images, of the same names and sizes, and so its date and its archives.

        Raises:
            KeyError: There is no such task.
        """
        now = self.now()
        revision = self.dataset.tasks[task_id].media_revision + 1
        return self.change_task(
            task_id, media_revision=revision, chunks_updated_date=now, updated_date=now
        )

    def change_task(self, task_id: int, **fields: Any) -> Task:
        """Change fields of the task, as name, subset, status or assignee; the date moves.

        Raises:
            KeyError: There is no such task.
        """
        self.version += 1
        fields.setdefault("updated_date", self.now())
        task = dataclasses.replace(self.dataset.tasks[task_id], **fields)
        self.dataset.tasks[task_id] = task
        return task

    def delete_task(self, task_id: int) -> None:
        """Delete the task.

        Raises:
            KeyError: There is no such task.
        """
        self.version += 1
        self.dataset.remove(task_id)

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
        self.version += 1
        task_id = max(self.dataset.tasks, default=0) + 1
        like = next(iter(self.dataset.tasks.values()), None)
        now = self.now()
        task = Task(
            id=task_id,
            name=name if name is not None else f"street-{task_id:05d}",
            project_id=project_id,
            labels=project_labels(project_id),
            size=frames,
            created_date=now,
            updated_date=now,
            mode="" if frames is None else "annotation",
            owner=owner or self._admin,
            organization_id=organization_id,
        )
        if like is not None:
            task = dataclasses.replace(task, content=like.content)
        self.dataset.tasks[task_id] = task
        return task

    def add_organization(
        self, slug: str, name: str | None = None, owner: User | None = None
    ) -> Organization:
        """Add an organization."""
        self.version += 1
        number = len(self.organizations) + 1
        organization = Organization(number, slug, name or slug, owner or self._admin, self.now())
        self.organizations[number] = organization
        return organization
