"""Masks in three forms: CVAT's runs, bits of a frame, COCO's counts.

CVAT keeps the box of a mask and, row by row within it, the lengths of runs that are alternately
outside and inside. COCO counts such runs through the whole image, column by column, and may pack
the counts into a string. Bits are one byte a pixel, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby

from asynccvat.simulator.world.annotations import Shape

_SIXTH_BIT = 0x20
_FIVE_BITS = 0x1F


def shape_bits(shape: Shape, width: int, height: int) -> bytes:
    """Return the bits of a frame that a mask or an ellipse covers."""
    if shape.type == "ellipse":
        return _ellipse_bits(shape, width, height)
    *runs, left, top, right, bottom = (int(number) for number in shape.points)
    inside = _bits_of_runs(runs)
    wide = right - left + 1
    rows = bytearray(width * height)
    for y in range(max(0, top), min(bottom + 1, height)):
        start = (y - top) * wide
        row = inside[start : start + wide][: max(0, width - left)]
        rows[y * width + left : y * width + left + len(row)] = row
    return bytes(rows)


def _ellipse_bits(shape: Shape, width: int, height: int) -> bytes:
    x, y, right, top = shape.points
    a, b = right - x, y - top
    turn = math.radians(shape.rotation)
    cos, sin = math.cos(turn), math.sin(turn)
    reach = math.ceil(max(a, b))
    rows = bytearray(width * height)
    if a <= 0 or b <= 0:
        return bytes(rows)
    for row in range(max(0, int(y) - reach), min(height, int(y) + reach + 2)):
        for column in range(max(0, int(x) - reach), min(width, int(x) + reach + 2)):
            dx, dy = column - x, row - y
            along, across = dx * cos + dy * sin, dy * cos - dx * sin
            if (along / a) ** 2 + (across / b) ** 2 <= 1:
                rows[row * width + column] = 1
    return bytes(rows)


def mask_points(bits: bytes, width: int) -> tuple[float, ...] | None:
    """Return CVAT's runs and box of a mask; None if it is empty."""
    height = len(bits) // width
    rows = [y for y in range(height) if any(bits[y * width : (y + 1) * width])]
    columns = [x for x in range(width) if any(bits[x::width])]
    if not rows:
        return None
    left, right, top, bottom = columns[0], columns[-1], rows[0], rows[-1]
    inside = b"".join(
        bits[y * width + left : y * width + right + 1] for y in range(top, bottom + 1)
    )
    return (*_runs(inside), left, top, right, bottom)


def coco_counts(bits: bytes, width: int) -> list[int]:
    """Return COCO's counts of the bits of a frame."""
    return _runs(b"".join(bits[x::width] for x in range(width)))


def bits_of_counts(counts: Iterable[int], width: int, height: int) -> bytes:
    """Return the bits of a frame that COCO's counts describe.

    Raises:
        ValueError: The counts do not add up to the frame.
    """
    columns = _bits_of_runs(counts)
    if len(columns) != width * height:
        raise ValueError(f"{len(columns)} pixels instead of {width} times {height}")
    return b"".join(columns[y::height] for y in range(height))


def pack_counts(counts: Sequence[int]) -> str:
    """Pack counts into a string like pycocotools: differences, in digits of five bits."""
    text = []
    for place, count in enumerate(counts):
        left = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            digit = left & _FIVE_BITS
            left >>= 5
            more = left != (-1 if digit & 0x10 else 0)
            text.append(chr((digit | (_SIXTH_BIT if more else 0)) + 48))
    return "".join(text)


def unpack_counts(text: str) -> list[int]:
    """Return the counts that `pack_counts` packed.

    Raises:
        ValueError: The string ends within a number.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        value |= (digit & _FIVE_BITS) << shift
        shift += 5
        if digit & _SIXTH_BIT:
            continue
        if digit & 0x10:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the packed counts end within a number")
    return counts


def _runs(bits: bytes) -> list[int]:
    runs = [(bit, sum(1 for _ in same)) for bit, same in groupby(bits)]
    lengths = [length for _, length in runs]
    return [0, *lengths] if runs and runs[0][0] else lengths


def _bits_of_runs(runs: Iterable[int]) -> bytes:
    return b"".join(bytes([place % 2]) * length for place, length in enumerate(runs))
