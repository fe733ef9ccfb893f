"""Handlers of requests: list, show and cancel them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from asynccvat.simulator.queues.creation_queue import CreationRequest
from asynccvat.simulator.queues.requests import ExportRequest, ImportRequest, Request
from asynccvat.simulator.routes.about import never_cached
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.filters import FilterTerms, compile_logic, parse_logic, select
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.serializers import request_json
from asynccvat.simulator.wire.responses import (
    RefusedError,
    ServerResponse,
    forbidden,
    json_response,
    plain_text,
    server_error_page,
)

REQUEST_TERMS: Final = FilterTerms[Request](
    read={
        "status": lambda request: request.status,
        "project_id": lambda request: request.target.project_id,
        "task_id": lambda request: request.target.task_id,
        "job_id": lambda request: request.target.job_id,
        "action": lambda request: request.action,
        "target": lambda request: request.target.kind,
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


async def list_requests(call: Call) -> ServerResponse:
    """`GET /api/requests`: list the user's own, newest first."""
    query = dict(call.query)
    rows: Any = call.backend.registry.owned_by(call.account.user)
    expression = query.pop("filter", "")
    rows = select(rows, query, REQUEST_TERMS)
    if expression:
        rows = [row for row in rows if _request_filter(expression)(row)]
    if call.query.get("org"):  # only the parameter filters, the header does not
        rows = [row for row in rows if row.target.organization_id == call.organization_id]
    page = cut_page(rows, call.query)
    shown = [request_json(request, call.origin) for request in page.rows]
    response = list_response(call, page, shown)
    response.headers.update(never_cached())
    return response


def _request_filter(expression: str) -> Callable[[Request], bool]:
    """Compile JSON logic of requests; `and`, `or` and comparisons fail in CVAT 2.54."""
    logic = parse_logic(expression)
    if isinstance(logic, dict) and set(logic) & {"and", "or", "<", "<=", ">", ">="}:
        raise server_error_page()
    return compile_logic(logic, REQUEST_TERMS)


async def show_request(call: Call) -> ServerResponse:
    """`GET /api/requests/{rq_id}`: show a request."""
    request = _find_request(call)
    response = json_response(request_json(request, call.origin))
    response.headers.update(never_cached())
    return response


async def cancel_request(call: Call) -> ServerResponse:
    """`POST /api/requests/{rq_id}/cancel`: cancel a queued request."""
    request = _find_request(call)
    if isinstance(request, ImportRequest):
        cancelled = call.backend.imports.cancel(request)
    elif isinstance(request, CreationRequest):
        cancelled = call.backend.creations.cancel(request)
    else:
        assert isinstance(request, ExportRequest), "there are no other requests"
        cancelled = call.backend.exports.cancel(request)
    if not cancelled:
        raise _uncached(
            plain_text(400, "Only requests that have not yet been started can be cancelled")
        )
    return ServerResponse(200, content_type=None, headers=never_cached())


def _find_request(call: Call) -> Request:
    account = call.account
    request = call.backend.registry.find(call.rq_id)
    if request is None:
        raise _uncached(plain_text(404, "There is no request with specified id"))
    if not account.superuser and request.owner.id != account.user.id:
        raise forbidden()
    return request


def _uncached(refused: RefusedError) -> RefusedError:
    refused.response.headers.update(never_cached())
    return refused
