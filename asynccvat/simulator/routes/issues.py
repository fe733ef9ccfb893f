"""Handlers of issues: list and show them, and resolve or delete one."""

from __future__ import annotations

from typing import Final

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.filters import FilterTerms, select
from asynccvat.simulator.routes.lookups import find_task
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.serializers import issue_json
from asynccvat.simulator.wire.responses import ServerResponse, json_response, no_such
from asynccvat.simulator.world.issues import Issue

ISSUE_TERMS: Final = FilterTerms[Issue](
    read={
        "id": lambda issue: issue.id,
        "task_id": lambda issue: issue.task_id,
        "job_id": lambda issue: issue.job_id,
        "frame_id": lambda issue: issue.frame,
        "owner": lambda issue: issue.owner.username,
        "assignee": lambda _: None,
        "resolved": lambda issue: str(issue.resolved).lower(),
    },
    simple=("task_id", "job_id", "frame_id", "owner", "assignee", "resolved"),
    numbers=frozenset({"task_id", "job_id", "frame_id"}),
    search=("owner", "assignee"),
)


async def list_issues(call: Call) -> ServerResponse:
    """`GET /api/issues`: list open and resolved ones, newest first."""
    world = call.backend.world
    visible = [
        issue
        for issue in reversed(world.issues.values())
        if world.can_see(call.account, world.tasks[issue.task_id])
    ]
    query = dict(call.query)
    if "resolved" in query:
        query["resolved"] = query["resolved"].lower()
    page = cut_page(select(visible, query, ISSUE_TERMS), call.query)
    shown: list[object] = [issue_json(issue, call.origin) for issue in page.rows]
    return list_response(call, page, shown)


async def show_issue(call: Call) -> ServerResponse:
    """`GET /api/issues/{id}`: show an issue."""
    return json_response(issue_json(_find(call), call.origin))


async def change_issue(call: Call) -> ServerResponse:
    """`PATCH /api/issues/{id}`: resolve it, or open it again."""
    issue = _find(call)
    given = await call.json_object()
    resolved = bool(given.get("resolved", issue.resolved))
    changed = call.backend.world.resolve_issue(issue.id, resolved=resolved)
    return json_response(issue_json(changed, call.origin))


def _find(call: Call) -> Issue:
    issue = call.backend.world.issues.get(call.number)
    if issue is None:
        raise no_such("Issue")
    find_task(call, issue.task_id)
    return issue
