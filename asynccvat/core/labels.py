"""Read labels as users and servers write them, in the form in which CVAT makes new ones.

CVAT shows labels with ids, which belong to one server and one project. A new project or task takes
them without. `client.creations` reads labels and sends them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asynccvat.core.texts import first_few
from asynccvat.errors import ConfigError

Label = dict[str, Any]
"""A label without ids, as JSON types: what `POST /api/projects` takes."""

# What the server adds. Colors and types stay.
_SERVERS_OWN = frozenset({"id", "project_id", "task_id", "parent_id", "has_parent", "url"})
_LABEL_ID = re.compile(r'data-label-id="(\d+)"')


def portable_labels(labels: Iterable[Mapping[str, Any]]) -> tuple[Label, ...]:
    """Return labels of a server as new ones are made: without ids, at any depth.

    The drawing of a skeleton refers to the labels of its points by their ids. New ones are
    referred to by their names.

    Args:
        labels: Labels as `GET /api/labels` lists them, or as CVAT's "Raw" tab shows them.
    """
    return tuple(_portable(label) for label in labels)


def _portable(label: Mapping[str, Any]) -> Label:
    made: Label = {key: value for key, value in label.items() if key not in _SERVERS_OWN}
    made["attributes"] = [
        {key: value for key, value in attribute.items() if key != "id"}
        for attribute in label.get("attributes") or ()
    ]
    points = label.get("sublabels") or ()
    made.pop("sublabels", None)
    if points:
        made["sublabels"] = [_portable(point) for point in points]
    drawing = made.get("svg")
    if not drawing:
        made.pop("svg", None)
        return made
    names = {str(point.get("id")): str(point.get("name")) for point in points}

    def by_name(found: re.Match[str]) -> str:
        name = names.get(found[1])
        return found[0] if name is None else f'data-label-name="{name}"'

    made["svg"] = _LABEL_ID.sub(by_name, drawing)
    return made


def labels_in(value: Any, source: str) -> tuple[Label, ...]:
    """Return the labels that a file of JSON or YAML, or a caller, holds.

    Args:
        value: A list of names, a list of labels as CVAT's "Raw" tab shows them, or an object with
            such a list in `labels` or `names`.
        source: Where it comes from, for the messages.

    Raises:
        ConfigError: It is none of these, holds none, or a name twice.
    """
    if isinstance(value, Mapping):
        value = value.get("labels", value.get("names"))
    if isinstance(value, Mapping):
        # YOLO's data.yaml numbers the names.
        value = list(value.values())
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _not_labels(source, "it is no list")
    labels = portable_labels(_read(item, source) for item in value)
    if not labels:
        raise _not_labels(source, "it is empty")
    twice = [name for name, count in Counter(names_of(labels)).items() if count > 1]
    if twice:
        raise ConfigError(
            f"the labels of {source} hold a name twice: {first_few(twice)}. Remove one of each."
        )
    return labels


def _read(item: object, source: str) -> Mapping[str, Any]:
    if isinstance(item, Mapping):
        name = item.get("name")
        if not isinstance(name, str) or not name.strip():
            raise _not_labels(source, f"{str(item)[:60]!r} has no name")
        for key in ("attributes", "sublabels"):
            inner = item.get(key)
            if inner is not None and not (
                isinstance(inner, Sequence) and all(isinstance(one, Mapping) for one in inner)
            ):
                raise _not_labels(source, f"{key!r} of {name!r} is no list of objects")
        return item
    if isinstance(item, bool) or not isinstance(item, str | int) or not str(item).strip():
        raise _not_labels(source, f"{item!r} is no name")
    return {"name": str(item).strip()}


def names_of(labels: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of labels, in their order."""
    return tuple(str(label["name"]) for label in labels)


def lacking(wanted: Iterable[Mapping[str, Any]], present: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of the wanted labels that are not present."""
    there = set(names_of(present))
    return [name for name in names_of(wanted) if name not in there]


def _not_labels(source: str, why: str) -> ConfigError:
    return ConfigError(
        f"cannot read labels from {source}: {why}. Give a list of names, or the labels as CVAT's "
        "'Raw' tab shows them."
    )
