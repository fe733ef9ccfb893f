"""What was counted: in one task, and in all tasks of a mirror."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

TAG = "tag"
"""The kind of an annotation that is a label of a whole frame."""

_MEDIUM, _LARGE = 32**2, 96**2


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeCounts:
    """How many objects have a bounding box of which area. The bounds are those of COCO.

    Attributes:
        small: Less than 32 x 32 pixels.
        medium: Less than 96 x 96 pixels.
        large: The others.
    """

    small: int = 0
    medium: int = 0
    large: int = 0

    def __add__(self, other: SizeCounts) -> SizeCounts:
        """Add up two counts."""
        return SizeCounts(
            small=self.small + other.small,
            medium=self.medium + other.medium,
            large=self.large + other.large,
        )

    def to_json(self) -> dict[str, int]:
        """Return the counts as JSON types."""
        return {"small": self.small, "medium": self.medium, "large": self.large}


def size_class(area: float) -> str:
    """Return the class of an object by the area of its bounding box, in square pixels."""
    return "small" if area < _MEDIUM else "medium" if area < _LARGE else "large"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCount:
    """How many annotations of one label and one kind there are.

    Attributes:
        label: The label's name.
        kind: `tag`, or the type of the shapes, such as `rectangle`.
        single: Annotations on one frame.
        tracks: Objects that are followed through frames. Each is one, on however many frames.
        tracked: The frames on which tracks are visible, added up for all tracks.
        sizes: The objects by size. A track counts with its first keyframe. Tags have no size, and
            neither have objects of point clouds.
    """

    label: str
    kind: str
    single: int = 0
    tracks: int = 0
    tracked: int = 0
    sizes: SizeCounts = SizeCounts()

    @property
    def objects(self) -> int:
        """Annotations on one frame, and tracks. A track is one object."""
        return self.single + self.tracks

    @property
    def on_frames(self) -> int:
        """Annotations as they are seen: a track counts on each frame on which it is visible."""
        return self.single + self.tracked

    def __add__(self, other: LabelCount) -> LabelCount:
        """Add up two counts of the same label and kind."""
        return LabelCount(
            label=self.label,
            kind=self.kind,
            single=self.single + other.single,
            tracks=self.tracks + other.tracks,
            tracked=self.tracked + other.tracked,
            sizes=self.sizes + other.sizes,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON types."""
        return {
            "label": self.label,
            "kind": self.kind,
            "objects": self.objects,
            "on_frames": self.on_frames,
            "single": self.single,
            "tracks": self.tracks,
            "tracked": self.tracked,
            "sizes": self.sizes.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCounts:
    """How many images and annotations there are, in one task or in many.

    Attributes:
        images: Images or frames of videos, without deleted ones.
        empty: Those without a tag and without a visible shape.
        deleted: Frames that were deleted. What is on them is not counted.
        image_sizes: Images by width and height in pixels, largest count first. It lacks images of
            which no size is known.
        labels: The annotations by label and kind, most objects first.
    """

    images: int = 0
    empty: int = 0
    deleted: int = 0
    image_sizes: Mapping[tuple[int, int], int] = field(default_factory=dict)
    labels: Sequence[LabelCount] = ()

    @property
    def objects(self) -> int:
        """All annotations; a track is one."""
        return sum(one.objects for one in self.labels)

    @property
    def on_frames(self) -> int:
        """All annotations as they are seen on frames."""
        return sum(one.on_frames for one in self.labels)

    @property
    def tracks(self) -> int:
        """All tracks."""
        return sum(one.tracks for one in self.labels)

    @property
    def sizes(self) -> SizeCounts:
        """The objects by size."""
        return sum((one.sizes for one in self.labels), SizeCounts())

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON types."""
        return {
            "images": self.images,
            "empty": self.empty,
            "deleted": self.deleted,
            "objects": self.objects,
            "on_frames": self.on_frames,
            "tracks": self.tracks,
            "sizes": self.sizes.to_json(),
            "image_sizes": [
                {"width": width, "height": height, "images": count}
                for (width, height), count in self.image_sizes.items()
            ],
            "labels": [one.to_json() for one in self.labels],
        }


def counts_of(parts: Iterable[ContentCounts]) -> ContentCounts:
    """Add up counts. Labels of the same name and kind become one."""
    images = empty = deleted = 0
    sizes: Counter[tuple[int, int]] = Counter()
    labels: dict[tuple[str, str], LabelCount] = {}
    for part in parts:
        images += part.images
        empty += part.empty
        deleted += part.deleted
        sizes.update(part.image_sizes)
        for one in part.labels:
            before = labels.get((one.label, one.kind))
            labels[one.label, one.kind] = one if before is None else before + one
    return ContentCounts(
        images=images,
        empty=empty,
        deleted=deleted,
        image_sizes=dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0]))),
        labels=sorted(labels.values(), key=lambda one: (-one.objects, one.label, one.kind)),
    )


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """What one task holds.

    Attributes:
        task_id: The task.
        name: Its name.
        folder: Its folder in the mirror.
        counts: What was counted; None if its files cannot be read.
        why: Why they cannot be read.
    """

    task_id: int
    name: str
    folder: str
    counts: ContentCounts | None
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON types."""
        counted = {} if self.counts is None else self.counts.to_json()
        return {
            "id": self.task_id,
            "name": self.name,
            "folder": self.folder,
            "why": self.why,
            **counted,
        }


@dataclass(frozen=True)
class MirrorStatistics:
    """What a mirror as JSON holds.

    Attributes:
        source: The mirror.
        tasks: What each task holds, by its number.
    """

    source: str
    tasks: Sequence[TaskStatistics]

    @property
    def failed(self) -> list[TaskStatistics]:
        """The tasks that could not be counted."""
        return [one for one in self.tasks if one.counts is None]

    @cached_property
    def total(self) -> ContentCounts:
        """What all tasks hold together, except those that could not be counted."""
        return counts_of(one.counts for one in self.tasks if one.counts is not None)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON types."""
        return {
            "version": 1,
            "source": self.source,
            "counted": len(self.tasks) - len(self.failed),
            "failed": len(self.failed),
            "total": self.total.to_json(),
            "tasks": [one.to_json() for one in self.tasks],
        }
