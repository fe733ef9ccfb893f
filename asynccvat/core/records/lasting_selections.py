"""The conditions of a selection that a destination remembers, and what a later run makes of them.

`remembered` has the other settings of a mirror, `backup_settings` those of backups.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from asynccvat.core.declarations import declared_options
from asynccvat.core.selections.id_lists import in_order, in_words, of_some, required
from asynccvat.core.selections.selection import Selection
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import ConfigError


class LastingSelection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The conditions of a selection that hold for every run. None is no condition.

    `-t`, `--failed-from`, `--updated-since` and `--limit` are for one run, and so no part of it.

    Attributes:
        project_ids: The projects.
        project_ids_of_ranges: Those of them that need not exist, as they come from ranges.
    """

    project_ids: tuple[int, ...] | None = None
    project_ids_of_ranges: tuple[int, ...] = ()
    status: str | None = None
    subset: str | None = None
    name: str | None = None
    exclude: tuple[str, ...] | None = None
    owner: str | None = None
    assignee: str | None = None
    filter: str | None = None

    @classmethod
    def of(cls, conditions: Mapping[str, Any]) -> LastingSelection:
        """Make it of the conditions of a `Selection`, by their names."""
        ids: Sequence[int] | None = conditions["project_ids"]
        if ids is None:
            return cls(**conditions)
        of_ranges = tuple(sorted(set(ids) - required(ids)))
        plain = {**conditions, "project_ids": tuple(ids)}
        return cls(**plain, project_ids_of_ranges=of_ranges)

    def conditions(self) -> dict[str, Any]:
        """Return the conditions as `Selection` takes them. None is no condition."""
        found = {name: getattr(self, name) for name in _LASTING}
        if self.project_ids is not None:
            named = set(self.project_ids) - set(self.project_ids_of_ranges)
            found["project_ids"] = of_some(self.project_ids, named)
        return found


Difference = tuple[str, str]
"""How a destination was made, and how a run would make it, as parts of a sentence."""


_LASTING = tuple(
    name for name in LastingSelection.__struct_fields__ if name != "project_ids_of_ranges"
)
_FLAGS = {item.name: item.flag for item in declared_options(Selection)}


class SelectingOptions(Protocol):
    """The options of a run whose destination remembers a selection."""

    @property
    def change(self) -> bool: ...
    @property
    def everything(self) -> bool: ...
    @property
    def default_project_id(self) -> int | None: ...


def joined(parts: Iterable[str]) -> str:
    """Join what a destination was made with, or would be, as words of a sentence."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def ignored_project(
    options: SelectingOptions,
    given: Selection,
    used: Selection,
    remembered: LastingSelection | None,
) -> int | None:
    """Return the project of the settings, if what is remembered counts for more."""
    default = options.default_project_id
    says_which = given.project_ids is not None or given.task_ids is not None
    if default is None or remembered is None or says_which or options.everything:
        return None
    return None if used.project_ids == (default,) else default


def settle_conditions(
    given: Selection,
    options: SelectingOptions,
    remembered: LastingSelection | None,
    differing: list[Difference],
    target: TargetKind = TargetKind.TASK,
) -> tuple[Selection, LastingSelection | None]:
    """Return the selection of this run, and what is remembered from now on.

    Differences from what is remembered are added to `differing`.
    """
    named = lasting_conditions(given)
    if options.everything and named:
        raise ConfigError(
            f"--everything contradicts {_FLAGS[next(iter(named))]}. Remove one of them."
        )
    if given.task_ids is not None or named.get("project_ids") == ():
        return given, remembered  # named tasks are for this run alone, and so is nothing at all
    kept = dict.fromkeys(_LASTING) if remembered is None else remembered.conditions()
    if options.everything:
        old = [_condition(name, value) for name, value in kept.items() if value is not None]
        differing += [(f"for {', '.join(old)}", f"for all {target.plural}")] if old else []
        kept = dict.fromkeys(_LASTING)
    elif remembered is not None:
        differing += [
            (_for(name, kept[name], target), _for(name, value, target))
            for name, value in named.items()
            if value != kept[name]
        ]
    elif "project_ids" not in named and options.default_project_id:
        named["project_ids"] = (options.default_project_id,)
    lasting = LastingSelection.of(kept | named)
    used = replace(given, **lasting.conditions())
    is_for_one_run = remembered is None and given.updated_since is not None
    return used, None if is_for_one_run else lasting


def lasting_conditions(selection: Selection) -> dict[str, Any]:
    """Return the lasting conditions of a selection, in a form that can be compared."""
    named = {name: getattr(selection, name) for name in _LASTING}
    if selection.project_ids is not None:
        named["project_ids"] = in_order(selection.project_ids)
    if selection.exclude is not None:
        named["exclude"] = tuple(sorted(selection.exclude))
    if selection.filter is not None:
        named["filter"] = json.dumps(json.loads(selection.filter), sort_keys=True)
    return {name: value for name, value in named.items() if value is not None}


def tasks_in_words(selection: LastingSelection, target: TargetKind = TargetKind.TASK) -> str:
    """Describe which tasks belong to a destination, or which projects or jobs."""
    conditions = selection.conditions().items()
    words = [_condition(name, value) for name, value in conditions if value is not None]
    if not any(value is not None for name, value in conditions if name != "exclude"):
        words.insert(0, f"all {target.plural}")
    return ", ".join(words)


def _condition(name: str, value: Any) -> str:
    """Describe a lasting condition."""
    word = "project" if name == "project_ids" else name
    if name == "exclude":
        return "none excluded" if value is None else f"without {' and '.join(map(repr, value))}"
    if value is None:
        return f"any {word}"
    if name == "project_ids":
        return f"{word}{'s' if len(value) > 1 else ''} {' and '.join(in_words(value))}"
    return f"{word} {value if name in ('status', 'filter') else repr(value)}"


def _for(name: str, value: Any, target: TargetKind) -> str:
    """Say that a destination is for the targets of a lasting condition."""
    if name == "exclude":
        return f"for {target.plural} {'with ' * (value is None)}{_condition(name, value)}"
    which = "" if name == "project_ids" and value is not None else f"{target.plural} with "
    return f"for {which}{_condition(name, value)}"


def narrowed_in_words(selection: Selection, target: TargetKind) -> str:
    """Describe what holds for one run alone; "" if nothing does."""
    parts = []
    if selection.task_ids is not None:
        ids = sorted(set(selection.task_ids))
        word = "task" if len(ids) == 1 else "tasks"
        parts.append(f"{word} {first_few(ids) or 'none'}")
    if selection.updated_since is not None:
        noun = "" if parts else f"{target.plural} "
        parts.append(f"{noun}updated since {selection.updated_since}")
    if selection.limit is not None:
        noun = "" if parts else target.value if selection.limit == 1 else target.plural
        parts.append(f"at most {selection.limit} {noun}".rstrip())
    return ", ".join(parts)
