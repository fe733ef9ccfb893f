"""Read frames and size of a video from its head; nothing is decoded.

MP4 says both. Of another video that is known by its first bytes, the simulator takes both to be
those of a video that a real CVAT was recorded with.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from asynccvat.simulator.world.media import StoredFile

VIDEO_SUFFIXES: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"}
)
"""Ends of the names that CVAT takes for videos."""

OPAQUE: Final = (30, 640, 480)
"""Frames, width and height of a video whose head does not say them."""

_CONTAINERS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_STARTS: Final = (
    b"RIFF",
    b"\x1aE\xdf\xa3",
    b"\0\0\x01\xba",
    b"\0\0\x01\xb3",
    b"FLV",
    b"0&\xb2u",
    b"G",
)
_LARGEST_HEAD: Final = 64 << 20


class InvalidVideoError(Exception):
    """A file that is named like a video and is none."""


def is_video_name(name: str) -> bool:
    """Tell whether CVAT takes a file of that name for a video."""
    return PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES


def video_facts(file: StoredFile) -> tuple[int, int, int]:
    """Return the number of frames of a video, its width and its height.

    Raises:
        InvalidVideoError: It is no video that is known here.
    """
    head = file.read(0, 16)
    if head[4:8] == b"ftyp":
        return _mp4(file) or OPAQUE
    if head.startswith(_STARTS):
        return OPAQUE
    raise InvalidVideoError


def _mp4(file: StoredFile) -> tuple[int, int, int] | None:
    """Return the facts of the first video track; None if the file does not say them."""
    place = 0
    while place + 8 <= file.size:
        size, kind = struct.unpack(">I4s", file.read(place, 8))
        if size == 1:
            size = int(struct.unpack(">Q", file.read(place + 8, 8))[0])
        if kind == b"moov" and size <= _LARGEST_HEAD:
            return _facts(file.read(place + 8, size - 8))
        if size < 8:
            return None
        place += size
    return None


def _facts(moov: bytes) -> tuple[int, int, int] | None:
    wide = high = 0
    for kind, box in _boxes(moov):
        if kind == b"tkhd":
            wide, high = (int(value) >> 16 for value in struct.unpack(">II", box[-8:]))
        elif kind == b"stsz" and wide and len(box) >= 12:
            return int(struct.unpack_from(">I", box, 8)[0]), wide, high
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes, those within containers in their place."""
    place = 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if size < 8:
            return
        box = data[place + 8 : place + size]
        if kind in _CONTAINERS:
            yield from _boxes(box)
        elif kind != b"tkhd" or len(box) >= 8:
            yield kind, box
        place += size
