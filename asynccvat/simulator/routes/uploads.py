"""Handlers of uploads in pieces, by TUS 1.0.0.

`imports` has the import of a complete file.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final
from urllib.parse import urljoin

from asynccvat.simulator.queues.uploads import UploadedFile, append_piece
from asynccvat.simulator.routes.calls import LARGEST_BODY, Call
from asynccvat.simulator.routes.lookups import find_target
from asynccvat.simulator.wire.responses import (
    RefusedError,
    ServerResponse,
    bad_request_page,
    json_response,
    server_error_page,
)

_TUS_HEADERS: Final = {
    "Tus-Resumable": "1.0.0",
    "Tus-Version": "1.0.0",
    "Tus-Extension": "",
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


def begin_upload(call: Call) -> ServerResponse:
    """`POST` with Upload-Length: begin a file, and return where to send it."""
    headers, limit = call.request.headers, call.backend.options.upload_limit
    try:
        size = int(headers["Upload-Length"])
        _metadata(headers.get("Upload-Metadata", ""))
    except (ValueError, binascii.Error):
        raise server_error_page() from None
    if size > limit:
        return _tus_response(call, 413, f"File size exceeds max limit of {limit} bytes")
    origin = _upload_origin(call)
    upload = call.backend.uploads.begin(upload_place(call), call.account.user.id, size)
    response = _tus_response(call, 201)
    response.headers["Location"] = urljoin(f"{origin}{call.path}", upload.id)
    response.headers["Upload-Filename"] = upload.id
    return response


def uploaded_name(call: Call) -> str:
    """Return the name of the file in Upload-Metadata, or ""."""
    return _metadata(call.request.headers.get("Upload-Metadata", "")).get("filename", "")


def _metadata(value: str) -> dict[str, str]:
    """Read Upload-Metadata: names, each with a string in Base64."""
    items = (item.partition(" ") for item in value.split(",") if item)
    return {name: base64.b64decode(coded).decode() for name, _, coded in items}


def _upload_origin(call: Call) -> str:
    """Return the origin of the file's URL, by default the Origin header."""
    headers = call.request.headers
    is_given = call.backend.options.public_url or any(fault.origin for fault in call.faults)
    if is_given or "X-Forwarded-Host" in headers:
        return call.origin
    if "Origin" not in headers:
        raise server_error_page()
    return headers["Origin"]


async def show_upload(call: Call) -> ServerResponse:
    """`HEAD .../{file}`: show how much has arrived; 404 for a complete file."""
    upload = find_upload(call)
    response = _tus_response(call, 200)
    response.headers["Upload-Offset"] = str(upload.offset)
    response.headers["Upload-Length"] = str(upload.size)
    return response


async def append_to_upload(call: Call) -> ServerResponse:
    """`PATCH .../{file}`: append the next piece."""
    upload = find_upload(call)
    headers = call.request.headers
    length = call.request.content_length
    try:
        offset = int(headers.get("Upload-Offset", "0"))
    except ValueError:
        raise server_error_page() from None
    if offset != upload.offset:
        return _tus_response(call, 409)
    if length is not None and length > LARGEST_BODY:
        raise bad_request_page()
    if offset + (length or 0) > upload.size or not await append_piece(upload, call.pieces()):
        return _tus_response(call, 413)
    response = _tus_response(call, 204)
    response.headers["Upload-Offset"] = str(upload.offset)
    return response


def find_upload(call: Call) -> UploadedFile:
    """Return the incomplete file that the path names.

    Raises:
        RefusedError: There is no such file, it is complete, or another user sends it.
    """
    if call.id is not None:
        find_target(call)
    upload = call.backend.uploads.find(upload_place(call), call.file_id)
    if upload is None or upload.complete:
        raise RefusedError(_tus_response(call, 404))
    if upload.user_id != call.account.user.id:
        raise RefusedError(_tus_response(call, 403))
    return upload


def _tus_response(call: Call, status: int, text: str = "") -> ServerResponse:
    response = ServerResponse(status, content_type=None)
    if text:
        response = json_response(text, status)
    response.headers.update(_TUS_HEADERS)
    response.headers["Tus-Max-Size"] = str(call.backend.options.upload_limit)
    return response


def upload_place(call: Call) -> str:
    """Return the path to which the call uploads, without a slash at its end."""
    return call.path.removesuffix(call.file_id).rstrip("/")
