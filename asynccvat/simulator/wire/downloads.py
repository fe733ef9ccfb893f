"""Which bytes of an archive a download gets: the whole, ranges, or nothing new.

`choose` follows RFC 9110 as nginx 1.24 implements it. `sending` puts the bytes on the wire,
`queues.archives` has the archive, and `routes.exports` decides who may have it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from urllib.parse import quote

from asynccvat.simulator.faults import Fault
from asynccvat.simulator.queues.archives import ArchiveBytes, ArchivePiece
from asynccvat.simulator.queues.requests import ExportResult
from asynccvat.simulator.wire.responses import ServerResponse, nginx_page, pack


@dataclass(slots=True)
class DownloadResponse:
    """The response to a download: headers, and parts of the archive.

    Attributes:
        status: 200, 206 or 304.
        headers: All headers except the length.
        parts: The parts of the body: archives, and the text between ranges.
        faults: Faults that strike while the body is sent.
    """

    status: int
    headers: dict[str, str]
    parts: list[ArchiveBytes] = field(default_factory=list)
    faults: Sequence[Fault] = ()

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(part.size for part in self.parts)

    @property
    def promised(self) -> int:
        """Its Content-Length, which a fault may make wrong."""
        return max(0, self.length + sum(fault.promise for fault in self.faults))

    def after(self, start: int) -> Iterator[ArchivePiece]:
        """Yield the body from an offset on."""
        for part in self.parts:
            yield from part.part(start, part.size).pieces
            start = max(0, start - part.size)


_boundaries = itertools.count(335)


def choose(
    archive: ArchiveBytes,
    result: ExportResult,
    headers: Mapping[str, str],
    *,
    ignore_range: bool = False,
    compress: bool = False,
) -> DownloadResponse | ServerResponse:
    """Choose the response: the whole (200), ranges (206), not modified (304), or 416.

    Args:
        archive: The bytes of the archive.
        result: The result of which it is the archive.
        headers: The headers of the call.
        ignore_range: Whether to send the whole despite a Range.
        compress: Whether to send the whole, compressed.
    """
    etag = f'"{result.modified:x}-{archive.size:x}"'
    modified = formatdate(result.modified, usegmt=True)
    common = {
        "Last-Modified": modified,
        "Content-Disposition": disposition(result.file_name),
        "ETag": etag,
    }
    if _is_unchanged(headers, etag, result.modified):
        return DownloadResponse(304, common)
    whole = {"Content-Type": "application/zip", **common, "Accept-Ranges": "bytes"}
    wanted = headers.get("Range")
    if compress:
        return _compressed(archive, whole)
    if (
        wanted is None
        or ignore_range
        or not _if_range_holds(headers.get("If-Range"), etag, result.modified)
    ):
        return DownloadResponse(200, whole, [archive])
    ranges = read_ranges(wanted, archive.size)
    if ranges is None:
        return DownloadResponse(200, whole, [archive])
    if not ranges:
        response = nginx_page(416)
        response.headers["Content-Range"] = f"bytes */{archive.size}"
        response.headers["Content-Disposition"] = disposition(result.file_name)
        return response
    if len(ranges) == 1:
        ((start, length),) = ranges
        content_range = f"bytes {start}-{start + length - 1}/{archive.size}"
        partial = {"Content-Type": "application/zip", **common, "Content-Range": content_range}
        return DownloadResponse(206, partial, [archive.part(start, length)])
    return _multipart(archive, ranges, common)


def _compressed(archive: ArchiveBytes, whole: Mapping[str, str]) -> DownloadResponse:
    """Return the whole archive compressed, as a proxy does that compresses everything."""
    data = pack(archive.read())
    headers = {name: value for name, value in whole.items() if name != "Accept-Ranges"}
    headers |= {"Content-Encoding": "gzip", "ETag": "W/" + headers["ETag"]}
    return DownloadResponse(200, headers, [ArchiveBytes((ArchivePiece(0, len(data), data),))])


def _multipart(
    archive: ArchiveBytes, ranges: list[tuple[int, int]], common: dict[str, str]
) -> DownloadResponse:
    boundary = f"{next(_boundaries):020d}"
    parts: list[ArchiveBytes] = []
    for start, length in ranges:
        head = (
            f"\r\n--{boundary}\r\nContent-Type: application/zip\r\n"
            f"Content-Range: bytes {start}-{start + length - 1}/{archive.size}\r\n\r\n"
        ).encode()
        parts += [ArchiveBytes((ArchivePiece(0, len(head), head),)), archive.part(start, length)]
    tail = f"\r\n--{boundary}--\r\n".encode()
    parts.append(ArchiveBytes((ArchivePiece(0, len(tail), tail),)))
    content_type = f"multipart/byteranges; boundary={boundary}"
    return DownloadResponse(206, {"Content-Type": content_type, **common}, parts)


def read_ranges(value: str, size: int) -> list[tuple[int, int]] | None:
    """Return start and length of each range of a Range header.

    Returns:
        None if the whole is to be sent: the unit is not bytes, or the ranges together are longer
        than the whole. An empty list if no range is valid or satisfiable (416).
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
    return since is not None and _seconds(since) == modified  # nginx compares exactly


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
    """Return the Content-Disposition header, as Django writes it."""
    escaped = file_name.replace("\\", "\\\\").replace('"', '\\"')
    if escaped.isascii():
        return f'attachment; filename="{escaped}"'
    return f"attachment; filename*=utf-8''{quote(file_name)}"
