"""Decide whether a project has the labels that a task of a backup needs.

CVAT moves a task into a project by the names of its labels, and by names, types and values of their
attributes. It refuses what the project lacks, a missing label even with status 500. Older servers
drop the values of attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

_ANY = "any"


class BackupAttribute(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute of a label."""

    name: str = ""
    input_type: str = ""
    values: tuple[str, ...] = ()


class BackupLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label, as a backup or the server has it.

    Attributes:
        name: Its name.
        type: The only type of shapes that may have it, or `any`.
        attributes: Its attributes.
        sublabels: The points of a skeleton.
    """

    name: str = ""
    type: str = _ANY
    attributes: tuple[BackupAttribute, ...] = ()
    sublabels: tuple[BackupLabel, ...] = ()


def label_problems(wanted: Iterable[BackupLabel], there: Iterable[BackupLabel]) -> tuple[str, ...]:
    """Return what labels lack that a task needs, each in a few words. None if they fit.

    Args:
        wanted: The labels of the task.
        there: The labels of the project.
    """
    by_name: Mapping[str, BackupLabel] = {label.name: label for label in there}
    problems: list[str] = []
    for label in wanted:
        found = by_name.get(label.name)
        if found is None:
            problems.append(f"it has no label {label.name!r}")
            continue
        if found.type not in (label.type, _ANY):
            problems.append(f"its label {label.name!r} is for {found.type}, not for {label.type}")
        problems += _attribute_problems(label, found)
        problems += [
            f"its skeleton {label.name!r}: {problem.removeprefix('it ')}"
            for problem in label_problems(label.sublabels, found.sublabels)
        ]
    return tuple(problems)


def _attribute_problems(label: BackupLabel, found: BackupLabel) -> list[str]:
    there = {one.name: one for one in found.attributes}
    problems = []
    for attribute in label.attributes:
        other = there.get(attribute.name)
        if other is None:
            problems.append(f"its label {label.name!r} has no attribute {attribute.name!r}")
        elif (other.input_type, other.values) != (attribute.input_type, attribute.values):
            problems.append(
                f"the attribute {attribute.name!r} of its label {label.name!r} has another type or "
                "other values"
            )
    return problems
