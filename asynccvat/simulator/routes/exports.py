"""Handlers that start exports and find the results to download."""

from __future__ import annotations

from typing import Any, Final, cast
from urllib.parse import parse_qsl

from asynccvat.simulator.formats.backups import is_in_bucket
from asynccvat.simulator.queues.requests import (
    ExportRequest,
    ExportResult,
    ExportSubject,
    RequestTarget,
)
from asynccvat.simulator.routes.about import EXPORT_FORMATS
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import cloud_storage_of_query, find_target
from asynccvat.simulator.wire.responses import (
    ServerResponse,
    forbidden,
    json_response,
    json_string,
    messages,
    plain_text,
    server_error_page,
)
from asynccvat.simulator.world.clouds import CloudObject

_TRUE: Final = ("true", "1", "yes", "on", "y", "t")
_FALSE: Final = ("false", "0", "no", "off", "n", "f")
_TARGETS: Final = {"tasks": "task", "projects": "project", "jobs": "job"}

PLAIN_CONFLICT: Final = "Export process is already running"
"""The text of a 409 on versions whose 409 has no `rq_id`."""


async def start_export(call: Call) -> ServerResponse:
    """`POST /api/{tasks|projects|jobs}/{id}/dataset/export`: start an export, by the query."""
    query = call.query
    target = find_target(call)
    save_images = query.get("save_images", "false").lower()
    if save_images not in (*_TRUE, *_FALSE):
        raise server_error_page()
    _check_location(call)
    name = query.get("format", "")
    if name not in EXPORT_FORMATS:
        raise messages(400, "Unknown format specified for the request")
    subresource = "dataset" if save_images in _TRUE else "annotations"
    subject = ExportSubject(target.kind, call.number, name, cast("Any", subresource))
    return _submit(call, subject, target)


async def start_backup(call: Call) -> ServerResponse:
    """`POST /api/{tasks|projects}/{id}/backup/export`: start a backup."""
    target = find_target(call)
    _check_location(call)
    world = call.backend.world
    if target.kind == "task" and not world.tasks[call.number].size:
        raise messages(400, "Backup of a task without data is not allowed")
    tasks = (
        [world.tasks[call.number]] if target.kind == "task" else world.project_tasks(call.number)
    )
    # Seen: it is lightweight unless told otherwise, and only if files lie in a cloud storage.
    wanted = call.query.get("lightweight", "true").lower() in _TRUE
    lightweight = wanted and any(is_in_bucket(task) for task in tasks)
    subject = ExportSubject(target.kind, call.number, None, "backup", lightweight)
    return _submit(call, subject, target)


def _check_location(call: Call) -> None:
    """Refuse another location than the server or a bucket that it knows."""
    location = call.query.get("location", "local")
    if location != "local" and not call.query.get("cloud_storage_id"):
        raise server_error_page()
    cloud_storage_of_query(call)


def _submit(call: Call, subject: ExportSubject, target: RequestTarget) -> ServerResponse:
    name = call.query.get("filename") or None
    storage = cloud_storage_of_query(call)
    request, is_new = call.backend.exports.submit(
        subject,
        call.account.user,
        target,
        file_name=name,
        destination=None if storage is None else CloudObject(storage, name),
        origin=call.origin,
    )
    if is_new:
        return json_response({"rq_id": request.id}, 202)
    if any(fault.plain_conflict for fault in call.faults):
        raise plain_text(409, PLAIN_CONFLICT)
    return json_response({"rq_id": request.id}, 409)


async def send_result(call: Call) -> ExportResult:
    """`GET result_url`: return the result that a download asks for.

    Raises:
        RefusedError: There is no such result, or the user may not see it.
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
        raise plain_text(400, "Unknown export request id")
    if not call.account.superuser and request.owner.id != call.account.user.id:
        raise forbidden()
    return result_of(call, request)


def result_of(call: Call, request: ExportRequest) -> ExportResult:
    """Return the result of an export request.

    Raises:
        RefusedError: The request has no result yet, or it has expired.
    """
    if any(fault.expire for fault in call.faults):
        call.backend.exports.remove_results(lambda other: other is request)
    keeps_earlier = any(fault.earlier_result for fault in call.faults)
    if keeps_earlier and request.earlier is not None and not request.ended:
        return request.earlier
    if request.status != "finished":
        raise plain_text(400, "The export process is not finished")
    if request.result is None:
        raise json_string(404, "The exported file has expired, please retry exporting")
    if any(fault.move_etag for fault in call.faults):
        request.result.touch()
    return request.result
