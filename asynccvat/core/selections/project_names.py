"""Find the projects that have given names among those that a server lists.

`client.project_names` asks the server. A name has to be exact: a project that only looks like it
may be another one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from asynccvat.core.models import Project
from asynccvat.core.selections.empty import nearest
from asynccvat.core.selections.id_lists import read_ids
from asynccvat.core.selections.selection import ProjectSelection
from asynccvat.core.selections.wildcards import has_wildcard
from asynccvat.core.texts import first_few

_NAMES_AT_ONCE = 20


def named(names: Sequence[str]) -> Iterator[ProjectSelection]:
    """Yield the selections that together hold the projects with some names."""
    for at in range(0, len(names), _NAMES_AT_ONCE):
        term = {"in": [{"var": "name"}, list(names[at : at + _NAMES_AT_ONCE])]}
        yield ProjectSelection(filter=json.dumps(term))


def with_name(name: str, projects: Iterable[Project]) -> tuple[Project, ...]:
    """Return the projects with a name, each once, in ascending order of id."""
    found = {one.id: one for one in projects if one.name == name}
    return tuple(found[key] for key in sorted(found))


def ambiguous(name: str, found: Sequence[Project], origin: str) -> str:
    """Say that a name means several projects."""
    return (
        f"{origin} has {len(found)} projects named {name!r}: "
        f"{first_few([one.id for one in found])}. Give the id of one."
    )


def unknown(
    name: str, seen: Iterable[Project], origin: str, *, several: bool = False, side: str = ""
) -> str:
    """Say that there is no project with a name, and which names look like it.

    Args:
        name: The name.
        seen: Projects that there are.
        origin: The server's address.
        several: Whether `--project-id` takes several ids there.
        side: The option that names the server, where a command has two.
    """
    near = nearest(name, {one.name for one in seen})
    there = f" with the settings of {side}" if side else ""
    hint = f"`asynccvat list-projects`{there} shows which there are."
    if several and _is_id_list(name):
        hint = f"Give several ids as --project-id {name}."
    elif has_wildcard(name):
        hint = (
            "The name of a project has to be exact here. "
            f"`asynccvat list-projects --name {name!r}`{there} shows those that fit."
        )
    elif near:
        *first, last = map(repr, near)
        hint = f"Did you mean {', '.join(first)}{' or ' * bool(first)}{last}?"
    return f"there is no project {name!r} at {origin} that this user may see. {hint}"


def _is_id_list(text: str) -> bool:
    try:
        return bool(read_ids(text))
    except ValueError:
        return False
