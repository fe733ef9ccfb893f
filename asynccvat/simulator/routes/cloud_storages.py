"""Handlers of cloud storages: attach, list, show, detach, and list their objects."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final

from asynccvat.simulator.formats.image_headers import is_image_name
from asynccvat.simulator.formats.video_headers import is_video_name
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import find_cloud_storage
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.permissions import check_may_create
from asynccvat.simulator.routes.serializers import cloud_storage_json
from asynccvat.simulator.wire.responses import ServerResponse, field_error, json_response
from asynccvat.simulator.world.users import Organization

_PAGE: Final = 500


async def list_cloud_storages(call: Call) -> ServerResponse:
    """`GET /api/cloudstorages`: list them, newest first."""
    held = reversed(call.backend.world.cloud_storages.values())
    account, scope = call.account, call.scope
    rows = [one for one in held if account.superuser or one.owner.id == account.user.id]
    if isinstance(scope, Organization):
        rows = [one for one in rows if one.organization_id == scope.id]
    page = cut_page(rows, call.query)
    shown: list[object] = [cloud_storage_json(one, call.origin) for one in page.rows]
    return list_response(call, page, shown)


async def attach_cloud_storage(call: Call) -> ServerResponse:
    """`POST /api/cloudstorages`: attach a bucket; here it is a new folder."""
    check_may_create(call)
    given = await call.json_object()
    for name in ("provider_type", "resource", "display_name", "credentials_type"):
        if not given.get(name):
            raise field_error(name, "This field is required.")
    scope = call.scope
    world = call.backend.world
    storage = world.add_cloud_storage(
        call.backend.uploads.new_folder(),
        str(given["resource"]),
        str(given["display_name"]),
        owner=call.account.user,
        description=str(given.get("description") or ""),
        provider_type=str(given["provider_type"]),
        credentials_type=str(given["credentials_type"]),
        specific_attributes=str(given.get("specific_attributes") or ""),
        organization_id=scope.id if isinstance(scope, Organization) else None,
    )
    return json_response(cloud_storage_json(storage, call.origin), 201)


async def show_cloud_storage(call: Call) -> ServerResponse:
    """`GET /api/cloudstorages/{id}`: show a cloud storage."""
    return json_response(cloud_storage_json(find_cloud_storage(call, call.number), call.origin))


async def detach_cloud_storage(call: Call) -> ServerResponse:
    """`DELETE /api/cloudstorages/{id}`: forget a cloud storage; its objects stay."""
    del call.backend.world.cloud_storages[find_cloud_storage(call, call.number).id]
    return ServerResponse(204, content_type=None)


async def show_status(call: Call) -> ServerResponse:
    """`GET /api/cloudstorages/{id}/status`: tell whether the bucket can be reached."""
    storage = find_cloud_storage(call, call.number)
    return json_response("AVAILABLE" if storage.folder.is_dir() else "NOT_FOUND")


async def list_content(call: Call) -> ServerResponse:
    """`GET /api/cloudstorages/{id}/content-v2`: list folders and objects below a prefix."""
    storage = find_cloud_storage(call, call.number)
    prefix = call.query.get("prefix", "")
    if not prefix.startswith(storage.prefix):
        if not storage.prefix.startswith(prefix):
            return json_response({"next": None, "content": []})
        prefix = storage.prefix  # CVAT lists nothing above the storage's own prefix
    below = prefix[: prefix.rfind("/") + 1]
    folders: dict[str, None] = {}
    files: list[str] = []
    for key in storage.keys(prefix):
        name, slash, _ = key[len(below) :].partition("/")
        if slash:
            folders[name] = None
        else:
            files.append(name)
    rows: list[dict[str, Any]] = [
        {"name": name, "type": "DIR", "mime_type": "DIR"} for name in folders
    ]
    rows += [{"name": name, "type": "REG", "mime_type": _mime_type(name)} for name in files]
    size = call.query.get("page_size", "")
    length = int(size) if size.isdecimal() and int(size) else _PAGE
    token = call.query.get("next_token", "")
    start = int(token) if token.isdecimal() else 0
    more = start + length < len(rows)
    content = rows[start : start + length]
    return json_response({"next": str(start + length) if more else None, "content": content})


def _mime_type(name: str) -> str:
    if PurePosixPath(name).suffix.lower() in (".zip", ".rar", ".tar", ".gz"):
        return "archive"
    if is_image_name(name):
        return "image"
    return "video" if is_video_name(name) else "unknown"
