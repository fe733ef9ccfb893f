"""Handlers of the endpoints by which older servers exported.

CVAT 2.54 answers them with 410 and names the new ones. With `old_exports`, annotations and dataset
of a task are exported by them, as by versions that had both kinds: the same GET starts the export,
tells how far it is, and with `action=download` returns the archive.
"""

from __future__ import annotations

from typing import Literal

from asynccvat.simulator.queues.requests import (
    ExportRequest,
    ExportResult,
    ExportSubject,
)
from asynccvat.simulator.routes import annotations as json_annotations
from asynccvat.simulator.routes.about import EXPORT_FORMATS
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.exports import result_of
from asynccvat.simulator.routes.gone import show_gone
from asynccvat.simulator.routes.lookups import find_task, target_of_task
from asynccvat.simulator.wire.responses import ServerResponse, messages, plain_text


async def show_annotations(call: Call) -> ServerResponse | ExportResult:
    """`GET /api/{tasks|jobs}/{id}/annotations`: show JSON, or export if there is a format."""
    of_task = call.path.split("/")[2] == "tasks"
    if call.backend.options.old_exports and of_task and "format" in call.query:
        return _export(call, "annotations")
    return await json_annotations.show_annotations(call)


async def show_dataset(call: Call) -> ServerResponse | ExportResult:
    """`GET /api/tasks/{id}/dataset`: export with the images."""
    if call.backend.options.old_exports:
        return _export(call, "dataset")
    return await show_gone(call)


def _export(
    call: Call, subresource: Literal["annotations", "dataset"]
) -> ServerResponse | ExportResult:
    """Start an export (202), show its state (202 or 201), or return its result."""
    task = find_task(call, call.number)
    name, action = call.query.get("format", ""), call.query.get("action", "")
    if name not in EXPORT_FORMATS:
        raise messages(400, "Unknown format specified for the request")
    if action not in ("", "download"):
        raise messages(400, "Unexpected action specified for the request")
    subject = ExportSubject("task", task.id, name, subresource)
    request = call.backend.registry.find(subject.rq_id(call.account.user))
    if (
        not isinstance(request, ExportRequest)
        or request.created < task.updated_date
        or (request.status == "finished" and request.result is None)
    ):
        # A request that has not ended stays unchanged.
        call.backend.exports.submit(
            subject,
            call.account.user,
            target_of_task(task),
            file_name=call.query.get("filename") or None,
        )
        return ServerResponse(202, content_type=None)
    if request.status == "failed":
        raise plain_text(500, request.message)
    if not request.ended:
        return ServerResponse(202, content_type=None)
    return (
        result_of(call, request) if action == "download" else ServerResponse(201, content_type=None)
    )
