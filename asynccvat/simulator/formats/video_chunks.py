"""Write frames as a small MP4 file, like a chunk of a video: one PNG picture a sample.

CVAT encodes chunks as H.264 or MPEG-4. PNG samples (object type 0x6D) need no encoder, and players
that use FFmpeg read them. `video_headers` reads the head of such a file.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from typing import Final

from asynccvat.simulator.world.media import StoredFile

_RATE: Final = 25
"""Frames a second, which are the units of time in the file."""

_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_FILE_TYPE: Final = b"isom\0\0\x02\0isomiso2mp41"
_PNG_STREAM: Final = 0x6D
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"IEND\xaeB`\x82"


def write_video_chunk(pictures: Sequence[bytes], width: int, height: int) -> bytes:
    """Return an MP4 file of these PNG pictures.

    Args:
        pictures: The frames, at least one.
        width: Their width in pixels.
        height: Their height in pixels.
    """
    head = _box(b"ftyp", _FILE_TYPE)
    length = len(_movie(pictures, width, height, 0))
    start = len(head) + length + 8
    return head + _movie(pictures, width, height, start) + _box(b"mdat", b"".join(pictures))


def find_pictures(file: StoredFile) -> tuple[StoredFile, ...]:
    """Return the PNG pictures within a video, as `write_video_chunk` writes them; often none."""
    pictures: list[StoredFile] = []
    stop = file.start + file.size
    with (
        file.path.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        start = data.find(_PNG_START, file.start, stop)
        while start >= 0 and (last := data.find(_PNG_END, start, stop)) >= 0:
            end = last + len(_PNG_END)
            pictures.append(StoredFile(file.path, start, end - start))
            start = data.find(_PNG_START, end, stop)
    return tuple(pictures)


def _box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I4s", 8 + len(data), kind) + data


def _full(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    """Return a box with version 0 and flags."""
    return _box(kind, struct.pack(">I", flags), *parts)


def _movie(pictures: Sequence[bytes], width: int, height: int, start: int) -> bytes:
    """Return the box that describes the samples, which begin at byte `start` of the file."""
    count = len(pictures)
    movie = struct.pack(">IIIIIH10x", 0, 0, _RATE, count, 0x10000, 0x100)
    track = struct.pack(">IIIIIQHHHH", 0, 0, 1, 0, count, 0, 0, 0, 0, 0)
    media = struct.pack(">IIIIHH", 0, 0, _RATE, count, 0x55C4, 0)  # "und": no language
    return _box(
        b"moov",
        _full(b"mvhd", movie, _MATRIX, bytes(24), struct.pack(">I", 2)),
        _box(
            b"trak",
            _full(b"tkhd", track, _MATRIX, struct.pack(">II", width << 16, height << 16), flags=7),
            _box(
                b"mdia",
                _full(b"mdhd", media),
                _full(b"hdlr", struct.pack(">I4s12x", 0, b"vide"), b"video\0"),
                _box(
                    b"minf",
                    _full(b"vmhd", bytes(8), flags=1),
                    _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1))),
                    _sample_table(pictures, width, height, start),
                ),
            ),
        ),
    )


def _sample_table(pictures: Sequence[bytes], width: int, height: int, start: int) -> bytes:
    count = len(pictures)
    sizes = struct.pack(f">II{count}I", 0, count, *(len(one) for one in pictures))
    return _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1), _sample_entry(width, height)),
        _full(b"stts", struct.pack(">III", 1, count, 1)),
        _full(b"stsc", struct.pack(">IIII", 1, 1, count, 1)),
        _full(b"stsz", sizes),
        _full(b"stco", struct.pack(">II", 1, start)),
    )


def _sample_entry(width: int, height: int) -> bytes:
    decoder = struct.pack(">BB3xII", _PNG_STREAM, 0x11, 0, 0)
    described = b"\0\x01\0" + _descriptor(4, decoder) + _descriptor(6, b"\x02")
    return _box(
        b"mp4v",
        struct.pack(">6xH16xHHIIIH32xHh", 1, width, height, 72 << 16, 72 << 16, 0, 1, 24, -1),
        _full(b"esds", _descriptor(3, described)),
    )


def _descriptor(tag: int, data: bytes) -> bytes:
    return bytes([tag, len(data)]) + data
