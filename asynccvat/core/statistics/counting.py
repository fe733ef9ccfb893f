"""Count what the files of one task say. `values` has what comes of it.

Annotations are decoded one by one, so that a large task costs little more memory than its files.
Fields that are not counted may be anything: a newer CVAT may have more of them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final, TypeVar

import msgspec

from asynccvat.core.annotations import json_files
from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.statistics.values import (
    TAG,
    ContentCounts,
    LabelCount,
    SizeCounts,
    counts_of,
    size_class,
)
from asynccvat.errors import AnnotationFileError

STATISTICS_FILES: Final = (
    json_files.TASK,
    json_files.LABELS,
    json_files.FRAMES,
    json_files.ANNOTATIONS,
)
"""The files of a task that are counted. `frames.json` may be missing."""


class _Task(msgspec.Struct):
    size: int | None = None
    dimension: str | None = None


class _Label(msgspec.Struct):
    id: int
    name: str


class _ImageSize(msgspec.Struct, gc=False):
    width: int
    height: int


class _Media(msgspec.Struct):
    size: int
    frames: tuple[_ImageSize, ...] = ()
    deleted_frames: tuple[int, ...] = ()


class _Tag(msgspec.Struct, gc=False):
    label_id: int
    frame: int


class _Shape(msgspec.Struct, gc=False):
    frame: int
    type: str
    label_id: int = 0
    points: tuple[float, ...] = ()
    outside: bool = False
    elements: tuple[_Shape, ...] = ()


class _Track(msgspec.Struct, gc=False):
    label_id: int
    shapes: tuple[_Shape, ...]
    elements: tuple[_Track, ...] = ()


class _Annotations(msgspec.Struct):
    tags: list[msgspec.Raw] = []
    shapes: list[msgspec.Raw] = []
    tracks: list[msgspec.Raw] = []


_TASK: Final = msgspec.json.Decoder(_Task)
_LABELS: Final = msgspec.json.Decoder(tuple[_Label, ...])
_MEDIA: Final = msgspec.json.Decoder(_Media)
_ANNOTATIONS: Final = msgspec.json.Decoder(_Annotations)
_TAG: Final = msgspec.json.Decoder(_Tag)
_SHAPE: Final = msgspec.json.Decoder(_Shape)
_TRACK: Final = msgspec.json.Decoder(_Track)

T = TypeVar("T")


def count_task(files: Mapping[str, bytes]) -> ContentCounts:
    """Count what a task holds.

    Args:
        files: The bytes of each of `STATISTICS_FILES`, by name. Without `frames.json`, deleted
            frames and sizes of images are unknown, and counted as none.

    Raises:
        AnnotationFileError: Another file is missing, or one is not what CVAT says of a task.
    """
    task = _decoded(_TASK, json_files.TASK, files)
    names = {one.id: one.name for one in _decoded(_LABELS, json_files.LABELS, files)}
    media = _Media(task.size or 0)
    if json_files.FRAMES in files:
        media = _decoded(_MEDIA, json_files.FRAMES, files)
    frames = _Frames(media)
    counting = _Counting(frames, names, has_sizes=task.dimension != "3d")
    annotations = _decoded(_ANNOTATIONS, json_files.ANNOTATIONS, files)
    try:
        for tag in map(_TAG.decode, annotations.tags):
            counting.add_tag(tag)
        for shape in map(_SHAPE.decode, annotations.shapes):
            counting.add_shape(shape)
        for track in map(_TRACK.decode, annotations.tracks):
            counting.add_track(track)
    except UNREADABLE as error:
        raise _not_as_expected(json_files.ANNOTATIONS, error) from error
    return counting.result(_image_sizes(media, frames.images))


def _decoded(decoder: msgspec.json.Decoder[T], name: str, files: Mapping[str, bytes]) -> T:
    if name not in files:
        raise AnnotationFileError(f"cannot count the task: {name} is missing. Mirror it again.")
    try:
        return decoder.decode(files[name])
    except UNREADABLE as error:
        raise _not_as_expected(name, error) from error


def _not_as_expected(name: str, error: Exception) -> AnnotationFileError:
    return AnnotationFileError(
        f"cannot count the task: {name} is not as expected: {error}. Mirror it again."
    )


def _image_sizes(media: _Media, images: int) -> Mapping[tuple[int, int], int]:
    """Return how many images have which size. A video says the size of all its frames once."""
    deleted = set(media.deleted_frames)
    if len(media.frames) == 1:
        (one,) = media.frames
        return {(one.width, one.height): images}
    return Counter(
        (one.width, one.height) for number, one in enumerate(media.frames) if number not in deleted
    )


class _Frames:
    """Which frames of a task are there, and which of them have an annotation."""

    def __init__(self, media: _Media) -> None:
        self.size = media.size
        self._deleted = {number for number in media.deleted_frames if 0 <= number < media.size}
        there = (number not in self._deleted for number in range(self.size))
        self._there_before = list(accumulate(there, initial=0))
        # By frame, how many tracks become visible there, less those that vanish.
        self._changes = [0] * (self.size + 1)

    @property
    def deleted(self) -> int:
        return len(self._deleted)

    @property
    def images(self) -> int:
        return self.size - self.deleted

    @property
    def empty(self) -> int:
        visible = accumulate(self._changes[: self.size])
        return sum(
            not count and number not in self._deleted for number, count in enumerate(visible)
        )

    def marked(self, first: int, end: int) -> int:
        """Note an annotation from a frame up to another one; return on how many it is seen."""
        first, end = max(first, 0), min(end, self.size)
        if first >= end:
            return 0
        self._changes[first] += 1
        self._changes[end] -= 1
        return self._there_before[end] - self._there_before[first]


@dataclass(slots=True)
class _Row:
    """What was counted of one label and one kind."""

    single: int = 0
    tracks: int = 0
    tracked: int = 0
    areas: Counter[str] = field(default_factory=Counter)


class _Counting:
    """Counts the annotations of a task."""

    def __init__(self, frames: _Frames, names: Mapping[int, str], *, has_sizes: bool) -> None:
        self._frames = frames
        self._names = names
        self._has_sizes = has_sizes
        self._rows: defaultdict[tuple[int, str], _Row] = defaultdict(_Row)

    def add_tag(self, tag: _Tag) -> None:
        if self._frames.marked(tag.frame, tag.frame + 1):
            self._rows[tag.label_id, TAG].single += 1

    def add_shape(self, shape: _Shape) -> None:
        if self._frames.marked(shape.frame, shape.frame + 1):
            row = self._rows[shape.label_id, shape.type]
            row.single += 1
            self._add_size(row, [shape])

    def add_track(self, track: _Track) -> None:
        keyframes = sorted(track.shapes, key=lambda shape: shape.frame)
        kind = keyframes[0].type if keyframes else "unknown"
        row = self._rows[track.label_id, kind]
        row.tracks += 1
        row.tracked += sum(
            self._frames.marked(first, end) for first, end in visible(keyframes, self._frames.size)
        )
        drawn = [shape for one in (track, *track.elements) for shape in one.shapes]
        begin = min((shape.frame for shape in drawn if shape.points), default=None)
        self._add_size(row, [shape for shape in drawn if shape.frame == begin])

    def _add_size(self, row: _Row, shapes: Iterable[_Shape]) -> None:
        area = _area(_boxes(shapes)) if self._has_sizes else None
        if area is not None:
            row.areas[size_class(area)] += 1

    def result(self, image_sizes: Mapping[tuple[int, int], int]) -> ContentCounts:
        labels = [
            LabelCount(
                label=self._names.get(label, f"label {label}"),
                kind=kind,
                single=row.single,
                tracks=row.tracks,
                tracked=row.tracked,
                sizes=SizeCounts(**row.areas),
            )
            for (label, kind), row in self._rows.items()
        ]
        frames = self._frames
        return counts_of(
            [
                ContentCounts(
                    images=frames.images,
                    empty=frames.empty,
                    deleted=frames.deleted,
                    image_sizes=image_sizes,
                    labels=labels,
                )
            ]
        )


def visible(keyframes: Iterable[_Shape], size: int) -> Iterator[tuple[int, int]]:
    """Yield from which frame up to which other one a track is visible.

    A keyframe holds until the next one, the last until the end of the task. So CVAT shows it.

    Args:
        keyframes: The shapes of the track, by frame.
        size: How many frames the task has.
    """
    marks = [(shape.frame, shape.outside) for shape in keyframes]
    for (first, outside), (end, _) in pairwise([*marks, (size, True)]):
        if not outside:
            yield first, end


Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def _boxes(shapes: Iterable[_Shape]) -> Iterator[Box]:
    for shape in shapes:
        points = shape.points
        if shape.type == "mask" and len(points) >= 4:
            left, top, right, bottom = points[-4:]
            yield left, top, right + 1, bottom + 1
        elif shape.type == "ellipse" and len(points) == 4:
            x, y, right, top = points
            yield 2 * x - right, top, right, 2 * y - top
        elif len(points) >= 2:
            yield min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2])
        yield from _boxes(shape.elements)


def _area(boxes: Iterable[Box]) -> float | None:
    """Return the area of the box around boxes, None if there are none."""
    found = list(boxes)
    if not found:
        return None
    width = max(right for _, _, right, _ in found) - min(left for left, _, _, _ in found)
    height = max(bottom for _, _, _, bottom in found) - min(top for _, top, _, _ in found)
    return width * height
