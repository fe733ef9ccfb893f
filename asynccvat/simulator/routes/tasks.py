"""Handlers of tasks, projects, jobs and labels."""

from __future__ import annotations

from typing import Any, Final

from asynccvat.simulator.routes.accounts import list_answer
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.filters import cut_page, page_size
from asynccvat.simulator.routes.serializers import (
    data_meta_json,
    job_json,
    label_json,
    project_json,
    task_json,
)
from asynccvat.simulator.wire.responses import (
    Answer,
    RefusedError,
    detail,
    field_error,
    forbidden,
    json_answer,
    messages,
    server_error_page,
    text,
)
from asynccvat.simulator.world.tasks import Task
from asynccvat.simulator.world.world import Organization

_TASK_FIELDS: Final = frozenset(
    {
        "name",
        "project_id",
        "owner_id",
        "assignee_id",
        "bug_tracker",
        "overlap",
        "segment_size",
        "labels",
        "subset",
        "target_storage",
        "source_storage",
        "status",
        "validation_mode",
        "organization_id",
    }
)

_GONE: Final = (
    "This endpoint is no longer supported.\n"
    "To initiate the export process, use POST /api/{plural}/id/{export}.\n"
    "To check the process status, use GET /api/requests/rq_id,\n"
    "where rq_id is obtained from the response of the previous request.\n"
    "To download the prepared file, use the result_url obtained from the response of the previous "
    "request.\n"
)
GONE_IMPORT: Final = (
    "This endpoint no longer supports checking the status of the import process.\n"
    "The common requests API should be used instead: GET /api/requests/rq_id,\n"
    "where rq_id is obtained from the response of the initializing request.\n"
)
"""410 of the calls by which older servers told how an import goes."""


def count_listed_tasks(call: Call) -> int:
    """How many tasks the page holds that the call asks for: they cost time."""
    try:
        rows = call.backend.world.tasks(call.query, call.account, call.scope)
    except RefusedError:
        return 0
    size, page = page_size(call.query, len(rows)), call.query.get("page", "1")
    before = (int(page) - 1) * size if page.isdecimal() else 0
    return max(0, min(size, len(rows) - before))


async def list_tasks(call: Call) -> Answer:
    """`GET /api/tasks`."""
    world, pages = call.backend.world, call.backend.pages
    scope = call.scope
    key = (
        world.version,
        call.account.user.id,
        scope,
        call.origin,
        tuple(sorted(call.query.items())),
    )
    known = pages.find(key)
    if known is not None:
        return known
    page = cut_page(world.tasks(call.query, call.account, scope), call.query)
    rows: list[object] = [task_json(task, call.origin) for task in page.rows]
    answer = list_answer(call, page.count, page.next, page.previous, rows)
    pages.keep(key, answer)
    return answer


async def show_task(call: Call) -> Answer:
    """`GET /api/tasks/{id}`."""
    task = call.backend.world.task(call.number, call.account)
    return json_answer(task_json(task, call.origin))


async def create_task(call: Call) -> Answer:
    """`POST /api/tasks`: a task without data."""
    given = await call.json_object()
    if "name" not in given:
        raise field_error("name", "This field is required.")
    world = call.backend.world
    project_id = given.get("project_id")
    if project_id is not None and project_id not in world.dataset.projects:
        raise messages(400, "Project matching query does not exist.")
    scope = call.scope
    task = world.add_task(
        str(given["name"]),
        project_id=project_id,
        frames=None,
        organization_id=scope.id if isinstance(scope, Organization) else None,
        owner=call.account.user,
    )
    answer = json_answer(task_json(task, call.origin), 201)
    answer.headers["Location"] = f"{call.origin}/api/tasks/{task.id}"
    return answer


async def change_task(call: Call) -> Answer:
    """`PATCH /api/tasks/{id}`: name, subset, status and assignee are kept, the rest is accepted."""
    task = changeable(call)
    given = await call.json_object()
    if set(given) - _TASK_FIELDS:
        raise detail(403, "Attempted to update an unknown field")
    if given.get("name") == "":
        raise field_error("name", "This field may not be blank.")
    changes: dict[str, Any] = {
        name: str(given[name]) for name in ("name", "subset", "status") if name in given
    }
    if "assignee_id" in given:
        changes["assignee"] = _assignee(call, given["assignee_id"])
    changed = call.backend.world.change_task(task.id, **changes)
    # Seen: only this answer shows when the task was assigned, later ones say null.
    assigned = changed.updated_date if "assignee" in changes else None
    return json_answer(task_json(changed, call.origin, assigned))


def _assignee(call: Call, user_id: Any) -> Any:
    if user_id is None:
        return None
    account = call.backend.accounts.by_id.get(user_id)
    if account is None:
        raise field_error("assignee_id", f'Invalid pk "{user_id}" - object does not exist.')
    return account.user


async def delete_task(call: Call) -> Answer:
    """`DELETE /api/tasks/{id}`."""
    call.backend.world.delete_task(changeable(call).id)
    return Answer(204, content_type=None)


def changeable(call: Call) -> Task:
    """The task that the path names, which the caller may change.

    Raises:
        RefusedError: 404 if there is none, 403 if the caller may not.
    """
    if call.identity.read_only:
        raise forbidden()
    return call.backend.world.task(call.number, call.account)


async def show_data_meta(call: Call) -> Answer:
    """`GET /api/tasks/{id}/data/meta`."""
    task = call.backend.world.task(call.number, call.account)
    if task.size is None:
        raise server_error_page()
    return json_answer(data_meta_json(task))


async def show_status(call: Call) -> Answer:
    """`GET /api/tasks/{id}/status`: deprecated, of the creation of the task."""
    call.backend.world.task(call.number, call.account)
    answer = json_answer({"state": "Finished", "message": "", "progress": 0.0})
    answer.headers["Deprecation"] = "true"
    return answer


async def list_projects(call: Call) -> Answer:
    """`GET /api/projects`."""
    world = call.backend.world
    page = cut_page(world.projects(call.query, call.account, call.scope), call.query)
    rows: list[object] = [
        project_json(project, world.dataset.project_tasks(project.id), call.origin)
        for project in page.rows
    ]
    return list_answer(call, page.count, page.next, page.previous, rows)


async def show_project(call: Call) -> Answer:
    """`GET /api/projects/{id}`."""
    world = call.backend.world
    project = world.project(call.number, call.account)
    tasks = world.dataset.project_tasks(project.id)
    return json_answer(project_json(project, tasks, call.origin))


async def list_jobs(call: Call) -> Answer:
    """`GET /api/jobs`."""
    world = call.backend.world
    page = cut_page(world.jobs(call.query, call.account, call.scope), call.query)
    rows: list[object] = [
        job_json(job, world.dataset.tasks[job.task_id], call.origin) for job in page.rows
    ]
    return list_answer(call, page.count, page.next, page.previous, rows)


async def show_job(call: Call) -> Answer:
    """`GET /api/jobs/{id}`."""
    world = call.backend.world
    job = world.job(call.number, call.account)
    return json_answer(job_json(job, world.dataset.tasks[job.task_id], call.origin))


async def list_labels(call: Call) -> Answer:
    """`GET /api/labels`: of a task, a project or a job."""
    world, query = call.backend.world, call.query
    wanted = {name: query[name] for name in ("task_id", "job_id", "project_id") if name in query}
    for name, value in wanted.items():
        if not value.isdecimal():
            raise field_error(name, "Enter a number.")
    if "project_id" in wanted:
        labels = world.project(int(wanted["project_id"]), call.account).labels
    elif wanted:
        task_id = int(wanted.get("task_id") or wanted["job_id"])
        labels = world.task(task_id, call.account).labels
    else:
        projects = world.dataset.projects.values()
        labels = tuple(
            label
            for project in projects
            if world.can_see(call.account, project)
            for label in project.labels
        )
    page = cut_page(labels, query)
    rows: list[object] = [label_json(label) for label in page.rows]
    return list_answer(call, page.count, page.next, page.previous, rows)


def gone(plural: str, export: str) -> RefusedError:
    """410 of an endpoint of older servers, naming the new one."""
    return text(410, _GONE.format(plural=plural, export=export))


async def old_endpoint(call: Call) -> Answer:
    """`GET` of `dataset`, `annotations` or `backup`, which older servers had."""
    _, _, plural, _, resource = call.path.rstrip("/").split("/")
    if resource == "annotations":  # seen: the others do not even look for the object
        singular = {"tasks": "task", "projects": "project", "jobs": "job"}[plural]
        getattr(call.backend.world, singular)(call.number, call.account)
    if call.query.get("action") == "import_status":
        raise text(410, GONE_IMPORT)
    if resource == "backup":
        raise gone(plural, "backup/export")
    flag = "True" if resource == "dataset" else "False"
    raise gone(plural, f"dataset/export?save_images={flag}")
