"""Labels and annotations as values: shapes, tags and tracks of one task.

`content` makes annotations from a seed; `formats` reads and writes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, get_args

ShapeType = Literal[
    "rectangle", "polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton"
]

SHAPE_TYPES: Final[tuple[ShapeType, ...]] = get_args(ShapeType)


_NUMBERS: Final[dict[ShapeType, int]] = {"rectangle": 4, "ellipse": 4, "cuboid": 16}


def points_fit(type_: ShapeType, points: Sequence[float]) -> bool:
    """Tell whether the number of points fits the type of shape."""
    if type_ in _NUMBERS:
        return len(points) == _NUMBERS[type_]
    if type_ == "skeleton":
        return not points
    if type_ != "mask":
        return len(points) > 0 and len(points) % 2 == 0
    if len(points) < 5 or min(points) < 0:
        return False
    *runs, left, top, right, bottom = points
    return sum(runs) == (right - left + 1) * (bottom - top + 1)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a label; `values` are the choices of a select."""

    id: int
    name: str
    mutable: bool
    input_type: str
    default_value: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """A label of a project, or of a task that has none (`project_id` None).

    A skeleton has `sublabels`, one for each of its points, and `svg`, its drawing. `task_id` is
    the task that has the label for itself; None for labels that generated tasks share.
    """

    id: int
    name: str
    color: str
    type: str
    attributes: tuple[Attribute, ...]
    project_id: int | None
    sublabels: tuple[Label, ...] = ()
    svg: str = ""
    task_id: int | None = None

    @property
    def named_svg(self) -> str:
        """The drawing with names of sublabels, which exports and backups have, not their ids."""
        svg = self.svg
        for label in self.sublabels:
            svg = svg.replace(f'data-label-id="{label.id}"', f'data-label-name="{label.name}"')
        return svg


AttributeValues = tuple[tuple[Attribute, str], ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape on one frame.

    Attributes:
        id: Its number.
        type: What the points mean.
        label: Its label.
        frame: The frame, from 0.
        points: Pixels: xtl, ytl, xbr, ybr of a rectangle; cx, cy, right, top of an ellipse; eight
            corners of a cuboid; run lengths and the box (left, top, right, bottom, inclusive) of a
            mask; none of a skeleton, whose elements have them; x, y, x, y ... of the others.
        occluded: Whether something hides part of it.
        z_order: Larger ones are in front.
        attributes: Values of the label's attributes.
        rotation: Degrees, clockwise.
        group: Number of its group, or None if none was given.
        source: `manual`, `file`, `auto` or `semi-auto`.
        description: Text of an annotator.
        needs_review: Whether an annotator ticked it for review.
        track_id: If the shape is that of a track on one frame: which track of the task.
        keyframe: If so: whether an annotator drew it there; otherwise it is interpolated.
        outside: Whether it is invisible, as an element of a skeleton may be.
        elements: The shapes of a skeleton, one for each sublabel.
        score: How sure a model was, from 0 to 1.
    """

    id: int
    type: ShapeType
    label: Label
    frame: int
    points: tuple[float, ...]
    occluded: bool
    z_order: int
    attributes: AttributeValues
    rotation: float = 0.0
    group: int | None = None
    source: str = "manual"
    description: str | None = None
    needs_review: bool | None = None
    track_id: int | None = None
    keyframe: bool = False
    outside: bool = False
    elements: tuple[Shape, ...] = ()
    score: float = 1


@dataclass(frozen=True, slots=True)
class Tag:
    """A label on a whole frame."""

    id: int
    label: Label
    frame: int
    group: int | None = None
    source: str = "manual"
    attributes: AttributeValues = ()


@dataclass(frozen=True, slots=True)
class TrackedShape:
    """The shape of a track from a keyframe on.

    `attributes` holds the mutable ones. With `outside` the track is invisible from there on.
    """

    id: int
    type: ShapeType
    frame: int
    points: tuple[float, ...]
    occluded: bool
    outside: bool
    z_order: int = 0
    rotation: float = 0.0
    attributes: AttributeValues = ()


@dataclass(frozen=True, slots=True)
class Track:
    """One object through the frames: its shapes on keyframes, ordered by frame.

    `attributes` holds the immutable ones, `elements` the tracks of a skeleton's points.
    """

    id: int
    label: Label
    shapes: tuple[TrackedShape, ...]
    group: int | None = None
    source: str = "manual"
    attributes: AttributeValues = ()
    elements: tuple[Track, ...] = ()

    @property
    def frame(self) -> int:
        """The first frame of the track."""
        return self.shapes[0].frame

    def shapes_until(self, frames: int, track_id: int) -> Iterator[Shape]:
        """Yield the shape of the track on each frame on which it is visible.

        Between keyframes with equally many points, the points move linearly. Otherwise the shape
        stays the same until the next keyframe.

        Args:
            frames: Number of frames of the task.
            track_id: Which track of the task it is.
        """
        end = dataclasses.replace(self.shapes[-1], frame=frames)
        for here, there in pairwise((*self.shapes, end)):
            if here.outside:
                continue
            for frame in range(here.frame, min(there.frame, frames)):
                part = (frame - here.frame) / (there.frame - here.frame)
                yield self._shape(_between(here, there, part), frame, track_id)

    def shape_on(self, frame: int, track_id: int) -> Shape | None:
        """Return the shape on a frame, also if it is outside; None before the first keyframe."""
        end = dataclasses.replace(self.shapes[-1], frame=max(frame, self.shapes[-1].frame) + 1)
        for here, there in pairwise((*self.shapes, end)):
            if here.frame <= frame < there.frame:
                part = (frame - here.frame) / (there.frame - here.frame)
                # Where a shape goes is known only while it is visible.
                seen = here if here.outside else _between(here, there, part)
                return self._shape(seen, frame, track_id)
        return None

    def _shape(self, seen: TrackedShape, frame: int, track_id: int) -> Shape:
        return Shape(
            id=seen.id,
            type=seen.type,
            label=self.label,
            frame=frame,
            points=seen.points,
            occluded=seen.occluded,
            z_order=seen.z_order,
            attributes=(*seen.attributes, *self.attributes),
            rotation=seen.rotation,
            group=self.group,
            source=self.source,
            track_id=track_id,
            keyframe=seen.frame == frame,
            outside=seen.outside,
            elements=tuple(
                shape
                for element in self.elements
                if (shape := element.shape_on(frame, track_id)) is not None
            ),
        )


def _between(here: TrackedShape, there: TrackedShape, part: float) -> TrackedShape:
    if not part or here.type != there.type or len(here.points) != len(there.points):
        return here
    if here.type == "mask":  # run lengths are not coordinates
        return here
    moved = tuple(a + (b - a) * part for a, b in zip(here.points, there.points, strict=True))
    turned = here.rotation + ((there.rotation - here.rotation + 180) % 360 - 180) * part
    return dataclasses.replace(here, points=moved, rotation=turned % 360)


@dataclass(frozen=True, slots=True)
class Annotations:
    """All annotations of a task.

    Shapes and tags of generated tasks are ordered by frame.
    """

    shapes: tuple[Shape, ...] = ()
    tags: tuple[Tag, ...] = ()
    tracks: tuple[Track, ...] = ()
