"""The bytes of results, as nginx sends them: whole, by ranges, or not again.

`choose` decides by the headers of a call which part of an archive is due (RFC 9110 as nginx 1.24
has it); `send` puts it on the wire, files by sendfile. Whether the caller may have it is the
business of `routes_exports`, and the archive itself that of `making`.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from typing import Final
from urllib.parse import quote

from aiohttp import web

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.queues.archives import Archive, Piece
from asynccvat.simulator.queues.requests import Result
from asynccvat.simulator.wire.records import CallRecord
from asynccvat.simulator.wire.responses import Answer, nginx_page, pack

_PIECE: Final = 1 << 18


# --- Which part is due ----------------------------------------------------------------------------


@dataclass(slots=True)
class Download:
    """What is sent for a download: headers, and the parts of the archive.

    Attributes:
        status: 200, 206 or 304.
        headers: All headers but the length.
        parts: What the body is made of: text between ranges, and archives.
        faults: What goes wrong while they are sent.
    """

    status: int
    headers: dict[str, str]
    parts: list[Archive] = field(default_factory=list)
    faults: Sequence[Fault] = ()

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(part.size for part in self.parts)

    @property
    def promised(self) -> int:
        """Bytes that its Content-Length tells of."""
        return max(0, self.length + sum(fault.promise for fault in self.faults))

    def after(self, start: int) -> Iterator[Piece]:
        """The body from an offset on."""
        for part in self.parts:
            yield from part.part(start, part.size).pieces
            start = max(0, start - part.size)


_boundaries = itertools.count(335)


def choose(
    archive: Archive,
    result: Result,
    headers: Mapping[str, str],
    *,
    ignore_range: bool = False,
    compress: bool = False,
) -> Download | Answer:
    """What a download gets: the whole (200), ranges (206), nothing new (304), or 416.

    Args:
        archive: The bytes.
        result: Whose bytes they are.
        headers: The headers of the call.
        ignore_range: Send the whole, whatever was asked.
        compress: Send the whole, packed.
    """
    etag = f'"{result.modified:x}-{archive.size:x}"'
    modified = formatdate(result.modified, usegmt=True)
    common = {
        "Last-Modified": modified,
        "Content-Disposition": disposition(result.file_name),
        "ETag": etag,
    }
    if _is_unchanged(headers, etag, result.modified):
        return Download(304, common)
    whole = {"Content-Type": "application/zip", **common, "Accept-Ranges": "bytes"}
    wanted = headers.get("Range")
    if compress:
        return packed(archive, whole)
    if (
        wanted is None
        or ignore_range
        or not _if_range_holds(headers.get("If-Range"), etag, result.modified)
    ):
        return Download(200, whole, [archive])
    ranges = read_ranges(wanted, archive.size)
    if ranges is None:
        return Download(200, whole, [archive])
    if not ranges:
        answer = nginx_page(416)
        answer.headers["Content-Range"] = f"bytes */{archive.size}"
        answer.headers["Content-Disposition"] = disposition(result.file_name)
        return answer
    if len(ranges) == 1:
        ((start, length),) = ranges
        content_range = f"bytes {start}-{start + length - 1}/{archive.size}"
        partial = {"Content-Type": "application/zip", **common, "Content-Range": content_range}
        return Download(206, partial, [archive.part(start, length)])
    return _multipart(archive, ranges, common)


def packed(archive: Archive, whole: Mapping[str, str]) -> Download:
    """All of an archive, as a proxy sends it that packs everything, asked to or not."""
    data = pack(archive.read())
    headers = {name: value for name, value in whole.items() if name != "Accept-Ranges"}
    headers |= {"Content-Encoding": "gzip", "ETag": "W/" + headers["ETag"]}
    return Download(200, headers, [Archive((Piece(0, len(data), data),))])


def _multipart(archive: Archive, ranges: list[tuple[int, int]], common: dict[str, str]) -> Download:
    boundary = f"{next(_boundaries):020d}"
    parts: list[Archive] = []
    for start, length in ranges:
        head = (
            f"\r\n--{boundary}\r\nContent-Type: application/zip\r\n"
            f"Content-Range: bytes {start}-{start + length - 1}/{archive.size}\r\n\r\n"
        ).encode()
        parts += [Archive((Piece(0, len(head), head),)), archive.part(start, length)]
    tail = f"\r\n--{boundary}--\r\n".encode()
    parts.append(Archive((Piece(0, len(tail), tail),)))
    content_type = f"multipart/byteranges; boundary={boundary}"
    return Download(206, {"Content-Type": content_type, **common}, parts)


def read_ranges(value: str, size: int) -> list[tuple[int, int]] | None:
    """Start and length of each range of a Range header.

    Returns:
        None where the whole is due: another unit than bytes, or ranges longer than the whole
        together. An empty list where no range can be satisfied or read (416).
    """
    unit, equals, text = value.partition("=")
    if unit.strip().lower() != "bytes" or not equals:
        return None
    ranges: list[tuple[int, int]] = []
    for item in text.split(","):
        first, dash, last = item.strip().partition("-")
        if not dash or not (first or last) or not (first + last).isascii():
            return []
        if not (first or "0").isdecimal() or not (last or "0").isdecimal():
            return []
        if not first:
            start, end = max(0, size - int(last)), size - 1
        else:
            start, end = int(first), min(int(last), size - 1) if last else size - 1
        if last and first and int(last) < int(first):
            return []
        if start <= end and start < size:
            ranges.append((start, end - start + 1))
    return None if sum(length for _, length in ranges) > size else ranges


def _is_unchanged(headers: Mapping[str, str], etag: str, modified: int) -> bool:
    known = headers.get("If-None-Match")
    if known is not None:
        return known == "*" or etag in (item.strip() for item in known.split(","))
    since = headers.get("If-Modified-Since")
    return since is not None and _seconds(since) == modified  # nginx: exact


def _if_range_holds(value: str | None, etag: str, modified: int) -> bool:
    if value is None:
        return True
    if value.startswith('"'):
        return value == etag
    return _seconds(value) == modified


def _seconds(date: str) -> int | None:
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (TypeError, ValueError):
        return None


@functools.lru_cache(maxsize=4096)
def disposition(file_name: str) -> str:
    """Content-Disposition, as Django writes it."""
    escaped = file_name.replace("\\", "\\\\").replace('"', '\\"')
    if escaped.isascii():
        return f'attachment; filename="{escaped}"'
    return f"attachment; filename*=utf-8''{quote(file_name)}"


# --- On the wire ----------------------------------------------------------------------------------


async def send(
    download: Download, request: web.BaseRequest, record: CallRecord
) -> web.StreamResponse:
    """Send it, and record how many bytes went out.

    Raises:
        ConnectionResetError: The connection broke, or a fault broke it.
    """
    response = web.StreamResponse(status=download.status)
    response.headers.update(download.headers)
    response.headers["Server"] = "nginx"
    if download.status != 304:
        response.content_length = download.promised
    await cut_head(response, request, download.faults)
    await response.prepare(request)
    limit = first_place(download.faults, download.length, "cut_at", "stall_at", "trickle_at")
    if download.promised < download.length:
        limit = min(download.promised, download.length if limit is None else limit)
    for piece in _pieces(download.parts, limit):
        await _send_piece(piece, response, request, record)
    if download.promised != download.length or (limit is not None and limit < download.length):
        await _go_wrong(download, limit or 0, response, request)
    await response.write_eof()
    return response


async def cut_head(
    response: web.StreamResponse, request: web.BaseRequest, faults: Sequence[Fault]
) -> None:
    """Send only the beginning of the status line and headers, where a fault says so.

    Raises:
        ConnectionResetError: It did.
    """
    at = first_place(faults, 0, "cut_head_at")
    if at is None or request.transport is None:
        return
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    request.transport.write("\r\n".join([*lines, "", ""]).encode()[:at])
    request.transport.close()
    raise ConnectionResetError("cut by a scripted fault")


def first_place(faults: Sequence[Fault], length: int, *names: str) -> int | None:
    """The first place of so many bytes at which faults of these kinds strike."""
    places = [getattr(fault, name) for fault in faults for name in names]
    return min(
        (place if place >= 0 else max(0, length + place) for place in places if place is not None),
        default=None,
    )


def _pieces(parts: list[Archive], limit: int | None) -> Iterator[Piece]:
    for part in parts:
        taken = part if limit is None else part.part(0, limit)
        if limit is not None:
            limit -= taken.size
        yield from taken.pieces


async def _send_piece(
    piece: Piece, response: web.StreamResponse, request: web.BaseRequest, record: CallRecord
) -> None:
    # Bytes are recorded first: whoever received them all may look at the record at once.
    if piece.path is None:
        for start in range(piece.start, piece.start + piece.length, _PIECE):
            data = piece.data[start : min(start + _PIECE, piece.start + piece.length)]
            record.bytes_sent += len(data)
            await response.write(data)
        return
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    loop = asyncio.get_running_loop()
    file = await asyncio.to_thread(piece.path.open, "rb")
    before = record.bytes_sent
    record.bytes_sent += piece.length
    try:
        await loop.sendfile(transport, file, piece.start, piece.length)
    except BaseException:
        # asyncio leaves the file where it stopped.
        record.bytes_sent = before + max(0, file.tell() - piece.start)
        raise
    finally:
        await asyncio.to_thread(file.close)


async def _go_wrong(
    download: Download, sent: int, response: web.StreamResponse, request: web.BaseRequest
) -> None:
    """What happens once the first bytes of a body are out: they stall, trickle, or just end."""
    cut, stall, trickle = (
        first_place(download.faults, download.length, name)
        for name in ("cut_at", "stall_at", "trickle_at")
    )
    transport = request.transport
    if download.promised < download.length and sent == download.promised:
        # Behind the promised bytes aiohttp would send none.
        for piece in download.after(sent):
            if transport is not None:
                transport.write(Archive((piece,)).read())
    elif stall == sent and cut != sent:
        while transport is not None and not transport.is_closing():
            await asyncio.sleep(0.02)
            transport = request.transport
    elif trickle == sent and cut != sent:
        pause = next(one.pause for one in download.faults if one.trickle_at is not None)
        for piece in download.after(sent):
            for byte in Archive((piece,)).read():
                await response.write(bytes([byte]))
                await asyncio.sleep(pause)
        return
    if transport is not None:
        transport.set_write_buffer_limits(0)  # then the drain below waits for the last byte
        await response.write(b"")
        transport.close()
    raise ConnectionResetError("cut by a scripted fault")
