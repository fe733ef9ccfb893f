"""How long calls take; `queues.processor` spends the seconds."""

from __future__ import annotations

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.paging import page_size
from asynccvat.simulator.routes.table import ROUTES, RouteMatch
from asynccvat.simulator.wire.responses import RefusedError


def service_seconds(call: Call, match: RouteMatch) -> float:
    """Return the seconds that a call takes, by its route and caller."""
    options = call.backend.options
    if not options.costs:
        return 0.0
    known = call.identity.account is not None
    is_list = call.request.method == "GET" and known
    lists_jobs = is_list and match.route is ROUTES["/api/jobs"]
    lists_requests = is_list and match.route is ROUTES["/api/requests"]
    return call_seconds(
        options,
        listed_tasks=(
            _count_listed_tasks(call) if is_list and match.route is ROUTES["/api/tasks"] else 0
        ),
        listed_jobs=_count_listed_jobs(call) if lists_jobs else 0,
        reads_annotations=is_list and match.route is ROUTES["/api/tasks/{id}/annotations"],
        lists_requests=lists_requests,
        remembered_requests=call.backend.registry.remembered if lists_requests else 0,
        hashes_password=match.route is ROUTES["/api/auth/login"],
        basic=call.identity.scheme == "basic",
    )


def _count_listed_tasks(call: Call) -> int:
    """Count the tasks on the page that the call asks for."""
    try:
        rows = call.backend.selections.tasks(call.query, call.account, call.scope)
    except RefusedError:
        return 0
    return _on_page(call, len(rows))


def _count_listed_jobs(call: Call) -> int:
    """Count the jobs on the page that the call asks for."""
    try:
        rows = call.backend.selections.jobs(call.query, call.account, call.scope)
    except RefusedError:
        return 0
    return _on_page(call, len(rows))


def _on_page(call: Call, rows: int) -> int:
    size, page = page_size(call.query, rows), call.query.get("page", "1")
    before = (int(page) - 1) * size if page.isdecimal() else 0
    return max(0, min(size, rows - before))


def call_seconds(
    options: SimulatorOptions,
    *,
    listed_tasks: int = 0,
    listed_jobs: int = 0,
    reads_annotations: bool = False,
    lists_requests: bool = False,
    remembered_requests: int = 0,
    hashes_password: bool = False,
    basic: bool = False,
) -> float:
    """Return the seconds of an API worker that a call takes.

    Args:
        options: The server's times.
        listed_tasks: Tasks on the page that the call asks for.
        listed_jobs: Jobs on the page that the call asks for.
        reads_annotations: Whether the call reads annotations as JSON.
        lists_requests: Whether the call lists requests.
        remembered_requests: Requests that the server remembers, including those of other users.
        hashes_password: Whether the call is a login.
        basic: Whether it authenticates by HTTP Basic.
    """
    if not options.costs:
        return 0.0
    seconds = options.latency
    if lists_requests:
        seconds = max(seconds, options.requests_list_seconds)
        seconds += options.remembered_request_seconds * remembered_requests
    seconds += options.listed_task_seconds * listed_tasks
    seconds += options.listed_job_seconds * listed_jobs
    if reads_annotations:
        seconds += options.annotations_seconds
    if hashes_password:
        seconds += options.login_seconds
    if basic:
        seconds += options.basic_seconds
    return seconds
