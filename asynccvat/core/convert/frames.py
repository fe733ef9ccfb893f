"""Number and name the frames of an export, and lay the annotations on them.

Source: `CommonData` in `cvat/apps/dataset_manager/bindings.py` of CVAT, and the recordings of CVAT
2.54 and 2.64.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asynccvat.core.convert.interpolation import TrackedShape, tracked_shapes
from asynccvat.core.convert.task_json import (
    Annotations,
    Shape,
    ShapeType,
    Tag,
    TaskJson,
    inexact,
    step_of,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of an export.

    Attributes:
        index: Its place in the task, from 0. The JSON of annotations counts so.
        number: Its number in the media. Exports count so.
        name: The image's name, with its folders; that of a video's frame has no extension.
        width: Pixels.
        height: Pixels.
    """

    index: int
    number: int
    name: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """A frame with its annotations; shapes are ordered from back to front."""

    frame: Frame
    shapes: Sequence[Shape | TrackedShape]
    tags: Sequence[Tag]


def frame_step(source: TaskJson) -> int:
    """Return how far apart the frames of the task are in its media."""
    return step_of(source.media.frame_filter)


def exported_frames(source: TaskJson) -> list[Frame]:
    """Return the frames that an export of the task has: all but the deleted ones.

    Raises:
        InexactConversionError: It is not known which frames an export has.
    """
    _check(source)
    media, step = source.media, frame_step(source)
    deleted = set(media.deleted_frames)
    found = []
    for index in range(media.size):
        if index in deleted:
            continue
        number = media.start_frame + index * step
        entry = media.frames[0 if source.is_video else index]
        name = f"frame_{number:06d}" if source.is_video else entry.name
        found.append(Frame(index, number, name, entry.width, entry.height))
    return found


def _check(source: TaskJson) -> None:
    task, media = source.task, source.media
    if task.dimension != "2d":
        raise inexact(f"its media are {task.dimension}")
    if not media.size:
        raise inexact("it has no data")
    if task.validation_mode == "gt_pool":
        raise inexact("its frames for validation (honeypots) are not exported")
    if media.included_frames is not None:
        raise inexact("only some of its frames are included")
    described = 1 if source.is_video else media.size
    if len(media.frames) != described:
        raise inexact(f"{len(media.frames)} frames are described instead of {described}")
    if media.deleted_frames and source.annotations.tracks:
        raise inexact("it has tracks and deleted frames")
    _check_shapes(source.annotations, media.size)


def _check_shapes(annotations: Annotations, frame_count: int) -> None:
    for kind, points in _places(annotations):
        if not _fit(kind, points):
            raise inexact(f"a {kind} has {len(points)} numbers as its points")
    for shape in annotations.shapes:
        if shape.score not in (1.0, None) or shape.description or shape.needs_review:
            raise inexact("a shape has a score, a description or a mark for review")
        if not 0 <= shape.frame < frame_count:
            raise inexact(f"a shape is on frame {shape.frame}, and it has {frame_count} frames")


def _places(annotations: Annotations) -> Iterator[tuple[ShapeType, tuple[float, ...]]]:
    """Yield type and points of all shapes, at any depth."""
    for shape in annotations.shapes:
        yield shape.type, shape.points
        for point in shape.elements:
            yield point.type, point.points
    for track in annotations.tracks:
        for keyframe in track.shapes:
            yield keyframe.type, keyframe.points


_COUNTS: Final[Mapping[ShapeType, int]] = {"rectangle": 4, "ellipse": 4, "cuboid": 16}


def _fit(kind: ShapeType, points: tuple[float, ...]) -> bool:
    """Whether the number of points fits the type of shape."""
    if kind in _COUNTS:
        return len(points) == _COUNTS[kind]
    if kind == "mask":  # a run at least, and the box
        return len(points) > 4
    return kind == "skeleton" or (len(points) > 0 and len(points) % 2 == 0)


def annotated_frames(source: TaskJson, *, skeletons: bool) -> Iterator[AnnotatedFrame]:
    """Yield the frames of an export with the annotations that are visible there.

    Args:
        source: The task.
        skeletons: Whether the format has skeletons. Without, tracks of skeletons are left out.

    Raises:
        InexactConversionError: It is not known how CVAT exports the task.
    """
    frames = exported_frames(source)
    shapes: dict[int, list[Shape | TrackedShape]] = defaultdict(list)
    for shape in source.annotations.shapes:
        shapes[shape.frame].append(shape)
    tags: dict[int, list[Tag]] = defaultdict(list)
    for tag in source.annotations.tags:
        tags[tag.frame].append(tag)
    tracks = _TracksByFrame(source, skeletons=skeletons)
    for frame in frames:
        here = shapes.pop(frame.index, [])
        here += (shape for shape in tracks.on(frame.index) if not shape.outside)
        here.sort(key=lambda shape: shape.z_order)
        yield AnnotatedFrame(frame, here, tags.pop(frame.index, ()))


class _TracksByFrame:
    """Follow all tracks at once, so that only one shape of each is in memory."""

    def __init__(self, source: TaskJson, *, skeletons: bool) -> None:
        self._next: dict[int, list[tuple[TrackedShape, Iterator[TrackedShape]]]] = defaultdict(list)
        for number, track in enumerate(source.annotations.tracks):
            if track.elements or source.label_by_id[track.label_id].type == "skeleton":
                if skeletons:
                    raise inexact("it has a track of a skeleton")
                continue
            self._wait(tracked_shapes(track, number, source.media.size))

    def on(self, frame: int) -> Iterator[TrackedShape]:
        """Yield the shape of each track that has one on a frame. Frames must come in order."""
        for shape, more in sorted(self._next.pop(frame, ()), key=lambda one: one[0].track_id):
            yield shape
            self._wait(more)

    def _wait(self, shapes: Iterator[TrackedShape]) -> None:
        shape = next(shapes, None)
        if shape is not None:
            self._next[shape.frame].append((shape, shapes))
