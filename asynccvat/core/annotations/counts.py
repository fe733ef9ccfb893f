"""Count annotations: what a task has on the server.

`core.annotations.loss` compares the counts with what a file and its format hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import ProtocolError

SKELETON = "skeleton"
MASK = "mask"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationCounts:
    """How many annotations of each kind there are.

    Attributes:
        tags: Labels of whole frames.
        shapes: Shapes on single frames. A skeleton is one.
        tracks: Objects through many frames.
        types: Shapes and tracks by type: `rectangle`, `polygon`, `mask`, `skeleton`, ...
        grouped: Annotations in a group.
        attributed: Annotations with values of attributes.
    """

    tags: int = 0
    shapes: int = 0
    tracks: int = 0
    types: Mapping[str, int] = field(default_factory=dict)
    grouped: int = 0
    attributed: int = 0

    @property
    def total(self) -> int:
        """The number of annotations."""
        return self.tags + self.shapes + self.tracks

    @property
    def skeletons(self) -> int:
        """Shapes and tracks that are skeletons."""
        return self.types.get(SKELETON, 0)

    @property
    def masks(self) -> int:
        """Shapes and tracks that are masks."""
        return self.types.get(MASK, 0)

    def __str__(self) -> str:
        """Return the counts in words, like `2 tracks and 1 shape`."""
        named = [
            quantity(count, noun)
            for count, noun in ((self.tracks, "track"), (self.shapes, "shape"), (self.tags, "tag"))
            if count
        ]
        return enumeration(named) or "no annotations"

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON types."""
        return {"tags": self.tags, "shapes": self.shapes, "tracks": self.tracks}


@dataclass(frozen=True, slots=True)
class TaskAnnotations:
    """The annotations of a task, as the server sent them.

    Attributes:
        task_id: The task.
        raw: The server's own JSON: an object with `version`, `tags`, `shapes` and `tracks`.
        counts: How many there are.
    """

    task_id: int
    raw: bytes = field(repr=False)
    counts: AnnotationCounts


def quantity(count: int, noun: str) -> str:
    """Return a number with its noun, in the plural if it has to be."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def enumeration(parts: Iterable[str]) -> str:
    """Join parts as in a sentence: with commas, and `and` before the last."""
    *first, last = [*parts] or [""]
    return f"{', '.join(first)} and {last}" if first else last


class _Item(msgspec.Struct, gc=False):
    # Any: a value of another type must not hide the other annotations.
    type: Any = None
    group: Any = None
    attributes: Any = None


class _TrackItem(_Item, gc=False):
    shapes: list[_Item] | None = None


class _Document(msgspec.Struct, gc=False):
    # Decoded one by one: all at once, the annotations of 100 MB take 500 MB.
    tags: list[msgspec.Raw] | None = None
    shapes: list[msgspec.Raw] | None = None
    tracks: list[msgspec.Raw] | None = None


_DOCUMENT = msgspec.json.Decoder(_Document)
_ITEM = msgspec.json.Decoder(_Item)
_TRACK = msgspec.json.Decoder(_TrackItem)


def read_task_annotations(task_id: int, raw: bytes) -> TaskAnnotations:
    """Count the annotations in the server's JSON.

    Raises:
        ProtocolError: It is not that JSON.
    """
    try:
        return TaskAnnotations(task_id, raw, _counts(_DOCUMENT.decode(raw)))
    except UNREADABLE as error:
        raise ProtocolError(
            f"cannot read the annotations of task {task_id}: the server sent JSON that cannot be "
            f"read ({error}). Try again, or check the server's version.",
            task_id=task_id,
            step="annotations",
        ) from error


def _counts(document: _Document) -> AnnotationCounts:
    tags, shapes, tracks = document.tags or [], document.shapes or [], document.tracks or []
    types = Counter[str]()
    grouped = attributed = 0
    decoded = chain(map(_ITEM.decode, chain(tags, shapes)), map(_TRACK.decode, tracks))
    for place, one in enumerate(decoded):
        grouped += bool(one.group)
        attributed += bool(one.attributes) or _has_mutable_attributes(one)
        if isinstance(one, _TrackItem):
            types[_type(one.shapes[0] if one.shapes else one)] += 1
        elif place >= len(tags):
            types[_type(one)] += 1
    return AnnotationCounts(
        tags=len(tags),
        shapes=len(shapes),
        tracks=len(tracks),
        types=dict(types),
        grouped=grouped,
        attributed=attributed,
    )


def _type(item: _Item) -> str:
    return item.type if isinstance(item.type, str) else "unknown"


def _has_mutable_attributes(item: _Item) -> bool:
    """Whether a track has attributes that change from frame to frame."""
    return isinstance(item, _TrackItem) and any(shape.attributes for shape in item.shapes or ())
