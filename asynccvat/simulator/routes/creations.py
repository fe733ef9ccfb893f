"""Handlers that create, change and delete projects, and create tasks without data."""

from __future__ import annotations

from typing import Any, Final

from asynccvat.simulator.formats.labels_json import InvalidLabelsError, NewIds, read_labels
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import (
    check_deletable,
    find_assignee,
    find_changeable_project,
    find_project,
)
from asynccvat.simulator.routes.permissions import check_may_create, check_quota
from asynccvat.simulator.routes.serializers import project_json
from asynccvat.simulator.routes.shown import shown_task
from asynccvat.simulator.wire.responses import (
    RefusedError,
    ServerResponse,
    detail,
    encode,
    field_error,
    json_response,
    messages,
)
from asynccvat.simulator.world.annotations import Label

_PROJECT_FIELDS: Final = frozenset(
    {
        "name",
        "labels",
        "owner_id",
        "assignee_id",
        "bug_tracker",
        "target_storage",
        "source_storage",
    }
)


async def create_project(call: Call) -> ServerResponse:
    """`POST /api/projects`: create a project; names need not be unique."""
    check_may_create(call)
    given = await call.json_object()
    name = _name(given)
    labels = _labels(call, given)
    world = call.backend.world
    check_quota(call, "project")
    project = world.add_project(
        name,
        labels,
        owner=call.account.user,
        assignee=find_assignee(call, given),
        organization_id=call.organization_id,
    )
    response = json_response(project_json(project, [], call.origin), 201)
    response.headers["Location"] = f"{call.origin}/api/projects/{project.id}"
    return response


async def change_project(call: Call) -> ServerResponse:
    """`PATCH /api/projects/{id}`: change name and assignee, and add labels; ignore the rest."""
    project = find_changeable_project(call)
    given = await call.json_object()
    if set(given) - _PROJECT_FIELDS:
        raise detail(403, "Attempted to update an unknown field")
    changes: dict[str, Any] = {}
    if "name" in given:
        changes["name"] = _name(given)
    if "assignee_id" in given:
        changes["assignee"] = find_assignee(call, given)
    added = _labels(call, {"labels": [one for one in given.get("labels", ()) if "id" not in one]})
    if added:
        if {label.name for label in added} & {label.name for label in project.labels}:
            raise messages(400, "All label names must be unique")
        changes["labels"] = (*project.labels, *added)
    changed = call.backend.world.change_project(project.id, **changes)
    tasks = call.backend.world.project_tasks(project.id)
    return json_response(project_json(changed, tasks, call.origin))


async def delete_project(call: Call) -> ServerResponse:
    """`DELETE /api/projects/{id}`: delete a project and its tasks."""
    project = find_changeable_project(call)
    check_deletable(call, project)
    call.backend.world.delete_project(project.id)
    return ServerResponse(204, content_type=None)


async def create_task(call: Call) -> ServerResponse:
    """`POST /api/tasks`: create a task without data."""
    check_may_create(call)
    given = await call.json_object()
    name = _name(given)
    world = call.backend.world
    project_id = given.get("project_id")
    if project_id is not None and given.get("labels"):
        raise messages(400, "Task must have only one of Label set or project_id")
    if project_id is not None:
        if project_id not in world.projects:
            raise messages(400, "Project matching query does not exist.")
        find_project(call, project_id)
    labels = _labels(call, given)
    check_quota(call, "task")
    overlap = given.get("overlap")
    task = world.add_task(
        name,
        project_id=project_id,
        frames=None,
        organization_id=call.organization_id,
        owner=call.account.user,
        labels=None if project_id is not None else labels,
        subset=str(given.get("subset") or ""),
        assignee=find_assignee(call, given),
        wanted_segment_size=int(given.get("segment_size") or 0),
        wanted_overlap=None if overlap is None else int(overlap),
    )
    world.touch_project(task)
    response = json_response(shown_task(call, task), 201)
    response.headers["Location"] = f"{call.origin}/api/tasks/{task.id}"
    return response


def _name(given: dict[str, Any]) -> str:
    if "name" not in given:
        raise field_error("name", "This field is required.")
    name = str(given["name"]).strip()
    if not name:
        raise field_error("name", "This field may not be blank.")
    if len(name) > 256:
        raise field_error("name", "Ensure this field has no more than 256 characters.")
    return name


def _labels(call: Call, given: dict[str, Any]) -> tuple[Label, ...]:
    world = call.backend.world
    try:
        return read_labels(given.get("labels") or [], NewIds(world.label_ids, world.attribute_ids))
    except InvalidLabelsError as error:
        raise RefusedError(ServerResponse(400, encode(error.errors))) from None
