"""Puts together what an uploaded file says of a task, as CVAT's importers do.

Frames are found by their names or numbers, labels and attributes by their names. Values that the
file lacks get the label's defaults, attributes that the label lacks are left out, and what lies on
frames past the task's end is dropped. Reading the files is left to the `reading` modules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


class ImportFailedError(Exception):
    """An import that fails; the message is the last line of CVAT's traceback."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a file says of a shape, whichever frame and label it has.

    Attributes:
        type: What the points mean.
        points: As `annotations.Shape.points`.
        attributes: Values by the attribute's name: texts, or what JSON has.
    """

    type: ShapeType
    points: tuple[float, ...]
    occluded: bool = False
    z_order: int = 0
    rotation: float = 0.0
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Keyframe:
    """What a file says of a track on one frame."""

    frame: int
    outside: bool
    look: Look


class Collector:
    """The annotations of one file, on their way into a task."""

    def __init__(self, task: Task, ids: Iterator[int], source: str) -> None:
        """Collect for the task; new annotations are numbered by `ids` and come from `source`."""
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
        """All of it."""
        return Annotations(tuple(self._shapes), tuple(self._tags), tuple(self._tracks))

    @property
    def task(self) -> Task:
        """The task that it is for."""
        return self._task

    def find_root(self, names: Iterable[str]) -> None:
        """Take names to be relative to a folder of the task where the longest of them fits there.

        Args:
            names: Of all images in the file, without their extensions.
        """
        longest = max(names, key=lambda name: len(PurePosixPath(name).parts), default="")
        parts = PurePosixPath(longest).parts
        for name in self._frames:
            if parts and PurePosixPath(name).parts[-len(parts) :] == parts:
                self._root = name[: len(name) - len(longest)]
                return

    def frame(self, name: str, number: Any = None) -> int:
        """The frame of an image.

        Args:
            name: Of the image, without its extension.
            number: What the file says of its number; where it says nothing, the name may be one.

        Raises:
            ImportFailedError: The task has no such frame.
        """
        for known in (name, self._root + name):
            if known in self._frames:
                return self._frames[known]
        try:
            index = int(name if number is None else number)
        except (TypeError, ValueError):
            index = -1
        if not 0 <= index < (self._task.size or 0):
            raise ImportFailedError(
                f"{IMPORT_ERROR}: Could not match item id: '{name}' with any task frame\n"
            )
        return index

    def label(self, name: str) -> Label:
        """The label of that name.

        Raises:
            ImportFailedError: The task has none.
        """
        label = self._labels.get(name)
        if label is None:
            raise ImportFailedError(f"ValueError: Label {name!r} is not registered for this task\n")
        return label

    def add_shape(self, frame: int, label: Label, look: Look, group: int = 0) -> None:
        """Add a shape on one frame.

        Raises:
            ImportFailedError: Its points make no such shape, or a value is none of its attribute.
        """
        _check(look)
        self._shapes.append(
            Shape(
                id=next(self._ids),
                type=look.type,
                label=label,
                frame=frame,
                points=look.points,
                occluded=look.occluded,
                z_order=look.z_order,
                attributes=_values(label.attributes, look.attributes),
                rotation=look.rotation,
                group=group,
                source=self._source,
                description="",
                needs_review=False,
            )
        )

    def add_tag(
        self, frame: int, label: Label, attributes: Mapping[str, Any], group: int = 0
    ) -> None:
        """Add a tag on a frame."""
        values = _values(label.attributes, attributes)
        self._tags.append(Tag(next(self._ids), label, frame, group, self._source, values))

    def add_track(self, label: Label, keyframes: Iterable[Keyframe], group: int = 0) -> None:
        """Add a track; one whose keyframes all lie past the task's end is dropped.

        Raises:
            ImportFailedError: As for shapes.
        """
        ordered = sorted(keyframes, key=lambda keyframe: keyframe.frame)
        inside = [one for one in ordered if 0 <= one.frame < (self._task.size or 0)]
        if not inside:
            return
        mutable = tuple(one for one in label.attributes if one.mutable)
        immutable = tuple(one for one in label.attributes if not one.mutable)
        self._tracks.append(
            Track(
                id=next(self._ids),
                label=label,
                shapes=tuple(self._tracked(one, mutable) for one in inside),
                group=group,
                source=self._source,
                attributes=_values(immutable, inside[0].look.attributes),
            )
        )

    def _tracked(self, keyframe: Keyframe, attributes: tuple[Attribute, ...]) -> TrackedShape:
        look = keyframe.look
        _check(look)
        return TrackedShape(
            id=next(self._ids),
            type=look.type,
            frame=keyframe.frame,
            points=look.points,
            occluded=look.occluded,
            outside=keyframe.outside,
            z_order=look.z_order,
            rotation=look.rotation,
            attributes=_values(attributes, look.attributes),
        )


def _check(look: Look) -> None:
    if not points_fit(look.type, look.points):
        raise ImportFailedError(f"ValueError: {len(look.points)} numbers make no {look.type}\n")


def _values(attributes: Iterable[Attribute], given: Mapping[str, Any]) -> AttributeValues:
    return tuple(
        (one, _text(one, given[one.name]) if one.name in given else one.default_value)
        for one in attributes
    )


def _text(attribute: Attribute, value: Any) -> str:
    """A value as CVAT keeps it; of checkboxes only `true` and `false` are values."""
    text = str(value)
    if attribute.input_type != "checkbox":
        return text
    if text.lower() not in ("true", "false"):
        raise ImportFailedError(
            f"Exception: Failed to convert attribute '{attribute.name}'='{text}': \n"
        )
    return text.lower()


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
