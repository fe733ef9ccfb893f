"""Explain why a list is empty: which condition fits nothing, and what would fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from asynccvat.core.selections.matching import text_of
from asynccvat.core.selections.wildcards import has_wildcard, pattern_of
from asynccvat.core.texts import first_few

_TEXTS = ("name", "subset", "owner", "assignee")
_NEAREST = 3


def text_conditions(selection: Any) -> dict[str, str]:
    """Return the conditions of a selection that compare texts which users make up."""
    given = {name: getattr(selection, name, None) for name in _TEXTS}
    return {name: value for name, value in given.items() if value is not None}


def other_conditions(selection: Any) -> bool:
    """Whether a selection has conditions that often fit nothing, such as a date."""
    return any(
        getattr(selection, item.name) is not None
        for item in fields(selection)
        if item.name not in (*_TEXTS, "project_ids", "limit")
    )


def explain(conditions: Mapping[str, str], what: str, seen: Iterable[Any]) -> str:
    """Say which conditions fit none of the entries that a list without them shows.

    Args:
        conditions: What `text_conditions` returned.
        what: What the list holds, such as `tasks`.
        seen: Entries of the list without the conditions.
    """
    entries = list(seen)
    unmet = [
        sentence
        for name, wanted in conditions.items()
        for sentence in _unmet(name, wanted, what, {text_of(entry, name) for entry in entries})
    ]
    if unmet:
        return " ".join([unmet[0], *(f"N{sentence[1:]}" for sentence in unmet[1:])])
    named = " and ".join(f"{name} {wanted!r}" for name, wanted in conditions.items())
    return f"there are {what} with {named}, but none that meet all conditions."


def all_excluded(what: str, count: int, names: Iterable[str]) -> str:
    """Say that the names to exclude leave nothing.

    Args:
        what: What the list holds, such as `tasks`.
        count: How many entries there are without that.
        names: The names to exclude.
    """
    which = f"the only {what.removesuffix('s')}" if count == 1 else f"all {count:,} {what}"
    fitting = first_few([repr(name) for name in names])
    return (
        f"{which} of this selection {'fits' if count == 1 else 'fit'} a name to exclude: {fitting}."
    )


def _unmet(name: str, wanted: str, what: str, values: set[str]) -> Iterator[str]:
    """Yield a sentence if no value fits a condition."""
    if has_wildcard(wanted):
        if not any(pattern_of(wanted).fullmatch(value) for value in values):
            yield f"no {what.removesuffix('s')} has the {name} {wanted!r}.{_known(name, values)}"
    elif wanted not in values:
        yield (
            f"no {what.removesuffix('s')} has the {name} {wanted!r}. It must be exact, or hold a "
            f"wildcard, like {wanted + '*'!r}.{_nearest(wanted, values) or _known(name, values)}"
        )


def _nearest(wanted: str, values: set[str]) -> str:
    near = nearest(wanted, values)
    return f" The nearest: {', '.join(map(repr, near))}." * bool(near)


def nearest(wanted: str, values: Iterable[str]) -> list[str]:
    """Return the texts that look most like a wanted one, at most three."""
    folded = {value.lower(): value for value in sorted(values) if value}
    # Other tools search for parts of names, so the beginning of one comes before what looks alike.
    near = [key for key in folded if key.startswith(wanted.lower())]
    near += [key for key in difflib.get_close_matches(wanted.lower(), folded) if key not in near]
    return [folded[key] for key in near[:_NEAREST]]


def _known(name: str, values: set[str]) -> str:
    """Name the values that there are, except names of tasks, which are many."""
    known = sorted(value for value in values if value)
    if name == "name" or not known:
        return ""
    return f" Those that exist: {first_few([repr(value) for value in known], 2 * _NEAREST)}."
