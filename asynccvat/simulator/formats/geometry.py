"""Corners, boxes and areas of shapes."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import pairwise


def corners(points: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return the x and y of each corner."""
    return list(zip(points[::2], points[1::2], strict=True))


def bounding_box(points: tuple[float, ...]) -> list[float]:
    """Return left, top, width and height of the box around the points."""
    left, top = min(points[::2]), min(points[1::2])
    return [left, top, max(points[::2]) - left, max(points[1::2]) - top]


def kept_points(points: Sequence[float]) -> tuple[float, ...]:
    """Return coordinates as Datumaro keeps them: hundredths of a pixel in single precision."""
    return tuple(_single(round(_single(_single(number) * 100)) / 100) for number in points)


def _single(number: float) -> float:
    value: float
    (value,) = struct.unpack("f", struct.pack("f", number))
    return value


def drawn_area(points: Sequence[float], width: int, height: int) -> int:
    """Return how many pixels of an image a polygon covers, as pycocotools draws it.

    The outline is drawn point by point, five times as large. Where it crosses the middle of a
    column, inside and outside change. See `rleFrPoly` of pycocotools.
    """
    ring = [(int(5 * x + 0.5), int(5 * y + 0.5)) for x, y in corners(tuple(points))]
    outline = [point for start, end in pairwise([*ring, ring[0]]) for point in _line(start, end)]
    changes = [width * height]
    for (x1, y1), (x2, y2) in pairwise(outline):
        column, between = divmod(min(x1, x2) - 2, 5)
        if x1 != x2 and not between and 0 <= column < width:
            row = math.ceil(min(max((min(y1, y2) + 0.5) / 5 - 0.5, 0), height))
            changes.append(column * height + row)
    changes.sort()
    return sum(changes[place + 1] - changes[place] for place in range(0, len(changes) - 1, 2))


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the points of a line, both ends included."""
    wide, high = abs(end[0] - start[0]), abs(end[1] - start[1])
    along = 0 if wide >= high else 1
    (near, far) = sorted((start, end), key=lambda point: point[along])
    steps = far[along] - near[along]
    slope = (far[1 - along] - near[1 - along]) / steps if steps else 0.0
    found = []
    for step in range(steps + 1):
        across = int(near[1 - along] + slope * step + 0.5)
        found.append((near[0] + step, across) if along == 0 else (across, near[1] + step))
    return found if near == start else found[::-1]
