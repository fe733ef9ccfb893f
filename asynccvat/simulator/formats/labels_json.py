"""Read the labels that a client sends with a project or a task, as CVAT's serializers do.

`annotations_json` writes labels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asynccvat.simulator.world.annotations import SHAPE_TYPES, Attribute, Label

_TYPES: Final = (*SHAPE_TYPES, "any", "tag", "skeleton")
_COLORS: Final = {"car": "#2080c0", "person": "#c06060"}
"""Colors that CVAT gives to labels of these names."""

NOT_UNIQUE: Final = "All label names must be unique"


class InvalidLabelsError(Exception):
    """Labels that CVAT refuses; `errors` is the body of the response."""

    def __init__(self, errors: Any) -> None:
        """Refuse with these errors."""
        super().__init__(errors)
        self.errors = errors


@dataclass(frozen=True, slots=True)
class NewIds:
    """Numbers for new labels and for new attributes."""

    labels: Iterator[int]
    attributes: Iterator[int]


def read_labels(given: Any, ids: NewIds) -> tuple[Label, ...]:
    """Return the labels that a body describes; they belong to no project yet.

    Args:
        given: The value of `labels`.
        ids: Numbers for the labels and their attributes.

    Raises:
        InvalidLabelsError: Something is wrong with them.
    """
    if not isinstance(given, list):
        text = f'Expected a list of items but got type "{type(given).__name__}".'
        raise InvalidLabelsError({"labels": {"non_field_errors": [text]}})
    found = [_wrong(one) for one in given]
    if any(found):
        raise InvalidLabelsError({"labels": found})
    names = [one["name"] for one in given]
    if len(set(names)) < len(names):
        raise InvalidLabelsError([NOT_UNIQUE])
    return tuple(_label(one, ids) for one in given)


def _wrong(one: Any) -> dict[str, Any]:
    if not isinstance(one, dict):
        text = f"Invalid data. Expected a dictionary, but got {type(one).__name__}."
        return {"non_field_errors": [text]}
    found: dict[str, Any] = {}
    if "name" not in one:
        found["name"] = ["This field is required."]
    elif not isinstance(one["name"], str) or not one["name"].strip():
        found["name"] = ["This field may not be blank."]
    if one.get("type", "any") not in _TYPES:
        found["type"] = [f'"{one["type"]}" is not a valid choice.']
    return found


def _label(one: Mapping[str, Any], ids: NewIds) -> Label:
    number = next(ids.labels)
    below = tuple(_label(inner, ids) for inner in one.get("sublabels") or ())
    return Label(
        id=number,
        name=one["name"],
        color=one.get("color") or _color(one["name"]),
        type=one.get("type") or "any",
        attributes=tuple(_attribute(spec, ids) for spec in one.get("attributes") or ()),
        project_id=None,
        sublabels=below,
        svg=_numbered(str(one.get("svg") or ""), below),
    )


def _attribute(spec: Mapping[str, Any], ids: NewIds) -> Attribute:
    return Attribute(
        id=next(ids.attributes),
        name=str(spec["name"]),
        mutable=bool(spec.get("mutable", False)),
        input_type=str(spec.get("input_type", "text")),
        default_value=str(spec.get("default_value", "")),
        values=tuple(str(value) for value in spec.get("values") or ()),
    )


def _color(name: str) -> str:
    return _COLORS.get(name) or f"#{zlib.crc32(name.encode()) & 0xFFFFFF:06x}"


def _numbered(svg: str, below: tuple[Label, ...]) -> str:
    """Name the points of a skeleton by the ids of their labels, as CVAT stores them."""
    for label in below:
        svg = svg.replace(f'data-label-name="{label.name}"', f'data-label-id="{label.id}"')
    return svg
