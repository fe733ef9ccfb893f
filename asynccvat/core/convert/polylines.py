"""Move a polyline or a polygon from one keyframe of a track to the next, as CVAT does.

The corners of both are matched by how far along the line they lie, each corner with the nearest.
Corners that come close to each other on the way are merged. `interpolation` closes polygons.

Source: `interpolate_position` in `cvat/apps/dataset_manager/annotation.py` of CVAT. The order of
the operations on numbers is CVAT's, so that the results are the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

Point = tuple[float, float]


class Morph:
    """The way from one line to another."""

    def __init__(self, left: Sequence[Point], right: Sequence[Point]) -> None:
        """Match the corners of two lines.

        Raises:
            ZeroDivisionError: A line has several corners, which all lie at one place.
        """
        self._left = left
        self._right = right
        self._matching = _match(_offsets(left), _offsets(right))
        lengths = [len(matched) for matched in self._matching]
        self._firsts = [0, *accumulate(lengths)]

    def at(self, offset: float) -> list[Point]:
        """Return the corners on the way; 0 is the beginning, 1 the end."""
        moved = [
            (x + (self._right[place][0] - x) * offset, y + (self._right[place][1] - y) * offset)
            for (x, y), matched in zip(self._left, self._matching, strict=True)
            for place in matched
        ]
        found: list[Point] = []
        opened: int | None = None
        for corner, matched in enumerate(self._matching):
            if len(matched) > 1:
                if opened is not None:
                    found += self._of_left(moved, opened, corner - 1)
                    opened = None
                found += self._of_right(moved, corner)
            elif opened is None:
                opened = corner
            elif matched != self._matching[opened]:
                found += self._of_left(moved, opened, corner - 1)
                opened = corner
        if opened is not None:
            found += self._of_left(moved, opened, len(self._left) - 1)
        return found

    def _of_left(self, moved: Sequence[Point], start: int, stop: int) -> list[Point]:
        """Return the corners that come of several on the left, matched with one on the right."""
        first, last = self._firsts[start], self._firsts[stop]
        if first == last:
            return [moved[first]]
        return _merged(moved[first : last + 1], self._left[start : stop + 1])

    def _of_right(self, moved: Sequence[Point], corner: int) -> list[Point]:
        """Return the corners that come of one on the left, matched with several on the right."""
        matched = self._matching[corner]
        first = self._firsts[corner]
        part = self._right[matched[0] : matched[-1] + 1]
        return _merged(moved[first : first + len(matched)], part)


def _merged(moved: Sequence[Point], part: Sequence[Point]) -> list[Point]:
    """Leave out the corners that are closer together than half the mean side of a part."""
    nearest = _length(part) / (2 * len(part))
    kept = [moved[0]]
    for point in moved[1:-1]:
        if _distance(kept[-1], point) >= nearest:
            kept.append(point)
    kept.append(moved[-1])
    if len(kept) == 2 and _distance(moved[0], moved[-1]) < nearest:
        (x1, y1), (x2, y2) = kept
        return [((x1 + x2) / 2, (y1 + y2) / 2)]
    return kept


def _match(left: Sequence[float], right: Sequence[float]) -> list[list[int]]:
    """Return the corners on the right that belong to each corner on the left."""
    matching = [[_nearest(offset, right)] for offset in left]
    matched = {place for places in matching for place in places}
    for place, offset in enumerate(right):
        if place not in matched:
            matching[_nearest(offset, left)].append(place)
    return [sorted(places) for places in matching]


def _nearest(offset: float, line: Sequence[float]) -> int:
    return min(range(len(line)), key=lambda place: abs(offset - line[place]))


def _offsets(points: Sequence[Point]) -> list[float]:
    """Return how far along the line each corner lies, from 0 to 1."""
    length = _length(points)
    gone = accumulate((_distance(a, b) for a, b in pairwise(points)), initial=0.0)
    return [0.0, *(place / length for place in list(gone)[1:])]


def _length(points: Sequence[Point]) -> float:
    length = 0.0
    for a, b in pairwise(points):  # `sum` would round better than CVAT does
        length += _distance(a, b)
    return length


def _distance(a: Point, b: Point) -> float:
    # Not `math.hypot` and not `x * x`: they round differently.
    return math.sqrt((b[0] - a[0]) ** 2 + (b[1] - a[1]) ** 2)
