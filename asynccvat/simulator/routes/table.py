"""Which handler serves which path and method, and what the call costs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from asynccvat.simulator.queues.processor import call_seconds
from asynccvat.simulator.queues.requests import Result
from asynccvat.simulator.queues.uploads import FILE_ID
from asynccvat.simulator.routes import (
    about as routes_server,
)
from asynccvat.simulator.routes import (
    accounts as routes_accounts,
)
from asynccvat.simulator.routes import (
    annotations as routes_annotations,
)
from asynccvat.simulator.routes import (
    exports as routes_exports,
)
from asynccvat.simulator.routes import (
    imports as routes_imports,
)
from asynccvat.simulator.routes import (
    old_endpoints as routes_old,
)
from asynccvat.simulator.routes import (
    tasks as routes_tasks,
)
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.wire.responses import Answer

Handler = Callable[[Call], Awaitable[Answer | Result]]
"""Answers a call, or names the result whose bytes are to be sent."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path.

    Attributes:
        methods: Its handlers.
        anonymous: Whether anybody may call it; such calls are throttled by address.
        allow: The Allow header of its answers.
        negotiates: Whether the Accept header counts.
    """

    methods: dict[str, Handler]
    anonymous: bool = False
    allow: str = ""
    negotiates: bool = True


@dataclass(frozen=True, slots=True)
class Match:
    """A route found for a path, and what the path tells."""

    route: Route
    id: int | None = None
    rq_id: str = ""
    file_id: str = ""


def _route(
    *,
    anonymous: bool = False,
    allow: str = "",
    negotiates: bool = True,
    **methods: Handler,
) -> Route:
    if not allow:
        names = [name for name in ("GET", "POST", "PUT", "PATCH", "DELETE") if name in methods]
        allow = ", ".join([*names, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])
    return Route(methods, anonymous, allow, negotiates)


_ACCOUNTS: Final = routes_accounts
_TASKS: Final = routes_tasks
_EXPORTS: Final = routes_exports
_OLD: Final = routes_old
_SERVER: Final = routes_server

_ANNOTATIONS: Final = _route(
    GET=_OLD.show_annotations,
    POST=routes_imports.upload_annotations,
    PUT=routes_annotations.replace_annotations,
    PATCH=routes_annotations.change_annotations,
    DELETE=routes_annotations.delete_annotations,
)
_UPLOAD: Final = _route(
    HEAD=routes_imports.show_upload,
    PATCH=routes_imports.append_to_upload,
    allow="PATCH, HEAD, OPTIONS",
)

_ROUTES: Final[dict[str, Route]] = {
    "/api/server/about": _route(GET=_SERVER.show_about, anonymous=True),
    "/api/server/annotation/formats": _route(GET=_SERVER.show_formats),
    "/api/server/plugins": _route(GET=_SERVER.show_plugins),
    "/api/server/health/": _route(GET=_SERVER.show_health, anonymous=True, negotiates=False),
    "/api/auth/login": _route(POST=_ACCOUNTS.log_in, anonymous=True),
    "/api/auth/logout": _route(GET=_ACCOUNTS.log_out, POST=_ACCOUNTS.log_out, anonymous=True),
    "/api/auth/access_tokens": _route(
        GET=_ACCOUNTS.list_access_tokens, POST=_ACCOUNTS.create_access_token
    ),
    "/api/auth/access_tokens/self": _route(GET=_ACCOUNTS.show_own_access_token),
    "/api/auth/access_tokens/{id}": _route(
        DELETE=_ACCOUNTS.delete_access_token, allow="GET, PATCH, DELETE, HEAD, OPTIONS"
    ),
    "/api/users/self": _route(GET=_ACCOUNTS.show_self),
    "/api/users/{id}": _route(
        GET=_ACCOUNTS.show_user,
        PATCH=_ACCOUNTS.change_user,
        allow="GET, PATCH, DELETE, HEAD, OPTIONS",
    ),
    "/api/organizations": _route(
        GET=_ACCOUNTS.list_organizations, POST=_ACCOUNTS.create_organization
    ),
    "/api/tasks": _route(GET=_TASKS.list_tasks, POST=_TASKS.create_task),
    "/api/tasks/{id}": _route(
        GET=_TASKS.show_task, PATCH=_TASKS.change_task, DELETE=_TASKS.delete_task
    ),
    "/api/tasks/{id}/annotations": _ANNOTATIONS,
    "/api/tasks/{id}/annotations/": _ANNOTATIONS,
    "/api/tasks/{id}/annotations/{file}": _UPLOAD,
    "/api/tasks/{id}/data/meta": _route(
        GET=_TASKS.show_data_meta, allow="GET, PATCH, HEAD, OPTIONS"
    ),
    "/api/tasks/{id}/status": _route(GET=_TASKS.show_status),
    "/api/tasks/{id}/dataset": _route(GET=_OLD.show_dataset),
    "/api/tasks/{id}/backup": _route(GET=_TASKS.old_endpoint),
    "/api/tasks/{id}/dataset/export": _route(POST=_EXPORTS.start_export),
    "/api/tasks/{id}/dataset/download": _route(GET=_EXPORTS.send_result),
    "/api/tasks/{id}/backup/export": _route(POST=_EXPORTS.start_backup),
    "/api/tasks/{id}/backup/download": _route(GET=_EXPORTS.send_result),
    "/api/projects": _route(GET=_TASKS.list_projects, allow="GET, POST, HEAD, OPTIONS"),
    "/api/projects/{id}": _route(
        GET=_TASKS.show_project, allow="GET, PATCH, DELETE, HEAD, OPTIONS"
    ),
    "/api/projects/{id}/dataset": _route(GET=_TASKS.old_endpoint, allow="GET, POST, HEAD, OPTIONS"),
    "/api/projects/{id}/dataset/": _route(
        GET=_TASKS.old_endpoint, allow="GET, POST, HEAD, OPTIONS"
    ),
    "/api/projects/{id}/annotations": _route(GET=_TASKS.old_endpoint),
    "/api/projects/{id}/backup": _route(GET=_TASKS.old_endpoint),
    "/api/projects/{id}/dataset/export": _route(POST=_EXPORTS.start_export),
    "/api/projects/{id}/dataset/download": _route(GET=_EXPORTS.send_result),
    "/api/projects/{id}/backup/export": _route(POST=_EXPORTS.start_backup),
    "/api/projects/{id}/backup/download": _route(GET=_EXPORTS.send_result),
    "/api/jobs": _route(GET=_TASKS.list_jobs, allow="GET, POST, HEAD, OPTIONS"),
    "/api/jobs/{id}": _route(GET=_TASKS.show_job, allow="GET, PATCH, DELETE, HEAD, OPTIONS"),
    "/api/jobs/{id}/dataset": _route(GET=_TASKS.old_endpoint),
    "/api/jobs/{id}/annotations": _ANNOTATIONS,
    "/api/jobs/{id}/annotations/": _ANNOTATIONS,
    "/api/jobs/{id}/annotations/{file}": _UPLOAD,
    "/api/jobs/{id}/dataset/export": _route(POST=_EXPORTS.start_export),
    "/api/jobs/{id}/dataset/download": _route(GET=_EXPORTS.send_result),
    "/api/labels": _route(GET=_TASKS.list_labels),
    "/api/requests": _route(GET=_EXPORTS.list_requests),
}

_REQUEST: Final = _route(GET=_EXPORTS.show_request)
_CANCEL: Final = _route(POST=_EXPORTS.cancel_request)


def find_route(path: str) -> Match | None:
    """The route of a decoded path, or None: no view has it.

    A word where a number belongs still finds the route, with `id` -1: CVAT says so in JSON.
    """
    route = _ROUTES.get(path)
    if route is not None:
        return Match(route)
    if path.startswith("/api/requests/"):
        rq_id = path.removeprefix("/api/requests/")
        if rq_id.endswith("/cancel"):
            return Match(_CANCEL, rq_id=rq_id.removesuffix("/cancel"))
        return Match(_REQUEST, rq_id=rq_id) if rq_id and not rq_id.endswith("/") else None
    parts = path.split("/", 4)
    if len(parts) < 4 or parts[1] != "api" or not parts[3]:
        return None
    file_id = ""
    if FILE_ID.fullmatch(path.rpartition("/")[2]):
        path, _, file_id = path.rpartition("/")
        parts = f"{path}/{{file}}".split("/", 4)
    if parts[2] == "auth":
        parts = path.rsplit("/", 1)
        number, template = parts[1], parts[0] + "/{id}"
    else:
        number = parts[3]
        template = "/".join([*parts[:3], "{id}", *parts[4:]])
    route = _ROUTES.get(template)
    if route is None:
        return None
    return Match(route, int(number) if number.isdecimal() else -1, file_id=file_id)


def service_seconds(call: Call, match: Match) -> float:
    """Seconds of an API worker that the call takes."""
    options = call.backend.options
    if not options.costs:
        return 0.0
    known = call.identity.account is not None
    is_list = call.request.method == "GET" and known
    lists_requests = is_list and match.route is _ROUTES["/api/requests"]
    return call_seconds(
        options,
        listed_tasks=(
            routes_tasks.count_listed_tasks(call)
            if is_list and match.route is _ROUTES["/api/tasks"]
            else 0
        ),
        lists_requests=lists_requests,
        remembered_requests=call.backend.registry.remembered if lists_requests else 0,
        hashes_password=match.route is _ROUTES["/api/auth/login"],
        basic=call.identity.scheme == "basic",
    )
