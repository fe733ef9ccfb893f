"""Handlers of annotations as JSON, of tasks and jobs.

`imports` has the import of annotation files.
"""

from __future__ import annotations

from typing import Any, Final

from asynccvat.simulator.formats.annotations_json_reader import (
    InvalidAnnotationsError,
    read_annotations_json,
)
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.gone import GONE_IMPORT, gone
from asynccvat.simulator.routes.lookups import find_job, find_task
from asynccvat.simulator.routes.shown import shown_annotations
from asynccvat.simulator.wire.responses import (
    RefusedError,
    ServerResponse,
    encode,
    forbidden,
    json_response,
    messages,
    plain_text,
    server_error_page,
)
from asynccvat.simulator.world.annotations import Annotations
from asynccvat.simulator.world.job_annotations import (
    annotations_of_job,
    has_own_annotations,
    with_part_of_job,
)
from asynccvat.simulator.world.tasks import Job, Task

_KINDS: Final = ("tags", "shapes", "tracks")


async def show_annotations(call: Call) -> ServerResponse:
    """`GET .../annotations`: show them; with a format it is an old endpoint (410)."""
    task, job = _task(call)
    if call.query.get("action") == "import_status":
        raise plain_text(410, GONE_IMPORT)
    if "format" in call.query:
        raise gone(call.path.split("/")[2], "dataset/export?save_images=False")
    if task.size is None:
        raise plain_text(400, "Exporting annotations from a task without data is not allowed")
    return json_response(shown_annotations(call, _held(task, job)))


async def replace_annotations(call: Call) -> ServerResponse:
    """`PUT .../annotations`: replace all; with a format it is an old call (410)."""
    task, job = _changeable_task(call)
    if "format" in call.query:
        raise plain_text(410, GONE_IMPORT)
    added = _added(call, task, await call.json_object())
    # Seen on 2.64: nothing in place of nothing does not move the date of the task.
    if added != Annotations() or _held(task, job) != Annotations():
        _store(call, task, job, added)
    return json_response(shown_annotations(call, added, sent=True))


async def change_annotations(call: Call) -> ServerResponse:
    """`PATCH .../annotations?action=`: create, delete or, with the same ids, replace some."""
    task, job = _changeable_task(call)
    action = call.query.get("action")
    if action not in ("create", "update", "delete"):
        raise messages(400, "Please specify a correct 'action' for the request")
    given = await call.json_object()
    kept = _held(task, job)
    if action != "create":
        kept = _without(kept, given)
    if action == "delete":
        _store(call, task, job, kept)
        return json_response({"version": 0, "tags": [], "shapes": [], "tracks": []} | given)
    added = _added(call, task, given, keep_ids=action == "update")
    merged = Annotations(
        kept.shapes + added.shapes, kept.tags + added.tags, kept.tracks + added.tracks
    )
    _store(call, task, job, merged)
    return json_response(shown_annotations(call, added, sent=True))


async def delete_annotations(call: Call) -> ServerResponse:
    """`DELETE .../annotations`: delete all."""
    task, job = _changeable_task(call)
    _store(call, task, job, Annotations())
    return ServerResponse(204, content_type=None)


def _task(call: Call) -> tuple[Task, Job | None]:
    """Return the task that the path names, or the job and its task."""
    if call.path.split("/")[2] != "jobs":
        return find_task(call, call.number), None
    job = find_job(call, call.number)
    return call.backend.world.tasks[job.task_id], job


def _changeable_task(call: Call) -> tuple[Task, Job | None]:
    task, job = _task(call)
    if call.identity.read_only:
        raise forbidden()
    if task.size is None:
        raise server_error_page()
    return task, job


def _held(task: Task, job: Job | None) -> Annotations:
    return task.annotations() if job is None else annotations_of_job(task, job)


def _store(call: Call, task: Task, job: Job | None, annotations: Annotations) -> None:
    """Replace the annotations of a task or job; both move the date of the task."""
    world = call.backend.world
    if job is None:
        world.annotate_task(task.id, annotations)
    elif has_own_annotations(job):
        world.change_job(job.id, given=annotations)
        world.change_task(task.id)
    else:
        world.annotate_task(task.id, with_part_of_job(task, job, annotations))


def _added(call: Call, task: Task, given: dict[str, Any], *, keep_ids: bool = False) -> Annotations:
    ids = call.backend.world.annotation_ids
    try:
        return read_annotations_json(given, task, ids, keep_ids=keep_ids)
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
