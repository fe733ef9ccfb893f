"""Turn the annotations of a backup into those that a task takes: names become ids.

A backup names labels and attributes, and has the annotations of each job. The server takes the ids
that labels and attributes have in the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.errors import BackupFileError, RestoreError

_KINDS = ("tags", "shapes", "tracks")
# What a person sees of an annotation. Servers of other versions have other fields besides.
_ESSENTIAL = (
    *("label_id", "frame", "type", "points", "occluded", "outside", "z_order", "rotation"),
    *("attributes", "elements", "shapes"),
)


class TaskAttribute(msgspec.Struct, frozen=True, kw_only=True):
    """An attribute of a label, as the server has it."""

    id: int
    name: str = ""


class TaskLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label of a task, as the server has it.

    Attributes:
        id: Its id.
        name: Its name.
        attributes: Its attributes.
        sublabels: The points of a skeleton.
    """

    id: int
    name: str = ""
    attributes: tuple[TaskAttribute, ...] = ()
    sublabels: tuple[TaskLabel, ...] = ()


@dataclass(frozen=True, slots=True)
class _Ids:
    """The ids of labels by name, of one level."""

    labels: Mapping[str, TaskLabel]
    task_id: int

    @classmethod
    def of(cls, labels: Iterable[TaskLabel], task_id: int) -> _Ids:
        return cls({label.name: label for label in labels}, task_id)


def task_annotations(raw: bytes, labels: Iterable[TaskLabel], *, task_id: int, where: str) -> bytes:
    """Return the annotations of a backup as JSON that a task takes, without ids of their own.

    Args:
        raw: The content of the backup's `annotations.json`. Its jobs have no frames in common.
        labels: The labels that the task has now.
        task_id: The task, for messages.
        where: The backup, for messages.

    Raises:
        BackupFileError: It cannot be read.
        RestoreError: The task lacks a label or an attribute of them.
    """
    try:
        jobs = msgspec.json.decode(raw, type=list[dict[str, Any]])
        ids = _Ids.of(labels, task_id)
        found: dict[str, Any] = {"version": 0}
        for kind in _KINDS:
            found[kind] = [_item(item, ids) for job in jobs for item in job.get(kind) or ()]
    except (*UNREADABLE, AttributeError, KeyError, TypeError) as error:
        raise BackupFileError(
            f"cannot restore the annotations of {where}: they cannot be read "
            f"({type(error).__name__}: {error}). Restore another backup.",
            task_id=task_id,
            step="plan",
        ) from error
    return msgspec.json.encode(found)


def essence(raw: bytes) -> bytes:
    """Return what a person sees of annotations, as JSON, to compare those of two servers.

    Raises:
        BackupFileError: They cannot be read.
    """
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any])
        return msgspec.json.encode(
            {kind: [_essential(item) for item in found.get(kind) or ()] for kind in _KINDS}
        )
    except (*UNREADABLE, AttributeError, TypeError) as error:
        raise BackupFileError(f"annotations cannot be read: {error}", step="plan") from error


def _essential(item: dict[str, Any]) -> dict[str, Any]:
    made = {key: item[key] for key in _ESSENTIAL if item.get(key) not in (None, [])}
    for key in ("elements", "shapes"):
        if key in made:
            made[key] = [_essential(part) for part in made[key]]
    return made


def _item(item: dict[str, Any], ids: _Ids) -> dict[str, Any]:
    """Return a tag, shape, track or element with ids in place of names."""
    name = item["label"]
    label = ids.labels.get(name)
    if label is None:
        raise RestoreError(
            f"cannot restore annotations of task {ids.task_id}: it has no label {name!r} any more. "
            "Add the label to the task or its project in CVAT, then run again.",
            task_id=ids.task_id,
            step="plan",
        )
    specs = {attribute.name: attribute.id for attribute in label.attributes}
    made = {key: value for key, value in item.items() if key not in ("label", "id")}
    made["label_id"] = label.id
    made["attributes"] = _attributes(item, specs, label, ids)
    if "shapes" in item:
        made["shapes"] = [
            {**shape, "attributes": _attributes(shape, specs, label, ids)}
            for shape in item["shapes"]
        ]
    if "elements" in item:
        points = _Ids.of(label.sublabels, ids.task_id)
        made["elements"] = [_item(element, points) for element in item["elements"] or ()]
    return made


def _attributes(
    item: dict[str, Any], specs: Mapping[str, int], label: TaskLabel, ids: _Ids
) -> list[dict[str, Any]]:
    made = []
    for attribute in item.get("attributes") or ():
        spec = specs.get(attribute["name"])
        if spec is None:
            raise RestoreError(
                f"cannot restore annotations of task {ids.task_id}: its label {label.name!r} has "
                f"no attribute {attribute['name']!r} any more. Add it in CVAT, then run again.",
                task_id=ids.task_id,
                step="plan",
            )
        made.append({"spec_id": spec, "value": attribute["value"]})
    return made
