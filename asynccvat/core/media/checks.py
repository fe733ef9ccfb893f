"""Check that a media file is what its name says, and whole, by its first and last bytes.

Nothing is decoded. Each check reads the records that a format has for this: markers, chunks,
boxes, and the sizes in headers. So a file that was cut off is found, and one with a wrong pixel is
not. `core.media.video_checks` has the containers of videos.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

from asynccvat.core.media.kinds import MediaType, media_type, usual_suffix
from asynccvat.core.media.video_checks import avi_problem, matroska_problem, mp4_problem

CUT_OFF = "is cut off"

_HEAD = 32
_PIECE = 1 << 16
_MOST_MARKERS = 4096
# Start of scan, restart markers and the like have no length.
_JPEG_PLAIN = frozenset({0x01, *range(0xD0, 0xD8)})


class ReadableFile(Protocol):
    """A file whose bytes can be read at any offset."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes from an offset on, fewer at the end of the file."""


def file_problem(name: str, file: ReadableFile) -> str | None:
    """Return what is wrong with a media file, as the end of a sentence. None if nothing is seen.

    Args:
        name: Its name, which tells its type.
        file: Its bytes.
    """
    if file.size == 0:
        return "is empty"
    promised = media_type(name)
    head = file.read(0, _HEAD)
    found = recognise(head)
    if promised is None or found is None:
        return f"is no {promised} file, though it is named so" if promised else "is no media"
    if found is not promised:
        return (
            f"is a {found} file, though it is named {'.' + name.rpartition('.')[2]!r}: rename it "
            f"to {usual_suffix(found)!r}"
        )
    check = _CHECKS.get(found)
    try:
        return None if check is None else check(file)
    except (struct.error, IndexError):
        # A record ends before its length.
        return CUT_OFF


def recognise(head: bytes) -> MediaType | None:
    """Return the type that the first bytes of a file show, None if they show none."""
    for kind, is_kind in _SIGNATURES.items():
        if is_kind(head):
            return kind
    return None


def _jpeg(file: ReadableFile) -> str | None:
    """Look for the end of the image after the start of its data: a thumbnail has an end, too."""
    offset = 2
    for _ in range(_MOST_MARKERS):
        marker = file.read(offset, 4)
        if len(marker) < 2:
            return CUT_OFF
        if marker[0] != 0xFF:
            return "has bytes between its markers"
        kind = marker[1]
        if kind == 0xFF or kind in _JPEG_PLAIN:
            offset += 1 if kind == 0xFF else 2
            continue
        if kind == 0xD9:
            return "holds no image"
        (length,) = struct.unpack(">H", marker[2:4])
        offset += 2 + length
        if kind == 0xDA:
            break
    else:
        return "has too many markers"
    # Encoders put a zero byte after each 0xFF of the data, so this is a marker.
    return None if _holds(file, b"\xff\xd9", offset) else CUT_OFF


def _png(file: ReadableFile) -> str | None:
    length, name, width, height = struct.unpack(">I4sII", file.read(8, 16))
    if (length, name) != (13, b"IHDR"):
        return "has no header"
    if not width or not height:
        return "is an image without pixels"
    return None if _holds(file, b"\x00\x00\x00\x00IEND\xae\x42\x60\x82", 33) else CUT_OFF


def _holds(file: ReadableFile, mark: bytes, start: int) -> bool:
    """Whether a mark stands behind an offset. It is looked for from the file's end.

    Cameras and editors may add bytes of their own behind the mark.
    """
    end = file.size
    while end > start:
        begin = max(start, end - _PIECE)
        if mark in file.read(begin, end - begin + len(mark) - 1):
            return True
        end = begin
    return False


def _gif(file: ReadableFile) -> str | None:
    width, height = struct.unpack("<HH", file.read(6, 4))
    if not width or not height:
        return "is an image without pixels"
    tail = file.read(max(0, file.size - _PIECE), _PIECE).rstrip(b"\x00")
    return None if tail.endswith(b";") else CUT_OFF


def _bmp(file: ReadableFile) -> str | None:
    size, _, start = struct.unpack("<III", file.read(2, 12))
    # Some writers leave the size out.
    return CUT_OFF if max(size, start) > file.size else None


def _webp(file: ReadableFile) -> str | None:
    (size,) = struct.unpack("<I", file.read(4, 4))
    return CUT_OFF if size + 8 > file.size else None


def _tiff(file: ReadableFile) -> str | None:
    """Check that the first directory of the file lies in it, and has an entry."""
    head = file.read(0, 16)
    order = "<" if head[:2] == b"II" else ">"
    (version,) = struct.unpack(order + "H", head[2:4])
    if version == 43:
        (offset,), entry, count = struct.unpack(order + "Q", head[8:16]), 20, "Q"
    else:
        (offset,), entry, count = struct.unpack(order + "I", head[4:8]), 12, "H"
    (entries,) = struct.unpack(order + count, file.read(offset, struct.calcsize(order + count)))
    if not entries:
        return "holds no image"
    end = offset + struct.calcsize(order + count) + entries * entry + (8 if entry == 20 else 4)
    return CUT_OFF if end > file.size else None


def _zip(file: ReadableFile) -> str | None:
    tail = file.read(max(0, file.size - 65_557), 65_557)
    return None if b"PK\x05\x06" in tail else CUT_OFF


def _is_jpeg(head: bytes) -> bool:
    return head.startswith(b"\xff\xd8\xff")


def _is_tiff(head: bytes) -> bool:
    return head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")


def _is_mp4(head: bytes) -> bool:
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def _is_mpeg(head: bytes) -> bool:
    return head[:4] in (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")


_SIGNATURES: dict[MediaType, Callable[[bytes], bool]] = {
    MediaType.JPEG: _is_jpeg,
    MediaType.PNG: lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
    MediaType.GIF: lambda head: head[:6] in (b"GIF87a", b"GIF89a"),
    MediaType.BMP: lambda head: head.startswith(b"BM"),
    MediaType.WEBP: lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    MediaType.TIFF: _is_tiff,
    MediaType.PNM: lambda head: head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace(),
    MediaType.AVI: lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI ",
    MediaType.MATROSKA: lambda head: head.startswith(b"\x1a\x45\xdf\xa3"),
    MediaType.MPEG: _is_mpeg,
    MediaType.ZIP: lambda head: head[:4] in (b"PK\x03\x04", b"PK\x05\x06"),
    # Last: its signature is the weakest.
    MediaType.MP4: _is_mp4,
}

_CHECKS: dict[MediaType, Callable[[ReadableFile], str | None]] = {
    MediaType.JPEG: _jpeg,
    MediaType.PNG: _png,
    MediaType.GIF: _gif,
    MediaType.BMP: _bmp,
    MediaType.WEBP: _webp,
    MediaType.TIFF: _tiff,
    MediaType.ZIP: _zip,
    MediaType.MP4: lambda file: mp4_problem(file.read, file.size),
    MediaType.AVI: lambda file: avi_problem(file.read, file.size),
    MediaType.MATROSKA: lambda file: matroska_problem(file.read, file.size),
}
