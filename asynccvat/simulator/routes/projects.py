"""Handlers of lists of projects and labels; `creations` changes projects, `jobs` has jobs."""

from __future__ import annotations

from asynccvat.simulator.formats.annotations_json import label_json
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import find_job, find_project, find_task
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.serializers import project_json
from asynccvat.simulator.wire.responses import ServerResponse, field_error, json_response


async def list_projects(call: Call) -> ServerResponse:
    """`GET /api/projects`: list projects."""
    world = call.backend.world
    page = cut_page(
        call.backend.selections.projects(call.query, call.account, call.scope), call.query
    )
    rows: list[object] = [
        project_json(project, world.project_tasks(project.id), call.origin) for project in page.rows
    ]
    return list_response(call, page, rows)


async def show_project(call: Call) -> ServerResponse:
    """`GET /api/projects/{id}`: show a project."""
    world = call.backend.world
    project = find_project(call, call.number)
    tasks = world.project_tasks(project.id)
    return json_response(project_json(project, tasks, call.origin))


async def list_labels(call: Call) -> ServerResponse:
    """`GET /api/labels`: list those of a task, a project or a job, or all."""
    world, query = call.backend.world, call.query
    wanted = {name: query[name] for name in ("task_id", "job_id", "project_id") if name in query}
    for name, value in wanted.items():
        if not value.isdecimal():
            raise field_error(name, "Enter a number.")
    if "project_id" in wanted:
        labels = find_project(call, int(wanted["project_id"])).labels
    elif wanted:
        if "task_id" in wanted:
            labels = find_task(call, int(wanted["task_id"])).labels
        else:
            labels = world.tasks[find_job(call, int(wanted["job_id"])).task_id].labels
    else:
        projects = world.projects.values()
        labels = tuple(
            label
            for project in projects
            if world.can_see(call.account, project)
            for label in project.labels
        )
    page = cut_page(labels, query)
    rows: list[object] = [label_json(label) for label in page.rows]
    return list_response(call, page, rows)
