"""Handlers of the endpoints by which older servers exported.

CVAT 2.54 answers them with 410 and names the new ones. With `old_exports` a task's
annotations and dataset are exported by them, as by the versions that had both: the same GET asks
for the export, asks how far it is, and, with `action=download`, gets the archive.
"""

from __future__ import annotations

from typing import Literal

from asynccvat.simulator.queues.requests import ExportRequest, Result, Wanted
from asynccvat.simulator.routes import annotations as routes_annotations
from asynccvat.simulator.routes import tasks as routes_tasks
from asynccvat.simulator.routes.about import EXPORT_FORMATS
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.exports import result_of
from asynccvat.simulator.wire.responses import Answer, messages, text


async def show_annotations(call: Call) -> Answer | Result:
    """`GET /api/{tasks|jobs}/{id}/annotations`: JSON; of a task with a format, an old export."""
    of_task = call.path.split("/")[2] == "tasks"
    if call.backend.options.old_exports and of_task and "format" in call.query:
        return _export(call, "annotations")
    return await routes_annotations.show_annotations(call)


async def show_dataset(call: Call) -> Answer | Result:
    """`GET /api/tasks/{id}/dataset`: an old export, with the images."""
    if call.backend.options.old_exports:
        return _export(call, "dataset")
    return await routes_tasks.old_endpoint(call)


def _export(call: Call, subresource: Literal["annotations", "dataset"]) -> Answer | Result:
    """Begin an export, or tell of it: 202 while it is made, 201 once it is, then its bytes."""
    task = call.backend.world.task(call.number, call.account)
    name, action = call.query.get("format", ""), call.query.get("action", "")
    if name not in EXPORT_FORMATS:
        raise messages(400, "Unknown format specified for the request")
    if action not in ("", "download"):
        raise messages(400, "Unexpected action specified for the request")
    wanted = Wanted("task", task.id, name, subresource)
    request = call.backend.registry.find(wanted.rq_id(call.account.user))
    if (
        not isinstance(request, ExportRequest)
        or request.created < task.updated_date
        or (request.status == "finished" and request.result is None)
    ):
        # One that is under way is left as it is.
        call.backend.queue.submit(
            wanted,
            call.account.user,
            project_id=task.project_id,
            task_id=task.id,
            job_id=None,
            file_name=call.query.get("filename") or None,
        )
        return Answer(202, content_type=None)
    if request.status == "failed":
        raise text(500, request.message)
    if not request.ended:
        return Answer(202, content_type=None)
    return result_of(call, request) if action == "download" else Answer(201, content_type=None)
