"""The annotated frames of an export, from which the writers make annotation files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from asynccvat.simulator.world.annotations import Annotations, Attribute, Shape, Tag
from asynccvat.simulator.world.content import Frame
from asynccvat.simulator.world.tasks import Task


@dataclass(frozen=True, slots=True)
class AnnotatedFrame:
    """One frame of an export with its annotations, shapes from back to front.

    Attributes:
        task: Its task.
        frame: The frame; its index is its number in the export.
        shapes: The shapes on it.
        tags: The tags on it.
        first: The number of the task's first frame in the export.
        step: How far apart the numbers of the task's frames are.
    """

    task: Task
    frame: Frame
    shapes: tuple[Shape, ...]
    tags: tuple[Tag, ...]
    first: int = 0
    step: int = 1

    @property
    def subset(self) -> str:
        """The subset as exporters call it."""
        return self.task.subset or "default"

    @property
    def item_id(self) -> str:
        """The frame's name without its extension, as Datumaro and VOC name an image."""
        return str(PurePosixPath(self.frame.name).with_suffix(""))


def annotated_frames(tasks: Sequence[Task], dimension: str = "2d") -> list[AnnotatedFrame]:
    """Return the frames of all tasks with unique names.

    Those of one task are numbered as in its media, those of several consecutively.

    A format of another dimension than the task's holds none of its annotations, as seen on 2.64.
    """
    annotated: list[AnnotatedFrame] = []
    taken: dict[str, int] = defaultdict(int)
    for task in tasks:
        shapes: dict[int, list[Shape]] = defaultdict(list)
        tags: dict[int, list[Tag]] = defaultdict(list)
        annotations = task.annotations() if task.dimension == dimension else Annotations()
        for shape in annotations.shapes:
            shapes[shape.frame].append(shape)
        for number, track in enumerate(annotations.tracks):
            for shape in track.shapes_until(task.size or 0, number):
                shapes[shape.frame].append(shape)
        for tag in annotations.tags:
            tags[tag.frame].append(tag)
        is_only = len(tasks) == 1
        first = task.frame_number(0) if is_only else len(annotated)
        step = task.frame_number(1) - first if is_only else 1
        for frame in task.exported_frames():
            name = _unique_name(frame.name, taken)
            back_to_front = tuple(sorted(shapes[frame.index], key=lambda shape: shape.z_order))
            number = task.frame_number(frame.index) if is_only else len(annotated)
            numbered = replace(frame, index=number, name=name)
            here = tuple(tags[frame.index])
            annotated.append(AnnotatedFrame(task, numbered, back_to_front, here, first, step))
    return annotated


def _unique_name(name: str, taken: dict[str, int]) -> str:
    """Return `name`, or `name_1` and so on if it is taken, as CVAT does."""
    stem, dot, extension = name.rpartition(".")
    count = taken[name]
    taken[name] += 1
    return f"{stem}_{count}{dot}{extension}" if count else name


def shape_attributes(shape: Shape) -> dict[str, Any]:
    """Return the attributes of a shape as Datumaro's formats have them, by name."""
    values: dict[str, Any] = {
        attribute.name: attribute_value(attribute, value) for attribute, value in shape.attributes
    }
    values["occluded"] = shape.occluded
    if shape.type in ("rectangle", "ellipse"):
        values["rotation"] = float(shape.rotation)
    if shape.track_id is not None:
        values |= {"track_id": shape.track_id, "keyframe": shape.keyframe}
    return values


def attribute_value(attribute: Attribute, value: str) -> str | bool | float:
    """Return a value for JSON: a boolean for a checkbox, a number for a number, else a string."""
    if attribute.input_type == "checkbox":
        return value.lower() == "true"
    return float(value) if attribute.input_type == "number" else value
