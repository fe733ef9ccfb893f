"""Which handler serves which path and method."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from asynccvat.simulator.queues.requests import ExportResult
from asynccvat.simulator.queues.uploads import FILE_ID
from asynccvat.simulator.routes import (
    about,
    accounts,
    cloud_storages,
    creations,
    exports,
    gone,
    imports,
    issues,
    jobs,
    media,
    old_endpoints,
    projects,
    requests,
    task_data,
    tasks,
    uploads,
    webhooks,
)
from asynccvat.simulator.routes import annotations as json_annotations
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.wire.responses import ServerResponse

Handler = Callable[[Call], Awaitable[ServerResponse | ExportResult]]
"""Returns the response to a call, or the result whose archive is to be sent."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path.

    Attributes:
        methods: Its handlers, by method.
        anonymous: Whether it needs no credentials; anonymous calls are throttled by address.
        allow: The Allow header of its responses.
        negotiates: Whether the Accept header matters.
    """

    methods: dict[str, Handler]
    anonymous: bool = False
    allow: str = ""
    negotiates: bool = True


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a path, and the ids in the path.

    Attributes:
        route: The route.
        id: The number in the path, None without one, -1 for a word in its place.
        rq_id: The request's id in the path, or "".
        file_id: The id of an uploaded file in the path, or "".
        part: The number of a part, further on in the path, or None.
    """

    route: Route
    id: int | None = None
    rq_id: str = ""
    file_id: str = ""
    part: int | None = None


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


_ANNOTATIONS: Final = _route(
    GET=old_endpoints.show_annotations,
    POST=imports.upload_annotations,
    PUT=json_annotations.replace_annotations,
    PATCH=json_annotations.change_annotations,
    DELETE=json_annotations.delete_annotations,
)
_UPLOAD: Final = _route(
    HEAD=uploads.show_upload,
    PATCH=uploads.append_to_upload,
    allow="PATCH, HEAD, OPTIONS",
)

_DATASET: Final = _route(GET=gone.show_gone, POST=imports.upload_dataset)
_DATA: Final = _route(GET=media.show_data, POST=task_data.receive_data)
_RESTORE: Final = _route(POST=imports.upload_backup)

ROUTES: Final[dict[str, Route]] = {
    "/api/server/about": _route(GET=about.show_about, anonymous=True),
    "/api/server/annotation/formats": _route(GET=about.show_formats),
    "/api/server/plugins": _route(GET=about.show_plugins),
    "/api/server/health/": _route(GET=about.show_health, anonymous=True, negotiates=False),
    "/api/auth/login": _route(POST=accounts.log_in, anonymous=True),
    "/api/auth/logout": _route(GET=accounts.log_out, POST=accounts.log_out, anonymous=True),
    "/api/auth/access_tokens": _route(
        GET=accounts.list_access_tokens, POST=accounts.create_access_token
    ),
    "/api/auth/access_tokens/self": _route(GET=accounts.show_own_access_token),
    "/api/auth/access_tokens/{id}": _route(
        DELETE=accounts.delete_access_token, allow="GET, PATCH, DELETE, HEAD, OPTIONS"
    ),
    "/api/users/self": _route(GET=accounts.show_self),
    "/api/users/{id}": _route(
        GET=accounts.show_user,
        PATCH=accounts.change_user,
        allow="GET, PATCH, DELETE, HEAD, OPTIONS",
    ),
    "/api/organizations": _route(
        GET=accounts.list_organizations, POST=accounts.create_organization
    ),
    "/api/tasks": _route(GET=tasks.list_tasks, POST=creations.create_task),
    "/api/tasks/backup": _RESTORE,
    "/api/tasks/backup/": _RESTORE,
    "/api/tasks/backup/{file}": _UPLOAD,
    "/api/tasks/{id}": _route(
        GET=tasks.show_task, PATCH=tasks.change_task, DELETE=tasks.delete_task
    ),
    "/api/tasks/{id}/annotations": _ANNOTATIONS,
    "/api/tasks/{id}/annotations/": _ANNOTATIONS,
    "/api/tasks/{id}/annotations/{file}": _UPLOAD,
    "/api/tasks/{id}/data": _DATA,
    "/api/tasks/{id}/data/": _DATA,
    "/api/tasks/{id}/data/{file}": _route(
        HEAD=uploads.show_upload,
        PATCH=task_data.append_to_data,
        allow="PATCH, HEAD, OPTIONS",
    ),
    "/api/tasks/{id}/data/meta": _route(
        GET=tasks.show_data_meta, allow="GET, PATCH, HEAD, OPTIONS"
    ),
    "/api/tasks/{id}/preview": _route(GET=media.show_preview),
    "/api/tasks/{id}/status": _route(GET=tasks.show_status),
    "/api/tasks/{id}/dataset": _route(GET=old_endpoints.show_dataset),
    "/api/tasks/{id}/backup": _route(GET=gone.show_gone),
    "/api/tasks/{id}/dataset/export": _route(POST=exports.start_export),
    "/api/tasks/{id}/dataset/download": _route(GET=exports.send_result),
    "/api/tasks/{id}/backup/export": _route(POST=exports.start_backup),
    "/api/tasks/{id}/backup/download": _route(GET=exports.send_result),
    "/api/projects": _route(GET=projects.list_projects, POST=creations.create_project),
    "/api/projects/backup": _RESTORE,
    "/api/projects/backup/": _RESTORE,
    "/api/projects/backup/{file}": _UPLOAD,
    "/api/projects/{id}": _route(
        GET=projects.show_project,
        PATCH=creations.change_project,
        DELETE=creations.delete_project,
    ),
    "/api/projects/{id}/dataset": _DATASET,
    "/api/projects/{id}/dataset/": _DATASET,
    "/api/projects/{id}/dataset/{file}": _UPLOAD,
    "/api/projects/{id}/annotations": _route(GET=gone.show_gone),
    "/api/projects/{id}/backup": _route(GET=gone.show_gone),
    "/api/projects/{id}/dataset/export": _route(POST=exports.start_export),
    "/api/projects/{id}/dataset/download": _route(GET=exports.send_result),
    "/api/projects/{id}/backup/export": _route(POST=exports.start_backup),
    "/api/projects/{id}/backup/download": _route(GET=exports.send_result),
    "/api/jobs": _route(GET=jobs.list_jobs, allow="GET, POST, HEAD, OPTIONS"),
    "/api/jobs/{id}": _route(
        GET=jobs.show_job, PATCH=jobs.change_job, allow="GET, PATCH, DELETE, HEAD, OPTIONS"
    ),
    "/api/jobs/{id}/dataset": _route(GET=gone.show_gone),
    "/api/jobs/{id}/annotations": _ANNOTATIONS,
    "/api/jobs/{id}/annotations/": _ANNOTATIONS,
    "/api/jobs/{id}/annotations/{file}": _UPLOAD,
    "/api/jobs/{id}/dataset/export": _route(POST=exports.start_export),
    "/api/jobs/{id}/dataset/download": _route(GET=exports.send_result),
    "/api/issues": _route(GET=issues.list_issues, allow="GET, POST, HEAD, OPTIONS"),
    "/api/issues/{id}": _route(
        GET=issues.show_issue,
        PATCH=issues.change_issue,
        allow="GET, PATCH, DELETE, HEAD, OPTIONS",
    ),
    "/api/cloudstorages": _route(
        GET=cloud_storages.list_cloud_storages, POST=cloud_storages.attach_cloud_storage
    ),
    "/api/cloudstorages/{id}": _route(
        GET=cloud_storages.show_cloud_storage,
        DELETE=cloud_storages.detach_cloud_storage,
        allow="GET, PATCH, DELETE, HEAD, OPTIONS",
    ),
    "/api/cloudstorages/{id}/status": _route(GET=cloud_storages.show_status),
    "/api/cloudstorages/{id}/content-v2": _route(GET=cloud_storages.list_content),
    "/api/webhooks": _route(
        GET=webhooks.list_webhooks, POST=webhooks.create_webhook, allow="GET, POST"
    ),
    "/api/webhooks/events": _route(GET=webhooks.list_events, allow="GET"),
    "/api/webhooks/{id}": _route(
        GET=webhooks.show_webhook,
        PUT=webhooks.replace_webhook,
        PATCH=webhooks.change_webhook,
        DELETE=webhooks.delete_webhook,
        allow="GET, DELETE, PATCH, PUT",
    ),
    "/api/webhooks/{id}/ping": _route(POST=webhooks.ping_webhook, allow="POST"),
    "/api/webhooks/{id}/deliveries": _route(GET=webhooks.list_deliveries, allow="GET"),
    "/api/webhooks/{id}/deliveries/{part}": _route(GET=webhooks.show_delivery, allow="GET"),
    "/api/webhooks/{id}/deliveries/{part}/redelivery": _route(
        POST=webhooks.deliver_again, allow="POST"
    ),
    "/api/labels": _route(GET=projects.list_labels),
    "/api/requests": _route(GET=requests.list_requests),
}

_PART: Final = re.compile(r"/(\d+)(?=/|$)")

_REQUEST: Final = _route(GET=requests.show_request)
_CANCEL: Final = _route(POST=requests.cancel_request)


def is_of_new_servers(path: str) -> bool:
    """Whether CVAT before 2.16 has nothing at a path: it exported and imported in another way."""
    return path.startswith("/api/requests") or path.endswith(("/dataset/export", "/backup/export"))


def find_route(path: str) -> RouteMatch | None:
    """Return the route of a decoded path, or None for an unknown path.

    A word in the place of a number still finds the route, with the id -1: CVAT answers with JSON.
    """
    route = ROUTES.get(path)
    if route is not None:
        return RouteMatch(route)
    if path.startswith("/api/requests/"):
        rq_id = path.removeprefix("/api/requests/")
        if rq_id.endswith("/cancel"):
            return RouteMatch(_CANCEL, rq_id=rq_id.removesuffix("/cancel"))
        return RouteMatch(_REQUEST, rq_id=rq_id) if rq_id and not rq_id.endswith("/") else None
    parts = path.split("/", 4)
    if len(parts) < 4 or parts[1] != "api" or not parts[3]:
        return None
    file_id = ""
    if FILE_ID.fullmatch(path.rpartition("/")[2]):
        path, _, file_id = path.rpartition("/")
        route = ROUTES.get(f"{path}/{{file}}")
        if route is not None:
            return RouteMatch(route, file_id=file_id)
        parts = f"{path}/{{file}}".split("/", 4)
    if parts[2] == "auth":
        parts = path.rsplit("/", 1)
        number, template = parts[1], parts[0] + "/{id}"
    else:
        number = parts[3]
        template = "/".join([*parts[:3], "{id}", *parts[4:]])
    within = _PART.search(template)
    route = ROUTES.get(_PART.sub("/{part}", template))
    if route is None:
        return None
    part = int(within[1]) if within is not None else None
    return RouteMatch(route, int(number) if number.isdecimal() else -1, file_id=file_id, part=part)
