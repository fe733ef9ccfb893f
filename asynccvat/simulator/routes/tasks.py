"""Handlers of tasks; `creations` creates them, `annotations` has their annotations."""

from __future__ import annotations

from typing import Any, Final

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import (
    check_deletable,
    find_assignee,
    find_changeable_task,
    find_project,
    find_task,
)
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.serializers import data_meta_json
from asynccvat.simulator.routes.shown import shown_task
from asynccvat.simulator.wire.responses import (
    ServerResponse,
    detail,
    field_error,
    json_response,
    server_error_page,
)
from asynccvat.simulator.world.relabel import label_names
from asynccvat.simulator.world.tasks import Task

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


async def list_tasks(call: Call) -> ServerResponse:
    """`GET /api/tasks`: list tasks."""
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
    page = cut_page(call.backend.selections.tasks(call.query, call.account, scope), call.query)
    rows: list[object] = [shown_task(call, task) for task in page.rows]
    response = list_response(call, page, rows)
    pages.keep(key, response)
    return response


async def show_task(call: Call) -> ServerResponse:
    """`GET /api/tasks/{id}`: show a task."""
    task = find_task(call, call.number)
    return json_response(shown_task(call, task))


async def change_task(call: Call) -> ServerResponse:
    """`PATCH /api/tasks/{id}`: change name, subset, status, assignee, project; ignore the rest."""
    task = find_changeable_task(call)
    given = await call.json_object()
    if set(given) - _TASK_FIELDS:
        raise detail(403, "Attempted to update an unknown field")
    if given.get("name") == "":
        raise field_error("name", "This field may not be blank.")
    changes: dict[str, Any] = {
        name: str(given[name]) for name in ("name", "subset", "status") if name in given
    }
    if "assignee_id" in given:
        changes["assignee"] = find_assignee(call, given)
    world = call.backend.world
    project_id = given.get("project_id")
    if project_id is not None and project_id != task.project_id:
        _check_move(call, task, project_id)
        world.move_task(task.id, project_id)
    changed = world.change_task(task.id, **changes)
    world.touch_project(changed)
    # Seen: only this response shows when the task was assigned; later ones have null.
    assigned = changed.updated_date if "assignee" in changes else None
    return json_response(shown_task(call, changed, assigned))


def _check_move(call: Call, task: Task, project_id: Any) -> None:
    """Refuse to move a task into a project that is not there or lacks a label of it."""
    if project_id not in call.backend.world.projects:
        raise field_error("non_field_errors", f"Cannot find project with ID {project_id}")
    project = find_project(call, project_id)
    if project.organization_id != task.organization_id:
        raise field_error(
            "non_field_errors", "Task and project should be in the same organization."
        )
    if not label_names(task.labels) <= label_names(project.labels):
        raise field_error(
            "non_field_errors",
            "All task or project label names must be mapped to the target project",
        )


async def delete_task(call: Call) -> ServerResponse:
    """`DELETE /api/tasks/{id}`: delete a task."""
    task = find_changeable_task(call)
    check_deletable(call, task)
    call.backend.world.delete_task(task.id)
    return ServerResponse(204, content_type=None)


async def show_data_meta(call: Call) -> ServerResponse:
    """`GET /api/tasks/{id}/data/meta`: describe the images of a task."""
    task = find_task(call, call.number)
    if task.size is None:
        raise server_error_page()
    return json_response(data_meta_json(task))


async def show_status(call: Call) -> ServerResponse:
    """`GET /api/tasks/{id}/status`: show how the task's creation went (deprecated)."""
    find_task(call, call.number)
    response = json_response({"state": "Finished", "message": "", "progress": 0.0})
    response.headers["Deprecation"] = "true"
    return response
