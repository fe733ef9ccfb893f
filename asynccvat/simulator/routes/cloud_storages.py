"""Handlers of cloud storages: their list, their state, and what lies in them."""

from __future__ import annotations

from typing import Any, Final

from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.paging import cut_page, list_response
from asynccvat.simulator.routes.serializers import user_json
from asynccvat.simulator.wire.responses import (
    ServerResponse,
    json_response,
    messages,
    no_such,
)
from asynccvat.simulator.world.dates import stamp
from asynccvat.simulator.world.storages import CloudStorage

_PAGE_SIZE: Final = 500


async def list_cloud_storages(call: Call) -> ServerResponse:
    """`GET /api/cloudstorages`: list them."""
    page = cut_page(list(call.backend.world.storages.values()), call.query)
    rows: list[object] = [_storage_json(storage, call.origin) for storage in page.rows]
    return list_response(call, page, rows)


async def show_cloud_storage(call: Call) -> ServerResponse:
    """`GET /api/cloudstorages/{id}`: show one."""
    return json_response(_storage_json(_find(call), call.origin))


async def show_status(call: Call) -> ServerResponse:
    """`GET /api/cloudstorages/{id}/status`: tell whether the server reaches it."""
    return json_response("AVAILABLE" if _find(call).available else "NOT_FOUND")


async def show_content(call: Call) -> ServerResponse:
    """`GET /api/cloudstorages/{id}/content-v2`: list one level below a prefix, by pages."""
    storage = _find(call)
    prefix = call.query.get("prefix", "")
    names: dict[str, bool] = {}
    for key in storage.objects():
        if key.startswith(prefix):
            name, slash, _ = key.removeprefix(prefix).partition("/")
            names[name] = names.get(name, False) or bool(slash)
    wanted = call.query.get("page_size", "")
    size = int(wanted) if wanted.isdecimal() and int(wanted) > 0 else _PAGE_SIZE
    rows = sorted(names.items(), key=lambda item: (not item[1], item[0]))
    start = int(call.query.get("next_token") or 0)
    content = [
        {"name": name, "type": "DIR", "mime_type": "DIR"}
        if is_folder
        else {
            "name": name,
            "type": "REG",
            "mime_type": "archive" if name.endswith(".zip") else "unknown",
        }
        for name, is_folder in rows[start : start + size]
    ]
    following = str(start + size) if start + size < len(rows) else None
    return json_response({"next": following, "content": content})


def wanted_storage(call: Call) -> CloudStorage | None:
    """Return the storage that an export is to be written to; None for a download.

    Raises:
        RefusedError: There is no such storage.
    """
    if call.query.get("location", "local") != "cloud_storage":
        return None
    text = call.query.get("cloud_storage_id", "")
    storage = call.backend.world.storages.get(int(text)) if text.isdecimal() else None
    if storage is None:
        raise messages(400, "CloudStorage matching query does not exist.")
    return storage


def _find(call: Call) -> CloudStorage:
    storage = call.backend.world.storages.get(call.number)
    if storage is None:
        raise no_such("CloudStorage")
    return storage


def _storage_json(storage: CloudStorage, origin: str) -> dict[str, Any]:
    return {
        "id": storage.id,
        "owner": user_json(storage.owner, origin),
        "manifests": [],
        "created_date": stamp(storage.created),
        "updated_date": stamp(storage.created),
        "provider_type": "AWS_S3_BUCKET",
        "resource": storage.folder.name,
        "display_name": storage.name,
        "credentials_type": "KEY_SECRET_KEY_PAIR",
        "specific_attributes": "",
        "description": "",
        "organization": None,
    }
