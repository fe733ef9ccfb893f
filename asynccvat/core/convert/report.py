"""What a conversion of a mirror came to, task by task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class ConversionState(StrEnum):
    """What became of one task."""

    CONVERTED = "converted"
    """Its folder was written."""
    UNCHANGED = "unchanged"
    """Its folder held the same files already."""
    FAILED = "failed"
    """It has no folder, or keeps the one that it had."""


@dataclass(frozen=True, slots=True)
class TaskConversion:
    """What became of one task.

    Attributes:
        task_id: The task.
        name: Its name.
        folder: Its folder in the output, the same as in the mirror.
        state: What became of it.
        format: CVAT's name of the format, None if it failed before that was known.
        files: How many files it has.
        bytes: Their sizes together.
        why: Why it failed, None if it did not.
    """

    task_id: int
    name: str
    folder: str
    state: ConversionState
    format: str | None = None
    files: int = 0
    bytes: int = 0
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "id": self.task_id,
            "name": self.name,
            "folder": self.folder,
            "state": str(self.state),
            "format": self.format,
            "files": self.files,
            "bytes": self.bytes,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion of a mirror came to.

    Attributes:
        source: The mirror.
        out: The folder that holds the converted tasks.
        format: The format that was asked for.
        tasks: What became of each task, by its number.
    """

    source: str
    out: str
    format: str
    tasks: Sequence[TaskConversion]

    @property
    def failed(self) -> list[TaskConversion]:
        """The tasks that were not converted."""
        return [one for one in self.tasks if one.state is ConversionState.FAILED]

    @property
    def counts(self) -> dict[str, int]:
        """How many tasks there are of each state."""
        found = Counter(one.state for one in self.tasks)
        return {str(state): found[state] for state in ConversionState}

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "version": 1,
            "source": self.source,
            "out": self.out,
            "format": self.format,
            "counts": self.counts,
            "tasks": [one.to_json() for one in self.tasks],
        }
