"""Compare a task with its copy on another server: frames, and annotations by kind.

Ids, dates and owners differ on two servers. What has to be equal is counted: frames, tags, shapes
and tracks, and shapes and tracks of each type. `commands.copy.comparison` reads both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asynccvat.core.annotations.counts import AnnotationCounts

_SUBSET = "subset"


@dataclass(frozen=True, slots=True)
class TaskContent:
    """What is compared of a task.

    Attributes:
        frames: Frames, deleted ones included.
        counts: Annotations of each kind.
        subset: Its subset.
    """

    frames: int | None
    counts: AnnotationCounts = field(default_factory=AnnotationCounts)
    subset: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"frames": self.frames, **self.counts.to_json()}


@dataclass(frozen=True, slots=True)
class ComparedTask:
    """A task and its copy.

    Attributes:
        task: The task at the source.
        copy: Its copy at the target.
        source: What the task holds.
        target: What the copy holds.
    """

    task: int
    copy: int
    source: TaskContent
    target: TaskContent

    @property
    def differences(self) -> tuple[str, ...]:
        """What differs, each in words; empty if they are equal."""
        return differences(self.source, self.target)

    @property
    def difference_rows(self) -> tuple[tuple[str, object, object], ...]:
        """What differs: its name, and its value at the source and at the target."""
        return _different(self.source, self.target)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "copy": self.copy,
            "source": self.source.to_json(),
            "target": self.target.to_json(),
            "differences": list(self.differences),
        }


def differences(source: TaskContent, target: TaskContent) -> tuple[str, ...]:
    """Return what differs between a task and its copy, each in words."""
    return tuple(
        [
            f"{noun} {theirs!r} instead of {mine!r}"
            if noun == _SUBSET
            else f"{theirs:,} {noun} instead of {mine:,}"
            for noun, mine, theirs in _different(source, target)
        ]
    )


def _different(source: TaskContent, target: TaskContent) -> tuple[tuple[str, Any, Any], ...]:
    mine, theirs = source.counts, target.counts
    pairs: list[tuple[str, Any, Any]] = [
        ("frames", source.frames or 0, target.frames or 0),
        ("tags", mine.tags, theirs.tags),
        ("shapes", mine.shapes, theirs.shapes),
        ("tracks", mine.tracks, theirs.tracks),
    ]
    kinds = sorted({*mine.types, *theirs.types})
    pairs += [
        (f"of type {kind}", mine.types.get(kind, 0), theirs.types.get(kind, 0)) for kind in kinds
    ]
    pairs.append((_SUBSET, source.subset, target.subset))
    return tuple([pair for pair in pairs if pair[1] != pair[2]])
