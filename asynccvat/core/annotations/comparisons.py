"""A log of a task's annotations, and a comparison of many tasks. `difference` compares each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asynccvat.core.annotations.difference import AnnotationDifference


@dataclass(frozen=True, slots=True)
class AnnotationLogEntry:
    """One state of a task's annotations.

    Attributes:
        since: The task's `updated_date` when it was first mirrored with these annotations.
        version: The version in the history that has them; None for the task's folder.
        counts: How many annotations there are, by label and kind, most first.
        difference: How they differ from those of the entry before; None for the first one, and
            where either cannot be read.
        why: Why they cannot be read, or are not as the server had them.
    """

    since: str
    version: str | None
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    difference: AnnotationDifference | None = None
    why: str | None = None

    @property
    def total(self) -> int:
        """How many annotations there are. A track is one."""
        return sum(self.counts.values())

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "since": self.since,
            "version": self.version,
            "annotations": self.total,
            "counts": [
                {"label": label, "kind": kind, "annotations": count}
                for (label, kind), count in self.counts.items()
            ],
            "difference": None if self.difference is None else self.difference.to_json(),
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class AnnotationLog:
    """The states of a task's annotations that a mirror has kept.

    Attributes:
        source: The mirror.
        task_id: The task.
        name: Its name.
        entries: The states, oldest first. The last one is current.
    """

    source: str
    task_id: int
    name: str
    entries: Sequence[AnnotationLogEntry]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "version": 1,
            "source": self.source,
            "task": {"id": self.task_id, "name": self.name},
            "entries": [one.to_json() for one in self.entries],
        }


@dataclass(frozen=True, slots=True)
class TaskAnnotationDifference:
    """How the annotations of one task differ.

    Attributes:
        folder: The folder of the task, relative to what was compared; empty for a single task.
        difference: How they differ; None if they cannot be compared.
        why: Why they cannot be compared.
    """

    folder: str
    difference: AnnotationDifference | None
    why: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        shown = {} if self.difference is None else self.difference.to_json()
        return {"folder": self.folder, "why": self.why, **shown}


@dataclass(frozen=True, slots=True)
class AnnotationComparison:
    """How the annotations in two places differ.

    Attributes:
        first: What was named first.
        second: What was named second.
        tasks: How each task differs that both have.
        only_first: The folders of tasks that only the first has.
        only_second: The folders of tasks that only the second has.
    """

    first: str
    second: str
    tasks: Sequence[TaskAnnotationDifference]
    only_first: Sequence[str] = ()
    only_second: Sequence[str] = ()

    @property
    def failed(self) -> list[TaskAnnotationDifference]:
        """The tasks that cannot be compared."""
        return [one for one in self.tasks if one.difference is None]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs, and everything could be compared."""
        differs = any(one.difference is None or one.difference.count for one in self.tasks)
        return not (differs or self.only_first or self.only_second)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "version": 1,
            "first": self.first,
            "second": self.second,
            "same": self.is_same,
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "tasks": [one.to_json() for one in self.tasks],
        }
