"""Handlers of the data of a task: forms, TUS, and the end of an upload.

`POST /api/tasks/{id}/data` is distinguished by its headers: `Upload-Start`, `Upload-Multiple` (a
form of some of the files), `Upload-Length` (TUS) and `Upload-Finish`; without them the files are
in this form, or on the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from asynccvat.simulator.formats.data_options import (
    DataOptions,
    InvalidDataOptionsError,
    read_data_options,
)
from asynccvat.simulator.formats.task_data import NamedFiles, find_order_mismatch
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.forms import read_form
from asynccvat.simulator.routes.lookups import find_changeable_task, target_of_task
from asynccvat.simulator.routes.uploads import (
    append_to_upload,
    begin_upload,
    find_upload,
    uploaded_name,
)
from asynccvat.simulator.wire.responses import (
    RefusedError,
    ServerResponse,
    detail,
    encode,
    json_response,
    json_string,
    messages,
    server_error_page,
)
from asynccvat.simulator.world.media import StoredFile
from asynccvat.simulator.world.tasks import Task

_SHARE: Final = "/home/django/share"
_DEFAULT_QUALITY: Final = 50


async def receive_data(call: Call) -> ServerResponse:
    """`POST /api/tasks/{id}/data`: take files, or make the task of them."""
    task = find_changeable_task(call)
    if task.size:
        raise json_string(400, "Adding more data is not supported")
    world, headers = call.backend.world, call.request.headers
    if task.size is None:  # any such call gives the task an empty set of data
        world.change_task(task.id, size=0, data_chunk_size=None, image_quality=_DEFAULT_QUALITY)
    if "Upload-Start" in headers:
        return ServerResponse(202, content_type=None)
    if "Upload-Length" in headers:
        return _begin(call)
    if "Upload-Multiple" in headers:
        await _read_body(call)
        return ServerResponse(200, content_type=None)
    return await _create(call, task)


def _begin(call: Call) -> ServerResponse:
    response = begin_upload(call)
    if response.status == 201:
        name = uploaded_name(call) or response.headers["Upload-Filename"]
        call.backend.task_files.announce(call.number, name)
        upload_id = response.headers["Upload-Filename"]
        call.backend.uploads.rename(upload_id, name)
        response.headers["Upload-Filename"] = name
    return response


async def append_to_data(call: Call) -> ServerResponse:
    """`PATCH /api/tasks/{id}/data/{file}`: append the next piece.

    The last piece of a file with a folder in its name is 500, and the file is lost: seen on 2.64.
    """
    find_changeable_task(call)
    upload = find_upload(call)
    response = await append_to_upload(call)
    is_last = response.status == 204 and upload.complete
    if is_last and not call.backend.task_files.arrived(call.number, upload.name, upload):
        raise server_error_page()
    return response


async def _read_body(call: Call) -> dict[str, Any]:
    """Store the files of a form; return its fields, or those of a body in JSON."""
    if call.request.content_type != "multipart/form-data":
        return await call.json_object()
    limit = call.backend.options.upload_limit

    async def take(field: str, name: str, body: AsyncIterator[bytes]) -> None:
        if not field.startswith("client_files"):
            raise detail(400, f"Unexpected field {field}")
        base = PurePosixPath(name.replace("\\", "/")).name  # Django drops folders
        files, user_id = call.backend.task_files, call.account.user.id
        await files.append(call.number, base, user_id, limit, body)

    return await read_form(call, take)


async def _create(call: Call, task: Task) -> ServerResponse:
    rq_id = f"action=create&target=task&target_id={task.id}"
    given = await _read_body(call)
    if call.backend.registry.under_way(rq_id) is not None:
        return json_response({"rq_id": rq_id}, 409)
    try:
        options = read_data_options(given)
    except InvalidDataOptionsError as error:
        raise RefusedError(ServerResponse(400, encode(error.errors))) from None
    names = call.backend.task_files.of(task.id)
    if options.upload_file_order:
        mismatch = find_order_mismatch(names, options.upload_file_order)
        if mismatch is not None:
            raise messages(400, mismatch)
    number = options.cloud_storage_id
    if number is not None and number not in call.backend.world.cloud_storages:
        raise messages(400, "CloudStorage matching query does not exist.")
    call.backend.world.change_task(
        task.id, image_quality=options.image_quality, data_chunk_size=options.chunk_size
    )
    request = call.backend.creations.submit(
        rq_id,
        call.account.user,
        target_of_task(task),
        files=[*names.items(), *_server_files(call, options)],
        options=options,
    )
    return json_response({"rq_id": request.id}, 202)


def _server_files(call: Call, options: DataOptions) -> NamedFiles:
    """Return the files that lie in a bucket, or on CVAT's share, which is empty here.

    A file that is not there fails when the worker reads it.
    """
    if options.cloud_storage_id is None:
        return [(name, StoredFile(Path(_SHARE, name), 0, 0)) for name in options.server_files]
    storage = call.backend.world.cloud_storages[options.cloud_storage_id]
    paths = [(name, storage.path(name)) for name in options.server_files]
    return [
        (name, StoredFile(path, 0, path.stat().st_size if path.is_file() else 0))
        for name, path in paths
    ]
