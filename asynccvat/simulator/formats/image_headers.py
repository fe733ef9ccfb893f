"""Read width and height from the heads of image files, and whether their ends are there.

No picture is decoded: CVAT reads the same few bytes when it makes a task.
"""

from __future__ import annotations

import re
import struct
from pathlib import PurePosixPath
from typing import Final

from asynccvat.simulator.world.media import StoredFile

IMAGE_SUFFIXES: Final = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".pbm", ".pgm",
        ".ppm",
    }
)  # fmt: skip
"""Ends of the names that CVAT takes for images, as Python's `mimetypes` does."""

_PNM: Final = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d+)(?:\s|#[^\n]*\n)+(\d+)\s")
"""The head of a netpbm file: width and height as text, with comments between."""

_HEAD: Final = 1 << 20
"""Bytes at the start in which a file has its size: thumbnails and profiles come before it."""

_TAIL: Final = 64
"""Bytes in which the end marker is: cameras append a few to it."""


class InvalidImageError(Exception):
    """A file that is named like an image and is none."""


class TruncatedImageError(Exception):
    """An image whose end is missing."""


def is_image_name(name: str) -> bool:
    """Tell whether CVAT takes a file of that name for an image."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def image_size(file: StoredFile) -> tuple[int, int]:
    """Return width and height of an image in pixels.

    Raises:
        InvalidImageError: It is no image that is known here.
        TruncatedImageError: Its end is missing.
    """
    head = file.read(0, _HEAD)
    if head[:4] in (b"II*\0", b"MM\0*"):
        head = file.read()  # the directory of a TIFF may be at its end
    try:
        return _size(head, file.read(max(0, file.size - _TAIL)))
    except (struct.error, IndexError) as error:
        raise TruncatedImageError from error


def _size(data: bytes, tail: bytes) -> tuple[int, int]:
    if data.startswith(b"\xff\xd8"):
        if b"\xff\xd9" not in tail:
            raise TruncatedImageError
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        if b"IEND" not in tail:
            raise TruncatedImageError
        return _pair(">II", data, 16)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _pair("<HH", data, 6)
    if data.startswith(b"BM"):
        width, height = _pair("<ii", data, 18)
        return width, abs(height)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    found = _PNM.match(data)
    if found is not None:
        return int(found[1]), int(found[2])
    raise InvalidImageError


def _pair(form: str, data: bytes, start: int) -> tuple[int, int]:
    first, second = struct.unpack_from(form, data, start)
    return int(first), int(second)


def _jpeg(data: bytes) -> tuple[int, int]:
    """Return the size in the first start-of-frame segment (T.81, B.2.2)."""
    place = 2
    while place < len(data):
        if data[place] != 0xFF:
            raise InvalidImageError
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = _pair(">HH", data, place + 5)
            return width, height
        else:
            place += 2 + int(struct.unpack_from(">H", data, place + 2)[0])
    raise TruncatedImageError


def _webp(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        wide, high = data[24:27], data[27:30]
        return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
    if kind == b"VP8L":
        bits = int(struct.unpack_from("<I", data, 21)[0])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = _pair("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes) -> tuple[int, int]:
    order = "<" if data[:2] == b"II" else ">"
    place = int(struct.unpack_from(f"{order}I", data, 4)[0])
    count = int(struct.unpack_from(f"{order}H", data, place)[0])
    found = {}
    for number in range(count):
        tag, kind = _pair(f"{order}HH", data, place + 2 + 12 * number)
        form = f"{order}H" if kind == 3 else f"{order}I"
        found[tag] = int(struct.unpack_from(form, data, place + 10 + 12 * number)[0])
    if not {256, 257} <= set(found):
        raise InvalidImageError
    return found[256], found[257]
