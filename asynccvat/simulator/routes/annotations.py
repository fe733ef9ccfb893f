"""Handlers of annotations as JSON, of tasks and jobs.

`imports` has the import of annotation files.
"""

from __future__ import annotations

from typing import Any, Final

from asynccvat.simulator.formats.annotations_json import annotations_json
from asynccvat.simulator.formats.annotations_json_reader import (
    InvalidAnnotationsError,
    read_annotations_json,
)
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.gone import GONE_IMPORT, gone
from asynccvat.simulator.routes.lookups import find_changeable_task, find_job, find_task
from asynccvat.simulator.wire.responses import (
    RefusedError,
    ServerResponse,
    encode,
    json_response,
    messages,
    plain_text,
    server_error_page,
)
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.tasks import Task

_KINDS: Final = ("tags", "shapes", "tracks")


async def show_annotations(call: Call) -> ServerResponse:
    """`GET .../annotations`: show them; with a format it is an old endpoint (410)."""
    task = _task(call)
    if call.query.get("action") == "import_status":
        raise plain_text(410, GONE_IMPORT)
    if "format" in call.query:
        raise gone(call.path.split("/")[2], "dataset/export?save_images=False")
    if task.size is None:
        raise plain_text(400, "Exporting annotations from a task without data is not allowed")
    return json_response(annotations_json(task.annotations()))


async def replace_annotations(call: Call) -> ServerResponse:
    """`PUT .../annotations`: replace all; with a format it is an old call (410)."""
    task = _changeable_task(call)
    if "format" in call.query:
        raise plain_text(410, GONE_IMPORT)
    added = _added(call, task, await call.json_object())
    # Seen on 2.64: nothing in place of nothing does not move the date of the task.
    if added != Annotations() or task.annotations() != Annotations():
        call.backend.world.annotate_task(task.id, added)
    return json_response(annotations_json(added))


async def change_annotations(call: Call) -> ServerResponse:
    """`PATCH .../annotations?action=`: create, delete or, with new ids, replace some."""
    task = _changeable_task(call)
    action = call.query.get("action")
    if action not in ("create", "update", "delete"):
        raise messages(400, "Please specify a correct 'action' for the request")
    given = await call.json_object()
    kept = task.annotations()
    if action != "create":
        kept = _without(kept, given)
    if action == "delete":
        call.backend.world.annotate_task(task.id, kept)
        return json_response({"version": 0, "tags": [], "shapes": [], "tracks": []} | given)
    if action == "update":
        given = {kind: [_without_id(one) for one in given.get(kind, ())] for kind in _KINDS}
    added = _added(call, task, given)
    merged = Annotations(
        kept.shapes + added.shapes, kept.tags + added.tags, kept.tracks + added.tracks
    )
    call.backend.world.annotate_task(task.id, merged)
    return json_response(annotations_json(added))


async def delete_annotations(call: Call) -> ServerResponse:
    """`DELETE .../annotations`: delete all."""
    task = _changeable_task(call)
    call.backend.world.annotate_task(task.id, Annotations())
    return ServerResponse(204, content_type=None)


def _task(call: Call) -> Task:
    if call.path.split("/")[2] == "jobs":
        return call.backend.world.tasks[find_job(call, call.number).task_id]
    return find_task(call, call.number)


def _changeable_task(call: Call) -> Task:
    task = _task(call)
    find_changeable_task(call)
    if task.size is None:
        raise server_error_page()
    return task


def _without_id(one: Any) -> Any:
    return {key: value for key, value in one.items() if key != "id"}


def _added(call: Call, task: Task, given: dict[str, Any]) -> Annotations:
    try:
        return read_annotations_json(given, task, call.backend.world.annotation_ids)
    except InvalidAnnotationsError as error:
        raise RefusedError(ServerResponse(400, encode(error.errors))) from None


def _without(kept: Annotations, given: dict[str, Any]) -> Annotations:
    """Return the annotations without those whose ids are given; unknown ids are ignored."""
    ids = {kind: {one.get("id") for one in given.get(kind, ())} for kind in _KINDS}
    return Annotations(
        tuple(shape for shape in kept.shapes if shape.id not in ids["shapes"]),
        tuple(tag for tag in kept.tags if tag.id not in ids["tags"]),
        tuple(track for track in kept.tracks if track.id not in ids["tracks"]),
    )
