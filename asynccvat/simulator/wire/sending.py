"""Send responses: headers, compression, files by sendfile, and faults.

`responses` are what the routes return, `downloads` decides which bytes of an archive to send.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from aiohttp import web

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.queues.archives import ArchiveBytes, ArchivePiece
from asynccvat.simulator.wire.downloads import DownloadResponse
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.wire.responses import JSON_TYPE, PACK_FROM, ServerResponse, pack

_PIECE: Final = 1 << 18
"""Bytes of an archive in memory that are written at once."""

_APPLICATION_HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


# --- Responses in memory --------------------------------------------------------------------------


async def send_response(
    response: ServerResponse, request: web.BaseRequest, record: CallRecord, faults: Sequence[Fault]
) -> web.Response:
    """Send a response, as far as the faults let it pass.

    Raises:
        ConnectionResetError: The connection broke, or a fault broke it.
    """
    outgoing = _web_response(response, request)
    await _cut_head(outgoing, request, faults)
    body = outgoing.body if isinstance(outgoing.body, bytes) else b""
    if response.content_type != JSON_TYPE:  # the archives of exports are altered when they are made
        outgoing.body = body = _altered(body, faults)
    limit = _first_offset(faults, len(body), "cut_at")
    if limit is not None and limit < len(body):
        record.bytes_sent = limit
        await _send_cut(outgoing, request, body[:limit])
    record.bytes_sent = len(body)
    await outgoing.prepare(request)
    await outgoing.write_eof()
    return outgoing


def _altered(body: bytes, faults: Sequence[Fault]) -> bytes:
    """Return media with one byte that differs, where a fault says so."""
    for fault in faults:
        at = fault.alter_at
        if at is not None and at < len(body):
            body = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
    return body


def _web_response(response: ServerResponse, request: web.BaseRequest) -> web.Response:
    headers = {"Server": "nginx", **response.headers}
    if not response.by_nginx:
        headers |= _APPLICATION_HEADERS
        headers["X-Request-Id"] = str(uuid.UUID(int=_request_number()))
    body = response.body
    is_packable = len(body) >= PACK_FROM and response.status < 500 and not response.by_nginx
    if not response.by_nginx:
        names = "Origin, Cookie" if response.bare else "Accept, Origin, Cookie"
        headers["Vary"] = (
            names.replace("Accept", "Accept, Accept-Encoding") if is_packable else names
        )
    if is_packable and "gzip" in request.headers.get("Accept-Encoding", ""):
        body = response.packed if response.packed is not None else pack(body)
        headers["Content-Encoding"] = "gzip"
    outgoing = web.Response(body=body, status=response.status)
    if response.content_type is not None:
        outgoing.headers["Content-Type"] = response.content_type
    outgoing.headers.update(headers)
    for cookie in response.cookies:
        outgoing.headers.add("Set-Cookie", cookie)
    return outgoing


_numbers = iter(range(1, 1 << 62))


def _request_number() -> int:
    return (next(_numbers) << 64) | (4 << 76) | (2 << 62)


async def _send_cut(response: web.Response, request: web.BaseRequest, start: bytes) -> None:
    """Send the headers and the start of the body, and close the connection."""
    cut = web.StreamResponse(status=response.status)
    cut.headers.update(response.headers)
    cut.content_length = response.content_length
    await cut.prepare(request)
    await cut.write(start)
    if request.transport is not None:
        request.transport.close()
    raise ConnectionResetError("cut by a scripted fault")


# --- Downloads ------------------------------------------------------------------------------------


async def send_download(
    download: DownloadResponse, request: web.BaseRequest, record: CallRecord
) -> web.StreamResponse:
    """Send a download, and record how many bytes were sent.

    Raises:
        ConnectionResetError: The connection broke, or a fault broke it.
    """
    response = web.StreamResponse(status=download.status)
    response.headers.update(download.headers)
    response.headers["Server"] = "nginx"
    if download.status != 304:
        response.content_length = download.promised
    await _cut_head(response, request, download.faults)
    await response.prepare(request)
    limit = _first_offset(download.faults, download.length, "cut_at", "stall_at", "trickle_at")
    if download.promised < download.length:
        limit = min(download.promised, download.length if limit is None else limit)
    for piece in _pieces(download.parts, limit):
        await _send_piece(piece, response, request, record)
    if download.promised != download.length or (limit is not None and limit < download.length):
        await _send_faulty_rest(download, limit or 0, response, request)
    await response.write_eof()
    return response


async def _cut_head(
    response: web.StreamResponse, request: web.BaseRequest, faults: Sequence[Fault]
) -> None:
    """Cut the response within its status line and headers if a fault says so.

    Raises:
        ConnectionResetError: A fault closed the connection.
    """
    at = _first_offset(faults, 0, "cut_head_at")
    if at is None or request.transport is None:
        return
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    request.transport.write("\r\n".join([*lines, "", ""]).encode()[:at])
    request.transport.close()
    raise ConnectionResetError("cut by a scripted fault")


def _first_offset(faults: Sequence[Fault], length: int, *names: str) -> int | None:
    """Return the lowest offset that these attributes of faults name, or None.

    Negative ones count from the end of `length` bytes.
    """
    places = [getattr(fault, name) for fault in faults for name in names]
    return min(
        (place if place >= 0 else max(0, length + place) for place in places if place is not None),
        default=None,
    )


def _pieces(parts: list[ArchiveBytes], limit: int | None) -> Iterator[ArchivePiece]:
    for part in parts:
        taken = part if limit is None else part.part(0, limit)
        if limit is not None:
            limit -= taken.size
        yield from taken.pieces


async def _send_piece(
    piece: ArchivePiece, response: web.StreamResponse, request: web.BaseRequest, record: CallRecord
) -> None:
    # Bytes are recorded first: a client that received them all may look at the record at once.
    if piece.path is None:
        for start in range(piece.start, piece.start + piece.length, _PIECE):
            data = piece.data[start : min(start + _PIECE, piece.start + piece.length)]
            record.bytes_sent += len(data)
            await response.write(data)
        return
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has disconnected")
    loop = asyncio.get_running_loop()
    file = await asyncio.to_thread(piece.path.open, "rb")
    before = record.bytes_sent
    record.bytes_sent += piece.length
    try:
        await loop.sendfile(transport, file, piece.start, piece.length)
    except BaseException:
        # asyncio leaves the file at the first byte that was not sent.
        record.bytes_sent = before + max(0, file.tell() - piece.start)
        raise
    finally:
        await asyncio.to_thread(file.close)


async def _send_faulty_rest(
    download: DownloadResponse, sent: int, response: web.StreamResponse, request: web.BaseRequest
) -> None:
    """Let the rest of a body stall, trickle or end, as faults say."""
    cut, stall, trickle = (
        _first_offset(download.faults, download.length, name)
        for name in ("cut_at", "stall_at", "trickle_at")
    )
    transport = request.transport
    if download.promised < download.length and sent == download.promised:
        # aiohttp sends no bytes past the Content-Length.
        for piece in download.after(sent):
            if transport is not None:
                transport.write(ArchiveBytes((piece,)).read())
    elif stall == sent and cut != sent:
        while transport is not None and not transport.is_closing():
            await asyncio.sleep(0.02)
            transport = request.transport
    elif trickle == sent and cut != sent:
        pause = next(one.pause for one in download.faults if one.trickle_at is not None)
        for piece in download.after(sent):
            for byte in ArchiveBytes((piece,)).read():
                await response.write(bytes([byte]))
                await asyncio.sleep(pause)
        return
    if transport is not None:
        transport.set_write_buffer_limits(0)  # so that the drain below waits for the last byte
        await response.write(b"")
        transport.close()
    raise ConnectionResetError("cut by a scripted fault")
