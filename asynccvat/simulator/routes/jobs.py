"""Handlers of jobs; `annotations` has those of their annotations."""

from __future__ import annotations

from typing import Any, Final

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import find_assignee, find_job
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.shown import shown_job
from asynccvat.simulator.wire.responses import (
    ServerResponse,
    field_error,
    forbidden,
    json_response,
)

_STAGES: Final = ("annotation", "validation", "acceptance")
_STATES: Final = ("new", "in progress", "completed", "rejected")


async def list_jobs(call: Call) -> ServerResponse:
    """`GET /api/jobs`: list jobs."""
    page = cut_page(call.backend.selections.jobs(call.query, call.account, call.scope), call.query)
    rows: list[object] = [shown_job(call, job) for job in page.rows]
    return list_response(call, page, rows)


async def show_job(call: Call) -> ServerResponse:
    """`GET /api/jobs/{id}`: show a job."""
    job = find_job(call, call.number)
    return json_response(shown_job(call, job))


async def change_job(call: Call) -> ServerResponse:
    """`PATCH /api/jobs/{id}`: change stage, state and assignee; the task keeps its date."""
    job = find_job(call, call.number)
    if call.identity.read_only:
        raise forbidden()
    given = await call.json_object()
    world = call.backend.world
    changes: dict[str, Any] = {}
    for name, choices in (("stage", _STAGES), ("state", _STATES)):
        if name in given:
            if given[name] not in choices:
                raise field_error(name, f'"{given[name]}" is not a valid choice.')
            changes[name] = given[name]
    if "stage" in changes:
        changes["status"] = _status(changes["stage"], changes.get("state"))
        if changes["stage"] != job.stage:
            changes.setdefault("state", "new")
    if "assignee" in given:
        changes["assignee"] = find_assignee(call, given, "assignee")
    changed = world.change_job(job.id, **changes)
    return json_response(shown_job(call, changed))


def _status(stage: str, state: str | None) -> str:
    """Return the old word for how far a job is, which CVAT derives from the others."""
    if stage == "annotation":
        return "annotation"
    return "completed" if (stage, state) == ("acceptance", "completed") else "validation"
