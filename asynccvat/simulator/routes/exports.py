"""Handlers of exports, their requests and the downloads of their results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import parse_qsl

from asynccvat.simulator.queues.requests import (
    ExportRequest,
    ImportRequest,
    Request,
    Result,
    Target,
    Wanted,
    request_json,
)
from asynccvat.simulator.routes.about import EXPORT_FORMATS, never_cached
from asynccvat.simulator.routes.accounts import list_answer
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.filters import Terms, compile_logic, cut_page, parse_logic, select
from asynccvat.simulator.wire.responses import (
    Answer,
    RefusedError,
    encode,
    forbidden,
    json_answer,
    json_string,
    messages,
    server_error_page,
    text,
)

_TRUE: Final = ("true", "1", "yes", "on", "y", "t")
_FALSE: Final = ("false", "0", "no", "off", "n", "f")
_TARGETS: Final = {"tasks": "task", "projects": "project", "jobs": "job"}

PLAIN_CONFLICT: Final = "Export process is already running"
"""How versions that do not give the `rq_id` word a 409."""

REQUEST_TERMS: Final = Terms[Request](
    read={
        "status": lambda request: request.status,
        "project_id": lambda request: request.project_id,
        "task_id": lambda request: request.task_id,
        "job_id": lambda request: request.job_id,
        "action": lambda request: request.action,
        "target": lambda request: request.target,
        "subresource": lambda request: request.subresource,
        "format": lambda request: request.format,
        "created_date": lambda request: request.created,
    },
    simple=(
        "status",
        "project_id",
        "task_id",
        "job_id",
        "action",
        "target",
        "subresource",
        "format",
    ),
    numbers=frozenset({"project_id", "task_id", "job_id"}),
    search=(),
)


async def start_export(call: Call) -> Answer:
    """`POST /api/{tasks|projects|jobs}/{id}/dataset/export`: everything is in the query."""
    query = call.query
    target, project_id, task_id, job_id = find_target(call)
    save_images = query.get("save_images", "false").lower()
    if save_images not in (*_TRUE, *_FALSE):
        raise server_error_page()
    location = query.get("location", "local")
    if location == "cloud_storage" and query.get("cloud_storage_id"):
        raise messages(400, "CloudStorage matching query does not exist.")
    if location != "local":
        raise server_error_page()
    name = query.get("format", "")
    if name not in EXPORT_FORMATS:
        raise messages(400, "Unknown format specified for the request")
    subresource = "dataset" if save_images in _TRUE else "annotations"
    wanted = Wanted(target, call.number, name, cast("Any", subresource))
    return await _submit(call, wanted, project_id, task_id, job_id)


async def start_backup(call: Call) -> Answer:
    """`POST /api/{tasks|projects}/{id}/backup/export`."""
    target, project_id, task_id, job_id = find_target(call)
    if target == "task" and call.backend.world.dataset.tasks[call.number].size is None:
        raise messages(400, "Backup of a task without data is not allowed")
    wanted = Wanted(target, call.number, None, "backup")
    return await _submit(call, wanted, project_id, task_id, job_id)


def find_target(call: Call) -> tuple[Target, int | None, int | None, int | None]:
    """What the path names: its kind, and the project, task and job that requests tell of it.

    Raises:
        RefusedError: 404 if there is none, 403 if the user may not see it.
    """
    world, account = call.backend.world, call.account
    match call.path.split("/")[2]:
        case "tasks":
            task = world.task(call.number, account)
            return "task", task.project_id, task.id, None
        case "projects":
            return "project", world.project(call.number, account).id, None, None
        case _:
            job = world.job(call.number, account)
            return "job", job.project_id, job.task_id, job.id


async def _submit(
    call: Call,
    wanted: Wanted,
    project_id: int | None,
    task_id: int | None,
    job_id: int | None,
) -> Answer:
    request, is_new = call.backend.queue.submit(
        wanted,
        call.account.user,
        project_id=project_id,
        task_id=task_id,
        job_id=job_id,
        file_name=call.query.get("filename") or None,
    )
    if is_new:
        return json_answer({"rq_id": request.id}, 202)
    if any(fault.plain_conflict for fault in call.faults):
        raise text(409, PLAIN_CONFLICT)
    return json_answer({"rq_id": request.id}, 409)


async def list_requests(call: Call) -> Answer:
    """`GET /api/requests`: the user's own, newest first."""
    query = dict(call.query)
    rows: Any = call.backend.registry.owned_by(call.account.user)
    _ = call.scope
    expression = query.pop("filter", "")
    rows = select(rows, query, REQUEST_TERMS)
    if expression:
        rows = [row for row in rows if _request_filter(expression)(row)]
    page = cut_page(rows, call.query)
    answer = list_answer(
        call,
        page.count,
        page.next,
        page.previous,
        [request_json(request, call.origin) for request in page.rows],
    )
    answer.headers.update(never_cached())
    return answer


def _request_filter(expression: str) -> Callable[[Request], bool]:
    """JSON logic of requests: `and`, `or` and comparisons fail in CVAT 2.54."""
    logic = parse_logic(expression)
    if isinstance(logic, dict) and set(logic) & {"and", "or", "<", "<=", ">", ">="}:
        raise server_error_page()
    return compile_logic(logic, REQUEST_TERMS)


async def show_request(call: Call) -> Answer:
    """`GET /api/requests/{rq_id}`."""
    request = _find_request(call)
    answer = json_answer(request_json(request, call.origin))
    answer.headers.update(never_cached())
    return answer


async def cancel_request(call: Call) -> Answer:
    """`POST /api/requests/{rq_id}/cancel`: while it is queued."""
    request = _find_request(call)
    if isinstance(request, ImportRequest):
        cancelled = call.backend.imports.cancel(request)
    else:
        assert isinstance(request, ExportRequest), "there are no other requests"
        cancelled = call.backend.queue.cancel(request)
    if not cancelled:
        raise _uncached(text(400, "Only requests that have not yet been started can be cancelled"))
    return Answer(200, content_type=None, headers=never_cached())


def _find_request(call: Call) -> Request:
    account = call.account
    request = call.backend.registry.find(call.rq_id)
    if request is None:
        raise _uncached(text(404, "There is no request with specified id"))
    if not account.superuser and request.owner.id != account.user.id:
        raise forbidden()
    return request


def _uncached(refused: RefusedError) -> RefusedError:
    refused.answer.headers.update(never_cached())
    return refused


async def send_result(call: Call) -> Result:
    """`GET result_url`: the result that a download asks for.

    Raises:
        RefusedError: Every way in which there is none.
    """
    find_target(call)
    resource = call.path.split("/")[4]
    rq_id = call.query.get("rq_id")
    if not rq_id:
        raise messages(400, "Missing request id in the query parameters")
    parts = dict(parse_qsl(rq_id))
    target = _TARGETS[call.path.split("/")[2]]
    if parts.get("action") != "export" or not {"target", "target_id", "subresource"} <= set(parts):
        raise messages(400, "Unexpected request id format")
    wants_backup = parts["subresource"] == "backup"
    if (parts["target"], parts["target_id"]) != (target, str(call.number)) or wants_backup != (
        resource == "backup"
    ):
        raise messages(400, "Invalid export request id")
    request = call.backend.registry.find(rq_id)
    if not isinstance(request, ExportRequest):
        raise text(400, "Unknown export request id")
    if not call.account.superuser and request.owner.id != call.account.user.id:
        raise forbidden()
    return result_of(call, request)


def result_of(call: Call, request: ExportRequest) -> Result:
    """The result of an export request.

    Raises:
        RefusedError: It has none: not yet, or no longer.
    """
    if any(fault.expire for fault in call.faults):
        call.backend.queue.remove_results(lambda other: other is request)
    if request.status != "finished":
        raise text(400, "The export process is not finished")
    if request.result is None:
        raise json_string(404, "The exported file has expired, please retry exporting")
    if any(fault.move_etag for fault in call.faults):
        request.result.touch()
    return request.result


async def describe(call: Call) -> Answer:
    """`OPTIONS` of any view."""
    name = "Initiate dataset export" if call.path.endswith("/export") else "Api"
    return Answer(
        body=encode(
            {
                "name": name,
                "description": "",
                "renders": ["application/vnd.cvat+json", "text/html"],
                "parses": ["application/json"],
            }
        )
    )
