"""Corners, boxes and areas of shapes."""

from __future__ import annotations

from itertools import pairwise

from asynccvat.simulator.world.annotations import Shape


def corners(points: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return the x and y of each corner."""
    return list(zip(points[::2], points[1::2], strict=True))


def bounding_box(points: tuple[float, ...]) -> list[float]:
    """Return left, top, width and height of the box around the points."""
    left, top = min(points[::2]), min(points[1::2])
    return [left, top, max(points[::2]) - left, max(points[1::2]) - top]


def shape_area(shape: Shape) -> float:
    """Return the area of a rectangle or polygon, in square pixels."""
    if shape.type == "rectangle":
        _, _, width, height = bounding_box(shape.points)
        return width * height
    ring = corners(shape.points)
    doubled = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise([*ring, ring[0]]))
    return abs(doubled) / 2
