"""Unite the labels of many tasks by their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asynccvat.core.merge.values import MergeLabel


class Categories:
    """The labels of a data set, in the order in which they are first seen.

    Attributes:
        conflicts: Sentences about labels that tasks do not have alike.
    """

    def __init__(self, wanted: Sequence[str] = ()) -> None:
        """Start with no labels.

        Args:
            wanted: Only these labels, in this order. None for all.
        """
        self.conflicts: list[str] = []
        self._wanted = wanted
        self._index = {name: place for place, name in enumerate(dict.fromkeys(wanted))}
        self._first: dict[str, tuple[MergeLabel, str]] = {}
        self._folded: dict[str, str] = {}
        self._told: set[str] = set()

    @property
    def names(self) -> list[str]:
        """The name of each label by its index."""
        return list(self._index)

    @property
    def labels(self) -> list[MergeLabel]:
        """Each label as the first task has it."""
        return [self._first[name][0] for name in self._index if name in self._first]

    @property
    def missing(self) -> list[str]:
        """The labels that are wanted and that no task has."""
        return [name for name in self._index if name not in self._first]

    def is_wanted(self, name: str) -> bool:
        """Whether a label is to be in the data set."""
        return not self._wanted or name in self._index

    def add(self, labels: Iterable[MergeLabel], task: str) -> None:
        """Add the labels of a task."""
        for label in labels:
            if self.is_wanted(label.name):
                self._add(label, task)

    def index(self, name: str) -> int:
        """Return the place of a label, from 0."""
        return self._index[name]

    def _add(self, label: MergeLabel, task: str) -> None:
        name = label.name
        self._index.setdefault(name, len(self._index))
        first, of_task = self._first.setdefault(name, (label, task))
        if first.details != label.details and name not in self._told:
            self._told.add(name)
            self.conflicts.append(
                f"the label {name!r} has another type or other attributes in {task} than in "
                f"{of_task}; they are one label here"
            )
        alike = self._folded.setdefault(name.casefold(), name)
        if alike != name and name not in self._told:
            self._told.add(name)
            self.conflicts.append(
                f"the labels {alike!r} and {name!r} differ by case alone; they stay two labels"
            )
