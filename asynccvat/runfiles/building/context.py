"""What the builders of all steps share: the reader of the file, its warnings, and checks of keys.

`loading` reads the sections; `preflight` checks what the servers know.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from asynccvat.core.declarations import Option, Switch, Texts, declared_options, make_options
from asynccvat.core.options.transfer import DEFAULT_PREFIX
from asynccvat.core.paths import task_folder_name
from asynccvat.core.selections.id_lists import IdList
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import ConfigError
from asynccvat.runfiles.mappings import Section
from asynccvat.runfiles.nodes import FilePosition, NodeReader
from asynccvat.runfiles.steps import StepHead
from asynccvat.runfiles.wording import in_keys

OptionsT = TypeVar("OptionsT")


@dataclass(slots=True)
class NamedPositions:
    """The positions of the tasks, projects and formats that a step names."""

    found: dict[int | str | range, FilePosition] = field(default_factory=dict)

    def ids(self, section: Section, key: str) -> IdList:
        """Return the ids of a key, and remember their positions."""
        items = section.values.get(key, [])
        self.found.update(items)
        return IdList.of(value for value, _ in items)

    def of_id(self, number: int) -> FilePosition:
        """Return the position of an id, or of the range that holds it."""
        if number in self.found:
            return self.found[number]
        return next(
            place
            for numbers, place in self.found.items()
            if isinstance(numbers, range) and number in numbers
        )


class StepContext:
    """What is known of a run file while its steps are built, in their order.

    A builder reports what is wrong to the reader, and then returns None.

    Attributes:
        reader: Collects the problems.
        warnings: What the user should know although the file can be run.
        made: The folders, as absolute paths, that the steps before make.
    """

    def __init__(self, reader: NodeReader) -> None:
        self.reader = reader
        self.warnings: list[str] = []
        self.made: set[Path] = set()

    def selected(self, section: Section) -> tuple[Selection | None, NamedPositions]:
        """Return the selection of a section, and the positions of its ids."""
        places = NamedPositions()
        projects = places.ids(section, "project_id")
        places.found = {f"project {one}": place for one, place in places.found.items()}
        tasks = places.ids(section, "task_id")
        given = values_of(Selection, section)
        given |= {"project_ids": projects or None, "task_ids": tasks or None}
        try:
            return Selection(**given), places
        except ConfigError as error:
            # The types have checked all other values, except empty names.
            key = next(key for key in ("filter", "project", "exclude") if key in section.entries)
            self.reader.report(section.entries[key].value, error.message)
            return None, places

    def options(
        self, group: type[OptionsT], head: StepHead, section: Section, *paths: str
    ) -> OptionsT | None:
        """Return the options that a section sets.

        Args:
            group: Their class.
            head: What every step has.
            section: The step's keys.
            *paths: Fields that are paths of files or folders.
        """
        given = values_of(group, section)
        given |= {name: path_of(given[name]) for name in paths if name in given}
        try:
            return make_options(group, given)
        except ConfigError as error:
            # The types have checked each value alone; what they mean together is checked here.
            self.reader.report_at(head.place, in_keys(error.message, head.task))
            return None

    def prefix(self, section: Section, task: str) -> str | None:
        """Return the start of folders' names; report one that cannot be used."""
        if "folder_prefix" not in section.entries:
            return DEFAULT_PREFIX
        prefix: str | None = section.values.get("folder_prefix")
        if prefix is None:
            return None
        try:
            task_folder_name(prefix, 1)
        except ConfigError as error:
            self.reader.report(section.entries["folder_prefix"].value, in_keys(error.message, task))
            return None
        return prefix

    def remember(self, places: NamedPositions, section: Section, key: str) -> None:
        """Remember the position of a key's value."""
        if key in section.values:
            places.found[section.values[key]] = self.reader.place(section.entries[key].value)

    def refuse(self, section: Section, key: str, why: str, *, value: bool = True) -> None:
        """Report a key, at its value or at its name."""
        entry = section.entries[key]
        self.reader.report(entry.value if value else entry.key, why)

    def warn(self, section: Section, key: str, message: str) -> None:
        """Warn of a key."""
        self.warnings.append(f"{self.reader.place(section.entries[key].key)}: {key!r}: {message}")

    def is_made(self, path: Path) -> bool:
        """Whether a step before makes a file or folder."""
        whole = absolute(path)
        return whole in self.made or not self.made.isdisjoint(whole.parents)

    def check_present(self, path: Path, place: FilePosition) -> None:
        """Report a file or folder that is missing, and that no earlier step makes."""
        if not self.is_made(path) and not path.exists():
            self.reader.report_at(
                place, f"cannot use {str(path)!r}: there is no such file or folder"
            )


def values_of(group: type, section: Section) -> dict[str, Any]:
    """Return the options of a class that a section sets, by their fields."""
    return {
        item.name: _value_of(item, value)
        for item in declared_options(group)
        if (value := section.values.get(item.key)) is not None
    }


def _value_of(item: Option, value: Any) -> Any:
    """Return the value of a field for that of a key."""
    match item.kind:
        case Switch():
            return item.switched(given=value)
        case Texts():
            return tuple(text for text, _ in value)
        case _:
            return value


def path_of(text: str) -> Path:
    """Return the path that a text names; `~` is the user's home."""
    return Path(text).expanduser()


def absolute(path: Path) -> Path:
    """Return an absolute path without `..`."""
    return Path(os.path.normpath(path.absolute()))
