"""Collect what an uploaded file says about a task, as CVAT's importers do.

Frames are found by name or number, labels and attributes by name. Attributes that the file lacks
get the label's defaults; attributes that the label lacks, and annotations past the task's last
frame, are dropped. The reader modules read the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from asynccvat.simulator.world.annotations import (
    Annotations,
    Attribute,
    AttributeValues,
    Label,
    Shape,
    ShapeType,
    Tag,
    Track,
    TrackedShape,
    points_fit,
)
from asynccvat.simulator.world.tasks import Task

IMPORT_ERROR = "cvat.apps.dataset_manager.bindings.CvatImportError"


class ImporterError(Exception):
    """An import that fails; the text is the last line of CVAT's traceback."""


@dataclass(frozen=True, slots=True)
class ParsedShape:
    """A shape as a file describes it, without its frame and label.

    Attributes:
        type: What the points mean.
        points: As `annotations.Shape.points`.
        occluded: Whether something hides part of it.
        z_order: Larger ones are in front.
        rotation: Degrees, clockwise.
        attributes: Values by the attribute's name: strings, or what JSON has.
        elements: The shapes of a skeleton.
    """

    type: ShapeType
    points: tuple[float, ...]
    occluded: bool = False
    z_order: int = 0
    rotation: float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    elements: tuple[ParsedElement, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedElement:
    """One shape of a skeleton, with the name of its sublabel."""

    label: str
    shape: ParsedShape
    outside: bool
    keyframe: bool = True


@dataclass(frozen=True, slots=True)
class ParsedKeyframe:
    """A keyframe of a track, as a file describes it."""

    frame: int
    outside: bool
    shape: ParsedShape


class AnnotationCollector:
    """Collects the annotations of one file for a task."""

    def __init__(self, task: Task, ids: Iterator[int], source: str) -> None:
        """Collect for the task; annotations get their numbers from `ids` and the given `source`."""
        self._task = task
        self._ids = ids
        self._source = source
        self._labels = {label.name: label for label in task.labels}
        self._frames = {_stem(frame.name): frame.index for frame in task.frames()}
        self._root = ""
        self._shapes: list[Shape] = []
        self._tags: list[Tag] = []
        self._tracks: list[Track] = []

    @property
    def annotations(self) -> Annotations:
        """All annotations collected so far."""
        return Annotations(tuple(self._shapes), tuple(self._tags), tuple(self._tracks))

    @property
    def task(self) -> Task:
        """The task to which they belong."""
        return self._task

    def find_root(self, names: Iterable[str]) -> None:
        """Find the folder of the task to which the file's image names are relative.

        The deepest name decides: a frame that ends with it tells the folder.

        Args:
            names: The names of all images in the file, without their extensions.
        """
        longest = max(names, key=lambda name: len(PurePosixPath(name).parts), default="")
        parts = PurePosixPath(longest).parts
        for name in self._frames:
            if parts and PurePosixPath(name).parts[-len(parts) :] == parts:
                self._root = name[: len(name) - len(longest)]
                return

    def frame(self, name: str, number: Any = None) -> int:
        """Return the frame of an image.

        Args:
            name: The name of the image, without its extension.
            number: The frame number that the file has; without one, the name may be a number.

        Raises:
            ImporterError: The task has no such frame.
        """
        for known in (name, self._root + name):
            if known in self._frames:
                return self._frames[known]
        try:
            index = self._task.frame_index(int(name if number is None else number))
        except (TypeError, ValueError):
            index = -1
        if not 0 <= index < (self._task.size or 0):
            raise ImporterError(
                f"{IMPORT_ERROR}: Could not match item id: '{name}' with any task frame\n"
            )
        return index

    def label(self, name: str) -> Label:
        """Return the label of that name.

        Raises:
            ImporterError: The task has no such label.
        """
        label = self._labels.get(name)
        if label is None:
            raise ImporterError(f"ValueError: Label {name!r} is not registered for this task\n")
        return label

    def add_shape(self, frame: int, label: Label, shape: ParsedShape, group: int = 0) -> None:
        """Add a shape on one frame.

        Raises:
            ImporterError: The points do not fit the type, or a value its attribute.
        """
        self._shapes.append(self._shape(frame, label, shape, group))

    def _shape(
        self, frame: int, label: Label, shape: ParsedShape, group: int, *, outside: bool = False
    ) -> Shape:
        _check(shape)
        return Shape(
            id=next(self._ids),
            type=shape.type,
            label=label,
            frame=frame,
            points=shape.points,
            occluded=shape.occluded,
            z_order=shape.z_order,
            attributes=_values(label.attributes, shape.attributes),
            rotation=shape.rotation,
            group=group,
            source=self._source,
            description="",
            needs_review=False,
            outside=outside,
            elements=tuple(
                self._shape(frame, _sublabel(label, one.label), one.shape, 0, outside=one.outside)
                for one in shape.elements
            ),
        )

    def add_tag(
        self, frame: int, label: Label, attributes: Mapping[str, Any], group: int = 0
    ) -> None:
        """Add a tag on a frame."""
        values = _values(label.attributes, attributes)
        self._tags.append(Tag(next(self._ids), label, frame, group, self._source, values))

    def add_track(self, label: Label, keyframes: Iterable[ParsedKeyframe], group: int = 0) -> None:
        """Add a track, unless all its keyframes are past the last frame.

        Raises:
            ImporterError: As for shapes.
        """
        ordered = sorted(keyframes, key=lambda keyframe: keyframe.frame)
        inside = [one for one in ordered if 0 <= one.frame < (self._task.size or 0)]
        if not inside:
            return
        self._tracks.append(self._track(label, inside, group))

    def _track(self, label: Label, keyframes: Sequence[ParsedKeyframe], group: int) -> Track:
        mutable = tuple(one for one in label.attributes if one.mutable)
        immutable = tuple(one for one in label.attributes if not one.mutable)
        elements: dict[str, list[ParsedKeyframe]] = {}
        for keyframe in keyframes:
            for one in keyframe.shape.elements:
                if one.keyframe:
                    seen = ParsedKeyframe(keyframe.frame, one.outside, one.shape)
                    elements.setdefault(one.label, []).append(seen)
        return Track(
            id=next(self._ids),
            label=label,
            shapes=tuple(self._tracked(one, mutable) for one in keyframes),
            group=group,
            source=self._source,
            attributes=_values(immutable, keyframes[0].shape.attributes),
            elements=tuple(
                self._track(_sublabel(label, name), seen, 0) for name, seen in elements.items()
            ),
        )

    def _tracked(self, keyframe: ParsedKeyframe, attributes: tuple[Attribute, ...]) -> TrackedShape:
        shape = keyframe.shape
        _check(shape)
        return TrackedShape(
            id=next(self._ids),
            type=shape.type,
            frame=keyframe.frame,
            points=shape.points,
            occluded=shape.occluded,
            outside=keyframe.outside,
            z_order=shape.z_order,
            rotation=shape.rotation,
            attributes=_values(attributes, shape.attributes),
        )


def _sublabel(label: Label, name: str) -> Label:
    for sublabel in label.sublabels:
        if sublabel.name == name:
            return sublabel
    raise ImporterError(f"ValueError: Label {name!r} is not registered for this task\n")


def _check(shape: ParsedShape) -> None:
    if not points_fit(shape.type, shape.points):
        raise ImporterError(f"ValueError: {len(shape.points)} numbers make no {shape.type}\n")


def _values(attributes: Iterable[Attribute], given: Mapping[str, Any]) -> AttributeValues:
    return tuple(
        (one, _text(one, given[one.name]) if one.name in given else one.default_value)
        for one in attributes
    )


def _text(attribute: Attribute, value: Any) -> str:
    """Return a value as CVAT keeps it; a checkbox takes only `true` and `false`."""
    text = str(value)
    if attribute.input_type != "checkbox":
        return text
    if text.lower() not in ("true", "false"):
        raise ImporterError(
            f"Exception: Failed to convert attribute '{attribute.name}'='{text}': \n"
        )
    return text.lower()


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
