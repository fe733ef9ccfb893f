"""Say where a track is on each frame, as CVAT's exports do.

Source: `TrackManager.get_interpolated_shapes` in `cvat/apps/dataset_manager/annotation.py` of CVAT,
and the recordings of tracks in CVAT 2.64. `polylines` moves lines and polygons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from asynccvat.core.convert.polylines import Morph, Point
from asynccvat.core.convert.task_json import (
    AttributeValue,
    Keyframe,
    ShapeType,
    Track,
    inexact,
)


class TrackedShape(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The shape of a track on one frame.

    Attributes:
        keyframe: Whether an annotator drew it there. Otherwise it is interpolated.
        outside: Whether the object is invisible from this frame on.
        track_id: The place of the track in the task's list of tracks, from 0.
        attributes: The values of the shape, then those of the track.
    """

    label_id: int
    frame: int
    type: ShapeType
    points: tuple[float, ...]
    group: int | None
    source: str
    occluded: bool
    outside: bool
    z_order: int
    rotation: float
    attributes: tuple[AttributeValue, ...]
    keyframe: bool
    track_id: int


_LINEAR: Final = frozenset({"rectangle", "ellipse", "cuboid"})
_LINES: Final = frozenset({"polygon", "polyline"})
_FOLLOWED: Final = _LINEAR | _LINES | {"points"}


def tracked_shapes(track: Track, track_id: int, frame_count: int) -> Iterator[TrackedShape]:
    """Yield the shape of a track on each frame on which it is visible, and where that ends.

    Args:
        track: A track that is no skeleton.
        track_id: Its place in the list of tracks.
        frame_count: How many frames the task has.

    Raises:
        InexactConversionError: It is not known how CVAT follows this track.
    """
    for frame, shape, attributes in _followed(track, frame_count):
        is_key = shape.frame == frame
        if track.frame <= frame < frame_count:
            yield TrackedShape(
                label_id=track.label_id,
                frame=frame,
                type=shape.type,
                points=shape.points,
                group=track.group,
                source=track.source,
                occluded=shape.occluded,
                outside=shape.outside,
                z_order=shape.z_order,
                rotation=shape.rotation,
                attributes=attributes + track.attributes,
                keyframe=is_key,
                track_id=track_id,
            )


_Followed = tuple[int, Keyframe, tuple[AttributeValue, ...]]
"""A frame, where the track is there, and its own attributes. Interpolated ones keep their frame."""


def _followed(track: Track, frame_count: int) -> Iterator[_Followed]:
    before: Keyframe | None = None
    attributes: tuple[AttributeValue, ...] = ()
    for shape in sorted(track.shapes, key=lambda shape: shape.frame):
        if shape.type not in _FOLLOWED:
            raise inexact(
                f"a track has the type {shape.type!r}, and no recording shows how CVAT follows it"
            )
        if before is not None:
            if shape.frame == before.frame:
                raise inexact(f"a track has two keyframes on frame {shape.frame}")
            if not before.outside:
                last = min(shape.frame, frame_count)
                for frame, between in _between(before, shape, last):
                    yield frame, between, attributes
        # A value that is not given again stays.
        given = {one.spec_id for one in shape.attributes}
        attributes = shape.attributes + tuple(one for one in attributes if one.spec_id not in given)
        yield shape.frame, shape, attributes
        before = shape
    if before is not None and not before.outside:
        for frame in range(before.frame + 1, frame_count):
            yield frame, before, attributes


def _between(here: Keyframe, there: Keyframe, last: int) -> Iterator[tuple[int, Keyframe]]:
    """Yield the shape on each frame between two keyframes, up to a last frame (exclusive)."""
    if here.type != there.type:
        raise inexact(f"a track changes its type from {here.type!r} to {there.type!r}")
    frames = range(here.frame + 1, last)
    if here.type in _LINES:
        yield from _along_lines(here, there, frames)
    elif here.type in _LINEAR or len(here.points) == len(there.points) == 2:
        yield from _straight(here, there, frames)
    else:  # several points stay where they are
        for frame in frames:
            yield frame, here


def _straight(
    here: Keyframe, there: Keyframe, frames: Sequence[int]
) -> Iterator[tuple[int, Keyframe]]:
    if len(here.points) != len(there.points):
        raise inexact(f"a track of the type {here.type!r} changes its number of points")
    moves = [b - a for a, b in zip(here.points, there.points, strict=True)]
    turn = _turn(here.rotation, there.rotation)
    for frame in frames:
        part = (frame - here.frame) / (there.frame - here.frame)
        points = tuple(a + move * part for a, move in zip(here.points, moves, strict=True))
        rotation = (here.rotation + turn * part + 360) % 360
        yield frame, _moved(here, points, rotation)


def _turn(start: float, end: float) -> float:
    """Return by how many degrees a shape turns, the shorter way round."""
    turn = (end - start + 180) % 360 - 180
    # CVAT does so: half a turn becomes one degree.
    return 1 if turn == -180 else turn


def _along_lines(
    here: Keyframe, there: Keyframe, frames: Sequence[int]
) -> Iterator[tuple[int, Keyframe]]:
    if not frames:
        return
    is_closed = here.type == "polygon"
    try:
        morph = Morph(_corners(here, is_closed), _corners(there, is_closed))
    except ZeroDivisionError:
        raise inexact(f"a track of the type {here.type!r} has a keyframe without length") from None
    for frame in frames:
        corners = morph.at((frame - here.frame) / (there.frame - here.frame))
        if is_closed:
            corners = corners[:-1]
        points = tuple(number for corner in corners for number in corner)
        yield frame, _moved(here, points, here.rotation)


def _corners(shape: Keyframe, is_closed: bool) -> list[Point]:
    corners = list(zip(shape.points[::2], shape.points[1::2], strict=True))
    return [*corners, corners[0]] if is_closed else corners


def _moved(shape: Keyframe, points: tuple[float, ...], rotation: float) -> Keyframe:
    return Keyframe(
        frame=shape.frame,
        type=shape.type,
        points=points,
        occluded=shape.occluded,
        outside=shape.outside,
        z_order=shape.z_order,
        rotation=rotation,
    )
