"""Draw ellipses as CVAT does: by OpenCV, in whole pixels.

CVAT makes masks of ellipses for formats that have none. Source: `EllipsesToMasks` in
`cvat/apps/dataset_manager/formats/transformations.py` of CVAT; `ellipse2Poly`, `EllipseEx`,
`FillConvexPoly` and `Line2` in `modules/imgproc/src/drawing.cpp` of OpenCV.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from asynccvat.core.convert.masks import Bits

Point = tuple[int, int]

_SHIFT: Final = 16  # OpenCV counts in parts of a pixel: 2**16
_ONE: Final = 1 << _SHIFT
_HALF: Final = _ONE >> 1

# OpenCV's table of sines has seven digits, in single precision.
_SINES: Final = array("f", [round(math.sin(math.radians(angle)), 7) for angle in range(451)])


def ellipse_bits(points: Sequence[float], rotation: float, width: int, height: int) -> Bits | None:
    """Return the pixels that an ellipse covers; None if it is outside of the image.

    Args:
        points: Its centre, the x of its right end, the y of its upper end.
        rotation: Degrees, clockwise.
        width: Pixels of the image.
        height: Pixels of the image.

    Raises:
        ValueError: It crosses the left border, where OpenCV differs at times.
    """
    x, y, right, top = points
    axes = (abs(round(right - x)), abs(round(y - top)))
    outline = _outline((round(x), round(y)), axes, round(rotation))
    drawing = _Drawing.around(outline, width, height)
    if drawing is None:
        return None
    if min(column for column, _ in outline) < 0:
        raise ValueError("an ellipse crosses the left border of the image")
    for start, end in pairwise([outline[-1], *outline]):
        drawing.line(start, end)
    if len(outline) > 2:
        drawing.fill(outline)
    return Bits(bytes(drawing.inside), drawing.left, drawing.top, drawing.wide)


def _outline(center: Point, axes: Point, rotation: int) -> list[Point]:
    """Return the corners of the polygon by which OpenCV draws an ellipse, in parts of a pixel."""
    longest = max(axes)
    step = 90 if longest < 3 else 30 if longest < 10 else 18 if longest < 15 else 5
    turn = rotation % 360 if not 0 <= rotation <= 360 else rotation
    cos, sin = _SINES[450 - turn], _SINES[turn]
    found: list[Point] = []
    for angle in range(0, 360 + step, step):
        along = (axes[0] << _SHIFT) * _SINES[450 - min(angle, 360)]
        across = (axes[1] << _SHIFT) * _SINES[min(angle, 360)]
        corner = (
            _rounded((center[0] << _SHIFT) + along * cos - across * sin),
            _rounded((center[1] << _SHIFT) + along * sin + across * cos),
        )
        if not found or found[-1] != corner:
            found.append(corner)
    return found if len(found) > 1 else [(center[0] << _SHIFT, center[1] << _SHIFT)] * 2


def _rounded(number: float) -> int:
    """Round to parts of a pixel as OpenCV does: to whole pixels, then the rest."""
    whole = round(number / _ONE) << _SHIFT
    return whole + round(number - whole)


@dataclass(slots=True)
class _Drawing:
    """Pixels of a part of an image, to draw on."""

    inside: bytearray
    left: int
    top: int
    wide: int
    width: int
    height: int

    @classmethod
    def around(cls, outline: Sequence[Point], width: int, height: int) -> _Drawing | None:
        """Return the part of an image around a polygon."""
        left = max((min(x for x, _ in outline) >> _SHIFT) - 1, 0)
        top = max((min(y for _, y in outline) >> _SHIFT) - 1, 0)
        right = min((max(x for x, _ in outline) >> _SHIFT) + 2, width - 1)
        bottom = min((max(y for _, y in outline) >> _SHIFT) + 2, height - 1)
        if right < left or bottom < top:
            return None
        wide = right - left + 1
        return cls(bytearray(wide * (bottom - top + 1)), left, top, wide, width, height)

    def dot(self, x: int, y: int) -> None:
        """Cover one pixel, if it is in the image."""
        if 0 <= x < self.width and 0 <= y < self.height:
            self.inside[(y - self.top) * self.wide + x - self.left] = 1

    def row(self, y: int, first: int, last: int) -> None:
        """Cover a part of a row, as far as it is in the image."""
        first, last = max(first, 0), min(last, self.width - 1)
        if first <= last:
            start = (y - self.top) * self.wide - self.left
            self.inside[start + first : start + last + 1] = b"\1" * (last - first + 1)

    def line(self, start: Point, end: Point) -> None:
        """Draw one side of the outline."""
        clipped = _clipped(start, end, self.width << _SHIFT, self.height << _SHIFT)
        if clipped is None:
            return
        start, end = clipped
        wide, high = abs(end[0] - start[0]), abs(end[1] - start[1])
        if wide > high:
            (x, y), (to_x, to_y) = (start, end) if end[0] >= start[0] else (end, start)
            step = _quotient((to_y - y) << _SHIFT, wide | 1)
            self.dot((to_x + _HALF) >> _SHIFT, (to_y + _HALF) >> _SHIFT)
            y += _HALF
            first = (x + _HALF) >> _SHIFT
            for column in range(first, first + (wide >> _SHIFT) + 1):
                self.dot(column, y >> _SHIFT)
                y += step
            return
        (x, y), (to_x, to_y) = (start, end) if end[1] >= start[1] else (end, start)
        step = _quotient((to_x - x) << _SHIFT, high | 1)
        self.dot((to_x + _HALF) >> _SHIFT, (to_y + _HALF) >> _SHIFT)
        x += _HALF
        first = (y + _HALF) >> _SHIFT
        for row in range(first, first + (high >> _SHIFT) + 1):
            self.dot(x >> _SHIFT, row)
            x += step

    def fill(self, outline: Sequence[Point]) -> None:
        """Fill a convex polygon row by row."""
        top = min(range(len(outline)), key=lambda place: outline[place][1])
        first = (outline[top][1] + _HALF) >> _SHIFT
        last = min((max(y for _, y in outline) + _HALF) >> _SHIFT, self.height - 1)
        if last <= 0:
            return  # OpenCV fills nothing that only touches the upper border
        sides = [_Side(outline, top, 1, first), _Side(outline, top, -1, first)]
        left_over = len(outline)
        for y in range(first, last + 1):
            for side in sides:
                left_over = side.reach(y, left_over)
            if y >= 0:
                near, far = sorted(side.x for side in sides)
                self.row(y, (near + _HALF) >> _SHIFT, (far + _HALF) >> _SHIFT)
            for side in sides:
                side.x += side.slope


class _Side:
    """One of the two sides of a convex polygon, followed downward from its top."""

    def __init__(self, outline: Sequence[Point], top: int, direction: int, first: int) -> None:
        self._outline = outline
        self._place = top
        self._direction = direction
        self._until = first
        self.x = -_ONE
        self.slope = 0

    def reach(self, y: int, left_over: int) -> int:
        """Go on to the part of the side that crosses a row.

        Args:
            y: The row.
            left_over: How many parts of both sides are left.

        Returns:
            How many are left afterwards.
        """
        if y < self._until:
            return left_over
        here = self._place
        there = (here + self._direction) % len(self._outline)
        while left_over > 0:
            left_over -= 1
            until = (self._outline[there][1] + _HALF) >> _SHIFT
            if until > y:
                start, end = self._outline[here][0], self._outline[there][0]
                rows = until - y
                self._until = until
                self.slope = _quotient((end - start) * 2 + rows, 2 * rows)
                self.x = start
                self._place = there
                break
            here, there = there, (there + self._direction) % len(self._outline)
        return left_over


def _quotient(number: int, divisor: int) -> int:
    """Divide as C does, towards zero."""
    return number // divisor if number >= 0 else -(-number // divisor)


def _clipped(start: Point, end: Point, width: int, height: int) -> tuple[Point, Point] | None:
    """Return the part of a line that lies in a box, None if none does. See OpenCV's `clipLine`."""
    right, bottom = width - 1, height - 1
    start = _toward(start, end, bottom, axis=1)
    end = _toward(end, start, bottom, axis=1)
    start = _toward(start, end, right, axis=0)
    end = _toward(end, start, right, axis=0)
    if all(0 <= x <= right and 0 <= y <= bottom for x, y in (start, end)):
        return start, end
    return None


def _toward(point: Point, other: Point, last: int, *, axis: int) -> Point:
    """Move a point along its line to the border that it is beyond, if the other end is not."""
    here, there = point[axis], other[axis]
    border = 0 if here < 0 else last
    if 0 <= here <= last or (there < 0 if here < 0 else there > last):
        return point
    across = other[1 - axis] - point[1 - axis]
    moved = point[1 - axis] + int(float(border - here) * across / (there - here))
    return (border, moved) if axis == 0 else (moved, border)
