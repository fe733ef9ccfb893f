"""Masks in CVAT's form and in COCO's, and the area that COCO gives a polygon.

CVAT keeps the box of a mask and, row by row within it, the lengths of runs that are alternately
outside and inside. COCO counts such runs through the whole image, column by column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

_FINE = 5  # pycocotools draws outlines five times as large


@dataclass(frozen=True, slots=True)
class Bits:
    """A part of an image: one byte for each pixel, row by row.

    Attributes:
        inside: 1 for each pixel that is covered, else 0.
        left: The first column.
        top: The first row.
        wide: How many columns there are.
    """

    inside: bytes
    left: int
    top: int
    wide: int


@dataclass(frozen=True, slots=True)
class CocoMask:
    """A mask as COCO has it.

    Attributes:
        counts: Lengths of runs that are alternately outside and inside, column by column.
        area: Pixels inside.
        box: Left, top, width and height of what is inside.
    """

    counts: list[int]
    area: int
    box: tuple[float, float, float, float]


def coco_mask(points: Sequence[float], width: int, height: int) -> CocoMask:
    """Convert a mask of CVAT.

    Args:
        points: Its runs, then left, top, right and bottom of its box, inclusive.
        width: Pixels of the image.
        height: Pixels of the image.

    Raises:
        ValueError: The runs do not fill the box, or the box is not in the image.
    """
    *runs, left, top, right, bottom = (int(number) for number in points)
    wide, high = right - left + 1, bottom - top + 1
    if sum(runs) != wide * high or left < 0 or top < 0 or right >= width or bottom >= height:
        raise ValueError("the runs of a mask do not fill its box, or the box is not in the image")
    inside = b"".join(bytes((place % 2,)) * run for place, run in enumerate(runs))
    return coco_mask_of_bits(Bits(inside, left, top, wide), width, height)


def coco_mask_of_bits(bits: Bits, width: int, height: int) -> CocoMask:
    """Convert the pixels of a part of an image, which lies wholly in it."""
    inside, wide = bits.inside, bits.wide
    right, high = bits.left + wide - 1, len(inside) // wide
    above, below = bytes(bits.top), bytes(height - bits.top - high)
    columns = b"".join(above + inside[x::wide] + below for x in range(wide))
    counts = list(_runs(bytes(bits.left * height), columns, bytes((width - right - 1) * height)))
    return CocoMask(counts, inside.count(1), _box(bits))


def _runs(before: bytes, columns: bytes, after: bytes) -> Iterator[int]:
    bits = before + columns + after
    start, value = 0, 0
    while start < len(bits):
        end = bits.find(1 - value, start)
        end = len(bits) if end < 0 else end
        yield end - start
        start, value = end, 1 - value


def _box(bits: Bits) -> tuple[float, float, float, float]:
    inside, left, top, wide = bits.inside, bits.left, bits.top, bits.wide
    columns = [x for x in range(wide) if 1 in inside[x::wide]]
    first, last = inside.find(1), inside.rfind(1)
    if not columns:
        return 0.0, 0.0, 0.0, 0.0
    return (
        float(left + columns[0]),
        float(top + first // wide),
        float(columns[-1] - columns[0] + 1),
        float(last // wide - first // wide + 1),
    )


def packed_counts(counts: Sequence[int]) -> str:
    """Pack the counts of a mask into a string, as `rleToString` of pycocotools does.

    From the fourth count on, the difference to the one before the last is packed. Each character
    holds five bits, and says whether more follow.
    """
    found = []
    for place, count in enumerate(counts):
        left = count - counts[place - 2] if place > 2 else count
        is_more = True
        while is_more:
            bits = left & 0x1F
            left >>= 5
            is_more = left != (-1 if bits & 0x10 else 0)
            found.append(chr(48 + bits + (0x20 if is_more else 0)))
    return "".join(found)


def polygon_area(points: Sequence[float], width: int, height: int) -> int:
    """Return how many pixels of an image a polygon covers, as pycocotools counts them.

    Its outline is drawn finely, and cut by the middles of the columns. Every second stretch of a
    column is inside. Source: `rleFrPoly` in `common/maskApi.c` of pycocotools.

    Args:
        points: x, y, x, y ... of its corners.
        width: Pixels of the image.
        height: Pixels of the image.
    """
    # Like C, `int` cuts towards zero.
    xs = [int(_FINE * x + 0.5) for x in points[::2]]
    ys = [int(_FINE * y + 0.5) for y in points[1::2]]
    corners = list(zip(xs, ys, strict=True))
    cuts = [
        column * height + _row(y, height)
        for start, end in pairwise([*corners, corners[0]])
        for column, y in _crossings(start, end, width)
    ]
    cuts.append(width * height)
    cuts.sort()
    return sum(cuts[place + 1] - cuts[place] for place in range(0, len(cuts) - 1, 2))


def _row(y: int, height: int) -> int:
    return math.ceil(min(max((y + 0.5) / _FINE - 0.5, 0), height))


_Corner = tuple[int, int]


def _crossings(start: _Corner, end: _Corner, width: int) -> Iterator[tuple[int, int]]:
    """Yield where a side crosses the middle of a column: the column, and y in fine pixels.

    The middle lies between the third and the fourth of five fine columns. The side has one fine
    point to the left and one to the right of it. The upper of both counts.
    """
    (x1, y1), (x2, y2) = min(start, end), max(start, end)
    wide, high = x2 - x1, abs(y2 - y1)
    half = _FINE // 2
    first = max(-(-(x1 - half) // _FINE), 0)
    last = min((x2 - half - 1) // _FINE, width - 1)
    if wide >= high:
        for column in range(first, last + 1):
            place = column * _FINE + half - x1
            slope = (y2 - y1) / wide
            yield column, min(int(y1 + slope * place + 0.5), int(y1 + slope * (place + 1) + 0.5))
        return
    (x1, y1), (x2, y2) = sorted((start, end), key=lambda corner: corner[1])
    slope = (x2 - x1) / high
    for column in range(first, last + 1):
        yield column, y1 + _step(column * _FINE + half, x1, slope, high)


def _step(edge: int, x: int, slope: float, high: int) -> int:
    """Return the last step before a steep side leaves one side of an edge for the other."""
    is_rising = slope > 0

    def before(step: int) -> bool:
        return (int(x + slope * step + 0.5) <= edge) == is_rising

    step = max(min(int((edge + 0.5 - x) / slope), high) - 2, 0)  # a little too early
    while before(step + 1):
        step += 1
    return step
