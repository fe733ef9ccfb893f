"""Read the JSON that CVAT's API gives of one task, as far as exports depend on it.

Annotations and labels are read strictly: a field that this module does not know may change what the
server exports. `formats` makes files of what was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, TypeVar

import msgspec

from asynccvat.core.annotations import json_files
from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import InexactConversionError

ShapeType = Literal[
    "rectangle", "polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton"
]


class AttributeValue(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The value of one attribute of an annotation; `spec_id` names the attribute."""

    spec_id: int
    value: str


class Shape(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """A shape on one frame, or a point of a skeleton.

    `points` are pixels: two corners of a rectangle; centre, right and top of an ellipse; eight
    corners of a cuboid; run lengths and the box of a mask; x, y, x, y ... of the others.
    """

    label_id: int
    frame: int
    type: ShapeType
    points: tuple[float, ...]
    id: int | None = None
    group: int | None = None
    source: str = "manual"
    score: float | None = 1.0
    occluded: bool = False
    outside: bool = False
    z_order: int = 0
    rotation: float = 0.0
    attributes: tuple[AttributeValue, ...] = ()
    elements: tuple[Shape, ...] = ()
    view_id: None = None
    description: str | None = None
    needs_review: bool | None = None


class Keyframe(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """The shape of a track on a frame on which an annotator drew it."""

    frame: int
    type: ShapeType
    points: tuple[float, ...]
    id: int | None = None
    occluded: bool = False
    outside: bool = False
    z_order: int = 0
    rotation: float = 0.0
    attributes: tuple[AttributeValue, ...] = ()


class Track(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """One object through the frames; `elements` are the tracks of a skeleton's points."""

    label_id: int
    frame: int
    shapes: tuple[Keyframe, ...]
    id: int | None = None
    group: int | None = None
    source: str = "manual"
    attributes: tuple[AttributeValue, ...] = ()
    elements: tuple[Track, ...] = ()


class Tag(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, kw_only=True):
    """A label on a whole frame."""

    label_id: int
    frame: int
    id: int | None = None
    group: int | None = None
    source: str = "manual"
    attributes: tuple[AttributeValue, ...] = ()


class Annotations(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All annotations of a task, in the server's order, which exports keep."""

    version: int = 0
    tags: tuple[Tag, ...] = ()
    shapes: tuple[Shape, ...] = ()
    tracks: tuple[Track, ...] = ()


class LabelAttribute(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attribute of a label; `values` are the choices of a select."""

    id: int
    name: str
    mutable: bool
    input_type: str
    default_value: str
    values: tuple[str, ...]


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A label of a task or its project; `sublabels` are the points of a skeleton."""

    id: int
    name: str
    color: str
    type: str
    attributes: tuple[LabelAttribute, ...] = ()
    sublabels: tuple[Label, ...] = ()
    svg: str = ""
    project_id: int | None = None
    task_id: int | None = None
    parent_id: int | None = None
    has_parent: bool = False


class User(msgspec.Struct, frozen=True):
    """A user, as far as exports name them."""

    username: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a task that an export shows, or on which it depends."""

    id: int
    name: str
    created_date: str
    updated_date: str
    mode: str
    size: int = 0
    dimension: str = "2d"
    overlap: int | None = None
    bug_tracker: str | None = ""
    subset: str | None = ""
    owner: User | None = None
    assignee: User | None = None
    validation_mode: str | None = None


class Job(msgspec.Struct, frozen=True):
    """A job of the task, with its first and last frame."""

    id: int
    start_frame: int
    stop_frame: int
    type: str = "annotation"
    url: str = ""
    stage: str = ""
    state: str = ""


class MediaFrame(msgspec.Struct, frozen=True):
    """Name and size of an image, or of a whole video."""

    name: str
    width: int
    height: int


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """What `data/meta` says of the task's frames."""

    size: int
    start_frame: int = 0
    stop_frame: int = 0
    frame_filter: str | None = ""
    frames: tuple[MediaFrame, ...] = ()
    deleted_frames: tuple[int, ...] = ()
    included_frames: tuple[int, ...] | None = None


TASK_FILES: Final = (
    json_files.TASK,
    json_files.LABELS,
    json_files.JOBS,
    json_files.FRAMES,
    json_files.ANNOTATIONS,
)
"""The files of one task in a mirror of JSON that conversions need."""

_TASK: Final = msgspec.json.Decoder(Task)
_LABELS: Final = msgspec.json.Decoder(tuple[Label, ...])
_JOBS: Final = msgspec.json.Decoder(tuple[Job, ...])
_MEDIA: Final = msgspec.json.Decoder(Media)
_ANNOTATIONS: Final = msgspec.json.Decoder(Annotations)

T = TypeVar("T")


@dataclass(frozen=True)
class TaskJson:
    """All that the API says of one task, and what follows from it."""

    task: Task
    labels: tuple[Label, ...]
    jobs: tuple[Job, ...]
    media: Media
    annotations: Annotations

    @cached_property
    def all_labels(self) -> tuple[tuple[Label, Label | None], ...]:
        """Each label by id, with the skeleton of which it is a point, or None."""
        pairs = [
            (label, parent)
            for top in self.labels
            for label, parent in ((top, None), *((point, top) for point in top.sublabels))
        ]
        return tuple(sorted(pairs, key=lambda pair: pair[0].id))

    @cached_property
    def label_by_id(self) -> Mapping[int, Label]:
        """Each label by its id, also those of a skeleton's points."""
        return {label.id: label for label, _ in self.all_labels}

    @cached_property
    def attribute_by_id(self) -> Mapping[int, LabelAttribute]:
        """Each attribute of any label by its id."""
        return {one.id: one for label, _ in self.all_labels for one in label.attributes}

    @property
    def is_video(self) -> bool:
        """Whether the frames are those of a video."""
        return self.task.mode == "interpolation"

    @property
    def subset(self) -> str:
        """The subset as exports call it."""
        return self.task.subset or "default"

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            InexactConversionError: An annotation has a label or an attribute that is not listed.
        """
        labels, attributes = self.label_by_id, self.attribute_by_id
        for label_id, values in _uses(self.annotations):
            if label_id not in labels:
                raise inexact(f"an annotation has the label {label_id}, which labels.json lacks")
            for value in values:
                if value.spec_id not in attributes:
                    raise inexact(
                        f"an annotation has the attribute {value.spec_id}, which labels.json lacks"
                    )


def read_task_json(files: Mapping[str, bytes]) -> TaskJson:
    """Read the files of one task.

    Args:
        files: The bytes of each of `TASK_FILES`, by name.

    Raises:
        InexactConversionError: A file is missing, is not what CVAT 2.54 to 2.64 sends, or has
            annotations with fields that are not known.
    """
    missing = [name for name in TASK_FILES if name not in files]
    if json_files.FRAMES in missing:
        raise inexact("frames.json is missing, so mirror it again without --no-frames")
    if missing:
        raise inexact(f"{missing[0]} is missing")
    return TaskJson(
        task=_decode(_TASK, json_files.TASK, files),
        labels=_decode(_LABELS, json_files.LABELS, files),
        jobs=_decode(_JOBS, json_files.JOBS, files),
        media=_decode(_MEDIA, json_files.FRAMES, files),
        annotations=_decode(_ANNOTATIONS, json_files.ANNOTATIONS, files),
    )


def _decode(decoder: msgspec.json.Decoder[T], name: str, files: Mapping[str, bytes]) -> T:
    try:
        return decoder.decode(files[name])
    except UNREADABLE as error:
        raise inexact(f"{name} is not as expected: {error}") from error


def inexact(why: str) -> InexactConversionError:
    """Return the error that says why a task cannot be converted exactly."""
    return InexactConversionError(
        f"cannot convert the task exactly: {why}. Export it from the server instead.", reason=why
    )


_STEP: Final = re.compile(r"step\s*=\s*([1-9]\d*)")


def step_of(frame_filter: str | None) -> int:
    """Return every how many frames of the media one is in the task, such as 2 for `step=2`."""
    found = _STEP.search(frame_filter or "")
    return int(found[1]) if found else 1


def _uses(annotations: Annotations) -> Iterator[tuple[int, tuple[AttributeValue, ...]]]:
    """Yield label and attributes of every annotation, at any depth."""
    for tag in annotations.tags:
        yield tag.label_id, tag.attributes
    for shape in annotations.shapes:
        yield shape.label_id, shape.attributes
        for point in shape.elements:
            yield point.label_id, point.attributes
    for track in annotations.tracks:
        for one in (track, *track.elements):
            yield one.label_id, one.attributes
            for keyframe in one.shapes:
                yield one.label_id, keyframe.attributes
