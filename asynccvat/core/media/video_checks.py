"""Check that the container of a video is whole, by the sizes in its records.

`core.media.checks` recognises the type and calls these.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

Read = Callable[[int, int], bytes]
"""Returns bytes from an offset on: `read(offset, length)`."""

_CUT_OFF = "is cut off"
_SEGMENT = b"\x18\x53\x80\x67"


def mp4_problem(read: Read, size: int) -> str | None:
    """Walk the boxes of an MP4 or QuickTime file: they fill it, and one is its index."""
    offset, has_index = 0, False
    while offset < size:
        head = read(offset, 16)
        if len(head) < 8:
            # Writers may leave a few bytes behind the last box.
            break
        length, name = struct.unpack(">I4s", head[:8])
        if length == 1:
            (length,) = struct.unpack(">Q", head[8:16])
        elif length == 0:
            length = size - offset  # the last box reaches to the end
        if length < 8:
            break
        has_index = has_index or name == b"moov"
        offset += length
    if offset > size:
        return _CUT_OFF
    return None if has_index else "has no index ('moov'): its recording was not finished"


def avi_problem(read: Read, size: int) -> str | None:
    """Compare the size in an AVI file's header with the file's."""
    (length,) = struct.unpack("<I", read(4, 4))
    return _CUT_OFF if length + 8 > size else None


def matroska_problem(read: Read, size: int) -> str | None:
    """Compare the size of the segment in a Matroska or WebM file with the file's."""
    header, known = _variable(read(4, 8))
    offset = 4 + known + header
    if read(offset, 4) != _SEGMENT:
        return "has no segment"
    length, known = _variable(read(offset + 4, 8))
    if length == (1 << (7 * known)) - 1:
        return None  # a recorder that streams does not know its size
    return _CUT_OFF if offset + 4 + known + length > size else None


def _variable(data: bytes) -> tuple[int, int]:
    """Return a number of variable length (RFC 8794, 4), and how many bytes it takes.

    Raises:
        IndexError: The bytes end before it does.
    """
    length = 9 - data[0].bit_length()
    if length > len(data):
        raise IndexError("the number is cut off")
    value = int.from_bytes(data[:length], "big")
    return value & ((1 << (7 * length)) - 1), length
