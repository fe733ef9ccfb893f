"""The tasks, projects and jobs that list calls select."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from asynccvat.simulator.routes.filters import FilterTerms, select
from asynccvat.simulator.routes.scopes import AnyOrganization, OrganizationScope
from asynccvat.simulator.world.accounts import UserAccount
from asynccvat.simulator.world.tasks import Job, Project, Task
from asynccvat.simulator.world.users import User
from asynccvat.simulator.world.world import World

_CACHED_SELECTIONS: Final = 16


def _username(user: User | None) -> str | None:
    return user.username if user else None


TASK_TERMS: Final = FilterTerms[Task](
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
        "dimension": lambda task: task.dimension,
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

PROJECT_TERMS: Final = FilterTerms[Project](
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

JOB_TERMS: Final = FilterTerms[Job](
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
        "type": lambda job: job.type,
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


class Selections:
    """Selects the rows of lists; selected tasks and jobs are cached until the world changes."""

    def __init__(self, world: World) -> None:
        """Select from this world."""
        self._world = world
        self._cache: OrderedDict[Hashable, Sequence[Any]] = OrderedDict()

    def tasks(
        self, query: Mapping[str, str], account: UserAccount, scope: OrganizationScope
    ) -> Sequence[Task]:
        """Return the tasks that a list call asks for.

        Raises:
            RefusedError: 400 for a bad filter.
        """
        key = ("task", self._key(query, account, scope))
        return self._cached(
            key,
            lambda: select(self._visible(self._world.tasks, account, scope), query, TASK_TERMS),
        )

    def projects(
        self, query: Mapping[str, str], account: UserAccount, scope: OrganizationScope
    ) -> Sequence[Project]:
        """Return the projects that a list call asks for.

        Raises:
            RefusedError: 400 for a bad filter.
        """
        return select(self._visible(self._world.projects, account, scope), query, PROJECT_TERMS)

    def jobs(
        self, query: Mapping[str, str], account: UserAccount, scope: OrganizationScope
    ) -> Sequence[Job]:
        """Return the jobs that a list call asks for.

        A job's assignee sees it, but not its task: CVAT lists a task to its owner and assignee.

        Raises:
            RefusedError: 400 for a bad filter.
        """
        key = ("job", self._key(query, account, scope))
        return self._cached(key, lambda: self._jobs(query, account, scope))

    def _jobs(
        self, query: Mapping[str, str], account: UserAccount, scope: OrganizationScope
    ) -> Sequence[Job]:
        wanted = query.get("task_id", "")
        tasks = self._visible(self._world.tasks, account, scope, of_jobs=True)
        if wanted.isdecimal():  # the usual query: no need to read all other tasks
            tasks = [task for task in tasks if task.id == int(wanted)]
        jobs = [job for task in tasks for job in task.jobs()]
        jobs.sort(key=lambda job: -job.id)  # the newest first, whatever their tasks
        return select(jobs, query, JOB_TERMS)

    def _visible(
        self,
        items: Mapping[int, Any],
        account: UserAccount,
        scope: OrganizationScope,
        *,
        of_jobs: bool = False,
    ) -> list[Any]:
        """Return the visible items, newest id first, as CVAT lists by default."""
        rows = [items[id_] for id_ in sorted(items, reverse=True)]
        if not account.superuser:
            rows = [
                row
                for row in rows
                if self._world.can_see(account, row)
                or (of_jobs and row.job_assignee == account.user)
            ]
        if isinstance(scope, AnyOrganization):
            return rows
        wanted = scope.id if scope is not None else None
        return [row for row in rows if row.organization_id == wanted]

    def _key(
        self, query: Mapping[str, str], account: UserAccount, scope: OrganizationScope
    ) -> Hashable:
        rest = tuple(sorted(item for item in query.items() if item[0] not in ("page", "page_size")))
        return (self._world.version, account.user.id, scope, rest)

    def _cached(self, key: Hashable, make: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        rows = make()
        self._cache[key] = rows
        if len(self._cache) > _CACHED_SELECTIONS:
            self._cache.popitem(last=False)
        return rows
