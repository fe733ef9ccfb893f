"""Find the object that a path names, if the caller may see it.

Each function raises `RefusedError`: 404 if there is no such object, 403 if the caller may not see
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynccvat.simulator.queues.requests import RequestTarget
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.wire.responses import field_error, forbidden, messages, no_such
from asynccvat.simulator.world.clouds import CloudStorage
from asynccvat.simulator.world.tasks import Job, Project, Task
from asynccvat.simulator.world.users import User


def find_task(call: Call, task_id: int) -> Task:
    """Return the task of that id."""
    task = call.backend.world.tasks.get(task_id)
    if task is None:
        raise no_such("Task")
    _check_visible(call, task)
    return task


def find_changeable_task(call: Call) -> Task:
    """Return the task that the path names, if the caller may change it."""
    if call.identity.read_only:
        raise forbidden()
    return find_task(call, call.number)


def find_changeable_project(call: Call) -> Project:
    """Return the project that the path names, if the caller may change it."""
    if call.identity.read_only:
        raise forbidden()
    return find_project(call, call.number)


def check_deletable(call: Call, item: Task | Project) -> None:
    """Refuse to delete what the caller only sees, as by an assignment."""
    if not call.backend.world.can_delete(call.account, item):
        raise forbidden()


def find_cloud_storage(call: Call, number: int) -> CloudStorage:
    """Return the cloud storage of that id."""
    storage = call.backend.world.cloud_storages.get(number)
    if storage is None:
        raise no_such("CloudStorage")
    if not call.account.superuser and storage.owner.id != call.account.user.id:
        raise forbidden()
    return storage


def cloud_storage_of_query(call: Call) -> CloudStorage | None:
    """Return the cloud storage that a query names as the location; None for the server itself."""
    location = call.query.get("location", "local")
    if location == "local":
        return None
    if location != "cloud_storage":
        raise messages(400, f"{location!r} is not a valid Location")
    number = call.query.get("cloud_storage_id", "")
    if not number.isdecimal() or int(number) not in call.backend.world.cloud_storages:
        raise messages(400, "CloudStorage matching query does not exist.")
    return find_cloud_storage(call, int(number))


def find_assignee(call: Call, given: Mapping[str, Any], name: str = "assignee_id") -> User | None:
    """Return the user that a body assigns, or None."""
    user_id = given.get(name)
    if user_id is None:
        return None
    account = call.backend.accounts.by_id.get(user_id)
    if account is None:
        raise field_error(name, f'Invalid pk "{user_id}" - object does not exist.')
    return account.user


def find_project(call: Call, project_id: int) -> Project:
    """Return the project of that id."""
    project = call.backend.world.projects.get(project_id)
    if project is None:
        raise no_such("Project")
    _check_visible(call, project)
    return project


def find_job(call: Call, job_id: int) -> Job:
    """Return the job of that id; its assignee sees it, too."""
    job = call.backend.world.job(job_id)
    if job is None:
        raise no_such("Job")
    if job.assignee is None or job.assignee.id != call.account.user.id:
        _check_visible(call, call.backend.world.tasks[job.task_id])
    return job


def find_target(call: Call) -> RequestTarget:
    """Return the task, project or job that the path names."""
    match call.path.split("/")[2]:
        case "tasks":
            task = find_task(call, call.number)
            return target_of_task(task)
        case "projects":
            project = find_project(call, call.number)
            return RequestTarget("project", project.id, organization_id=project.organization_id)
        case _:
            job = find_job(call, call.number)
            organization_id = call.backend.world.tasks[job.task_id].organization_id
            return RequestTarget("job", job.project_id, job.task_id, job.id, organization_id)


def target_of_task(task: Task) -> RequestTarget:
    """Return a task as the target of a request."""
    return RequestTarget("task", task.project_id, task.id, organization_id=task.organization_id)


def _check_visible(call: Call, item: Task | Project) -> None:
    if not call.backend.world.can_see(call.account, item):
        raise forbidden()
