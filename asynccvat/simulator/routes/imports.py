"""Handlers of imports and restores: a file in a form, or the end of a TUS upload.

A `POST` is distinguished by its headers: `Upload-Start`, `Upload-Length` and
`Upload-Finish` are TUS with CVAT's two further calls; without them the file is in a form.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Final

import aiohttp

from asynccvat.simulator.queues.requests import RequestTarget, TargetKind
from asynccvat.simulator.queues.uploads import LARGEST_FILE, UploadedFile, append_piece
from asynccvat.simulator.routes.about import IMPORT_FORMATS
from asynccvat.simulator.routes.calls import Call
from asynccvat.simulator.routes.lookups import cloud_storage_of_query, find_target
from asynccvat.simulator.routes.permissions import check_may_create, check_quota
from asynccvat.simulator.routes.uploads import begin_upload, upload_place
from asynccvat.simulator.wire.responses import (
    ServerResponse,
    detail,
    field_error,
    json_response,
    messages,
)
from asynccvat.simulator.world.clouds import CloudStorage

_PIECE: Final = 1 << 16
_FIELDS: Final = {"annotations": "annotation_file", "dataset": "dataset_file"}
_NO_FILE: Final = "No such file were uploaded"


async def upload_annotations(call: Call) -> ServerResponse:
    """`POST /api/{tasks|jobs}/{id}/annotations`: begin or finish an upload."""
    find_target(call)
    return _begun(call) or await _import(call)


async def upload_dataset(call: Call) -> ServerResponse:
    """`POST /api/projects/{id}/dataset`: begin or finish the upload of a dataset."""
    check_may_create(call)
    return await upload_annotations(call)


async def upload_backup(call: Call) -> ServerResponse:
    """`POST /api/{tasks|projects}/backup`: begin or finish the upload of a backup."""
    check_may_create(call)
    check_quota(call, "project" if call.path.split("/")[2] == "projects" else "task")
    return _begun(call) or await _restore(call)


def _begun(call: Call) -> ServerResponse | None:
    """Answer the two calls that begin a TUS upload; None for its end, or a form."""
    headers = call.request.headers
    if "Upload-Finish" in headers:
        return None
    if "Upload-Start" in headers:
        return ServerResponse(202, content_type=None)
    return begin_upload(call) if "Upload-Length" in headers else None


async def _restore(call: Call) -> ServerResponse:
    """Start the restore of a file from TUS or from this form."""
    _check_location(call)
    is_project = call.path.split("/")[2] == "projects"
    upload = _uploaded_file(call)
    if upload is None:
        upload = await _file_of_form(call, "project_file" if is_project else "task_file")
    organization_id = call.organization_id
    kind: TargetKind = "project" if is_project else "task"
    request = call.backend.imports.submit_restore(
        upload, call.account.user, RequestTarget(kind, organization_id=organization_id)
    )
    return json_response({"rq_id": request.id}, 202)


async def _import(call: Call) -> ServerResponse:
    """Start the import of a file from TUS or from this form."""
    target = find_target(call)
    _check_location(call)
    upload = _uploaded_file(call)
    format_name = call.query.get("format", "")
    if format_name not in IMPORT_FORMATS:
        raise messages(400, f"Unknown input format {format_name!r}")
    subresource = "dataset" if target.kind == "project" else "annotations"
    rq_id = f"action=import&target={target.kind}&target_id={call.number}&subresource={subresource}"
    if call.backend.registry.under_way(rq_id) is not None:
        return json_response({"rq_id": rq_id}, 409)
    request = call.backend.imports.submit(
        rq_id,
        upload or await _file_of_form(call, _FIELDS[subresource]),
        call.account.user,
        target,
        format_name=format_name,
    )
    return json_response({"rq_id": request.id}, 202)


def _check_location(call: Call) -> None:
    if call.query.get("location") == "cloud_storage" and "filename" not in call.query:
        raise messages(400, "The filename was not specified")
    cloud_storage_of_query(call)


def _uploaded_file(call: Call) -> UploadedFile | None:
    """Return the file that came by TUS, or lies in a bucket; None if it is in the form.

    The parameter `filename` has its id or its key.
    """
    name = call.query.get("filename")
    if not name:
        return None
    storage = cloud_storage_of_query(call)
    if storage is not None:
        return _copied(call, storage, name)
    upload = call.backend.uploads.find(upload_place(call), name)
    if upload is None or upload.user_id != call.account.user.id:
        raise messages(400, _NO_FILE)
    return upload


def _copied(call: Call, storage: CloudStorage, key: str) -> UploadedFile:
    """Copy an object of a bucket, as the worker does; one that is not there comes out empty."""
    upload = call.backend.uploads.begin("", call.account.user.id, 0)
    with contextlib.suppress(FileNotFoundError, ValueError):
        shutil.copyfile(storage.path(key), upload.path)
    upload.size = upload.offset = upload.path.stat().st_size
    return upload


async def _file_of_form(call: Call, name: str) -> UploadedFile:
    """Store the file of the form that is called `name`."""
    if call.request.content_type != "multipart/form-data":
        if call.request.content_type == "application/json" or not call.request.body_exists:
            raise field_error(name, "No file was submitted.")
        raise detail(415, f'Unsupported media type "{call.request.content_type}" in request.')
    uploads = call.backend.uploads
    upload = uploads.begin(upload_place(call), call.account.user.id, LARGEST_FILE)
    try:
        await _read_form(call, name, upload)
    except BaseException:
        uploads.discard(upload)
        raise
    return upload


async def _chunks(call: Call, part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_PIECE):
        call.count_received(piece)
        yield piece


async def _read_form(call: Call, name: str, upload: UploadedFile) -> None:
    try:
        form = aiohttp.MultipartReader(call.request.headers, call.request.content)
        while (part := await form.next()) is not None:
            if isinstance(part, aiohttp.BodyPartReader) and part.name == name:
                break
        else:
            raise field_error(name, "No file was submitted.")
        if part.filename is None:
            raise field_error(
                name, "The submitted data was not a file. Check the encoding type on the form."
            )
        await append_piece(upload, _chunks(call, part))
    except ValueError as error:
        raise detail(400, f"Multipart form parse error - {error}") from None
    if not upload.offset:
        raise field_error(name, "The submitted file is empty.")
    upload.size = upload.offset
