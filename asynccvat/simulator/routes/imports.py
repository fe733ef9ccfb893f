"""Handlers of uploads: a file at once, or by TUS in pieces, and the import that reads it.

`POST .../annotations` is told apart by its headers: `Upload-Start`, `Upload-Length` and
`Upload-Finish` are TUS with CVAT's two further calls; without them the file is in a form.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urljoin

import aiohttp

from asynccvat.simulator.queues.uploads import LARGEST_FILE, Upload, receive
from asynccvat.simulator.routes.about import IMPORT_FORMATS
from asynccvat.simulator.routes.calls import LARGEST_BODY, Call
from asynccvat.simulator.routes.exports import find_target
from asynccvat.simulator.wire.responses import (
    Answer,
    RefusedError,
    bad_request_page,
    detail,
    field_error,
    json_answer,
    messages,
    server_error_page,
)

_TUS_HEADERS: Final = {
    "Tus-Resumable": "1.0.0",
    "Tus-Version": "1.0.0",
    "Tus-Extension": "",
    "Tus-Max-Size": str(LARGEST_FILE),
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "PATCH,HEAD,GET,POST,OPTIONS",
    "Access-Control-Expose-Headers": (
        "Tus-Resumable,upload-length,upload-metadata,Location,Upload-Offset"
    ),
    "Access-Control-Allow-Headers": (
        "Tus-Resumable,upload-length,upload-metadata,Location,Upload-Offset,content-type"
    ),
    "Cache-Control": "no-store",
}

_PIECE: Final = 1 << 16
_NO_FILE: Final = "No such file were uploaded"


async def upload_annotations(call: Call) -> Answer:
    """`POST /api/{tasks|jobs}/{id}/annotations`."""
    find_target(call)
    headers = call.request.headers
    if "Upload-Finish" in headers:
        return await _import(call)
    if "Upload-Start" in headers:
        return Answer(202, content_type=None)
    if "Upload-Length" in headers:
        return _begin(call)
    return await _import(call)


# --- TUS ------------------------------------------------------------------------------------------


def _begin(call: Call) -> Answer:
    """A file of so many bytes is announced: where its pieces go, and what it is called."""
    headers = call.request.headers
    try:
        size = int(headers["Upload-Length"])
        _metadata(headers.get("Upload-Metadata", ""))
    except (ValueError, binascii.Error):
        raise server_error_page() from None
    if size > LARGEST_FILE:
        return _tus_answer(413, f"File size exceeds max limit of {LARGEST_FILE} bytes")
    origin = _upload_origin(call)
    upload = call.backend.uploads.begin(_place(call), call.account.user.id, size)
    answer = _tus_answer(201)
    answer.headers["Location"] = urljoin(f"{origin}{call.path}", upload.id)
    answer.headers["Upload-Filename"] = upload.id
    return answer


def _metadata(value: str) -> dict[str, str]:
    """Upload-Metadata: names, each with a text in Base64."""
    items = (item.partition(" ") for item in value.split(",") if item)
    return {name: base64.b64decode(coded).decode() for name, _, coded in items}


def _upload_origin(call: Call) -> str:
    """The origin of the file's address: unlike other links, from the Origin header first."""
    headers = call.request.headers
    is_given = call.backend.options.public_url or any(fault.origin for fault in call.faults)
    if is_given or "X-Forwarded-Host" in headers:
        return call.origin
    if "Origin" not in headers:
        raise server_error_page()
    return headers["Origin"]


async def show_upload(call: Call) -> Answer:
    """`HEAD .../annotations/{file}`: how much has come. A whole file is none any more."""
    upload = _upload(call)
    answer = _tus_answer(200)
    answer.headers["Upload-Offset"] = str(upload.offset)
    answer.headers["Upload-Length"] = str(upload.size)
    return answer


async def append_to_upload(call: Call) -> Answer:
    """`PATCH .../annotations/{file}`: the next piece."""
    upload = _upload(call)
    headers = call.request.headers
    length = call.request.content_length
    try:
        offset = int(headers.get("Upload-Offset", "0"))
    except ValueError:
        raise server_error_page() from None
    if offset != upload.offset:
        return _tus_answer(409)
    if length is not None and length > LARGEST_BODY:
        raise bad_request_page()
    if offset + (length or 0) > upload.size or not await receive(upload, call.pieces()):
        return _tus_answer(413)
    answer = _tus_answer(204)
    answer.headers["Upload-Offset"] = str(upload.offset)
    return answer


def _upload(call: Call) -> Upload:
    """The file of the path, still on its way."""
    find_target(call)
    upload = call.backend.uploads.find(_place(call), call.file_id)
    if upload is None or upload.complete:
        raise RefusedError(_tus_answer(404))
    if upload.user_id != call.account.user.id:
        raise RefusedError(_tus_answer(403))
    return upload


def _tus_answer(status: int, text: str = "") -> Answer:
    answer = Answer(status, content_type=None, headers=dict(_TUS_HEADERS))
    if text:
        answer = json_answer(text, status)
        answer.headers.update(_TUS_HEADERS)
    return answer


def _place(call: Call) -> str:
    """What the file is for: the path of the annotations."""
    return "/".join(call.path.split("/")[:5])


# --- The import -----------------------------------------------------------------------------------


async def _import(call: Call) -> Answer:
    """The file is there, by TUS or in the form of this very call: have it read."""
    target, project_id, task_id, job_id = find_target(call)
    assert task_id is not None, "only tasks and jobs take annotations"
    _check_location(call)
    upload = _finished(call)
    format_name = call.query.get("format", "")
    if format_name not in IMPORT_FORMATS:
        raise messages(400, f"Unknown input format {format_name!r}")
    rq_id = f"action=import&target={target}&target_id={call.number}&subresource=annotations"
    if call.backend.registry.under_way(rq_id) is not None:
        return json_answer({"rq_id": rq_id}, 409)
    request = call.backend.imports.submit(
        rq_id,
        upload or await _file_of_form(call),
        call.account.user,
        target=target,
        format_name=format_name,
        project_id=project_id,
        task_id=task_id,
        job_id=job_id,
    )
    return json_answer({"rq_id": request.id}, 202)


def _check_location(call: Call) -> None:
    location = call.query.get("location", "local")
    if location == "local":
        return
    if location != "cloud_storage":
        raise messages(400, f"{location!r} is not a valid Location")
    if "filename" not in call.query:
        raise messages(400, "The filename was not specified")
    raise messages(400, "CloudStorage matching query does not exist.")


def _finished(call: Call) -> Upload | None:
    """The file that came by TUS, as `filename` calls it; None if it is in the form."""
    name = call.query.get("filename")
    if not name:
        return None
    upload = call.backend.uploads.find(_place(call), name)
    if upload is None or upload.user_id != call.account.user.id:
        raise messages(400, _NO_FILE)
    return upload


async def _file_of_form(call: Call) -> Upload:
    """The file `annotation_file` of a form, on its way to the disk."""
    name = "annotation_file"
    if call.request.content_type != "multipart/form-data":
        if call.request.content_type == "application/json" or not call.request.body_exists:
            raise field_error(name, "No file was submitted.")
        raise detail(415, f'Unsupported media type "{call.request.content_type}" in request.')
    uploads = call.backend.uploads
    upload = uploads.begin(_place(call), call.account.user.id, LARGEST_FILE)
    try:
        await _read_form(call, name, upload)
    except BaseException:
        uploads.discard(upload)
        raise
    return upload


async def _file(call: Call, part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while piece := await part.read_chunk(_PIECE):
        call.count_received(piece)
        yield piece


async def _read_form(call: Call, name: str, upload: Upload) -> None:
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
        await receive(upload, _file(call, part))
    except ValueError as error:
        raise detail(400, f"Multipart form parse error - {error}") from None
    if not upload.offset:
        raise field_error(name, "The submitted file is empty.")
    upload.size = upload.offset
