"""What a merge of many tasks into one data set came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class MergedPart:
    """The counts of one part of a data set.

    Attributes:
        name: Its name, such as `train`.
        tasks: How many tasks have images in it.
        images: How many images are in it.
        empty: How many of them have no object.
        without_file: How many of them are only described, as the mirror has no file.
        objects: How many objects of each label there are.
    """

    name: str
    tasks: int = 0
    images: int = 0
    empty: int = 0
    without_file: int = 0
    objects: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "name": self.name,
            "tasks": self.tasks,
            "images": self.images,
            "empty": self.empty,
            "without_file": self.without_file,
            "objects": self.objects.total(),
            "labels": dict(self.objects),
        }


@dataclass(frozen=True, slots=True)
class FailedMerge:
    """A task that is not in the data set.

    Attributes:
        source: The mirror.
        task_id: The task.
        name: Its name.
        why: Why it is not in it.
    """

    source: str
    task_id: int
    name: str
    why: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {"source": self.source, "id": self.task_id, "name": self.name, "why": self.why}


@dataclass(frozen=True, slots=True)
class MergedFiles:
    """What happened to the files of a data set.

    Attributes:
        written: New or changed files of annotations.
        linked: New or changed images that share their bytes with the mirror.
        copied: New or changed images that were copied.
        unchanged: Files that were there already.
        removed: Files of an earlier merge that are no longer a part.
    """

    written: int = 0
    linked: int = 0
    copied: int = 0
    unchanged: int = 0
    removed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "written": self.written,
            "linked": self.linked,
            "copied": self.copied,
            "unchanged": self.unchanged,
            "removed": self.removed,
        }


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge of many tasks into one data set came to.

    Attributes:
        sources: The mirrors.
        out: The folder of the data set.
        format: The format of the data set.
        labels: Its labels, in their order.
        parts: The counts of each part.
        failed: The tasks that are not in it.
        tasks: How many tasks are in it.
        files: What happened to its files.
        warnings: Conflicts of labels, and what the user should know besides.
    """

    sources: Sequence[str]
    out: str
    format: str
    labels: Sequence[str]
    parts: Sequence[MergedPart]
    failed: Sequence[FailedMerge]
    tasks: int
    files: MergedFiles
    warnings: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "version": 1,
            "sources": list(self.sources),
            "out": self.out,
            "format": self.format,
            "labels": list(self.labels),
            "parts": [one.to_json() for one in self.parts],
            "tasks": self.tasks,
            "failed": [one.to_json() for one in self.failed],
            "files": self.files.to_json(),
            "warnings": list(self.warnings),
        }
