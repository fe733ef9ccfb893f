"""Decide which exports a server writes to a cloud storage.

Compared are the server's list, the objects that are there, and the record of earlier runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.models import Formats, Task, TaskListing
from asynccvat.core.plans.dimensions import other_dimension
from asynccvat.core.specs import BackupSpec, RequestSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError

_MOST_FOLDER_BYTES = 960
"""S3 takes keys of 1,024 bytes; the rest is for the name of the object."""


class CloudReason(StrEnum):
    """Why an object is written, kept or refused."""

    NEW = "new"
    """No object has its key."""
    CHANGED = "changed"
    """The target changed since the object was written, or it is exported in another way."""
    OVERWRITTEN = "overwrite"
    """An object that the record does not know is replaced, as `overwrite` permits."""
    UNCHANGED = "unchanged"
    """The object holds the state that the server has now."""
    EXISTS = "exists"
    """An object that the record does not know has its key."""
    NO_DATA = "no data"
    """The target has no images yet, so CVAT cannot export it."""
    DIMENSION = "dimension"
    """Its dimension, `2d` or `3d`, is not that of the format."""
    NO_TASK = "no task"
    """There is no such task, or this user may not see it, so its jobs cannot be exported."""
    NOT_FOUND = "not found"
    """There is no such target, or this user may not see it."""


EXPLANATIONS: Mapping[CloudReason, str] = {
    CloudReason.EXISTS: (
        "the cloud storage holds an object of that key already. Replace it with --overwrite, or "
        "choose another --prefix"
    ),
    CloudReason.NO_DATA: "it has no data, so CVAT cannot export it",
    CloudReason.NO_TASK: "there is no such task, or this user may not see it",
    CloudReason.NOT_FOUND: "it does not exist, or this user may not see it",
}


class CloudRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the record: an object that the server wrote, and what it holds.

    Attributes:
        storage: The cloud storage.
        key: The object's key.
        target: What was exported.
        id: Its id.
        what: How: a format, with images or without, or a backup. "" if the server failed to write
            it, so that an object of that key is not known.
        state: The target's date when it was listed, before the export. "" if the object is about
            to be written.
        written_at: When the line was noted, ISO 8601.
    """

    storage: int
    key: str
    target: TargetKind
    id: int
    what: str
    state: str
    written_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudStep:
    """What becomes of one object.

    Attributes:
        step: `write`, `keep`, `skip` or `refuse`.
        target_id: The id of the target.
        name: Its name.
        key: The object's key.
        reason: Why.
        task: The target as it was listed. None if it was not.
        detail: More than the reason says, "" for nothing.
        known: Whether the record knows the object, so that it may be replaced.
    """

    step: str
    target_id: int
    name: str
    key: str
    reason: CloudReason
    task: Task | None = None
    detail: str = ""
    known: bool = False

    @property
    def explanation(self) -> str:
        """Why it is not written, in words; "" if it is."""
        return self.detail or EXPLANATIONS.get(self.reason, "")


S = TypeVar("S")


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudPlan:
    """What an export to a cloud storage will do.

    Attributes:
        steps: One for each target.
        listing: The listing that it was made from.
        target: What is exported.
        description: Where the objects go, in one line.
    """

    steps: tuple[CloudStep, ...]
    listing: TaskListing
    target: TargetKind
    description: str = ""

    def of(self, step: str) -> tuple[CloudStep, ...]:
        """Return the steps of one kind, in order."""
        return tuple(one for one in self.steps if one.step == step)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many steps there are of each kind."""
        return Counter(step.step for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a schema version."""
        return {
            "version": 1,
            "description": self.description,
            "listing_complete": self.listing.complete,
            "counts": dict(self.counts),
            "steps": [self._record(step) for step in self.steps],
        }

    def _record(self, step: CloudStep) -> dict[str, Any]:
        target = TargetKind.TASK if step.reason is CloudReason.NO_TASK else self.target
        record: dict[str, Any] = {
            "step": step.step,
            f"{target}_id": step.target_id,
            "name": step.name,
            "key": step.key,
            "reason": str(step.reason),
        }
        if step.explanation:
            record["detail"] = step.explanation
        return record


def plan_writes(
    listing: TaskListing,
    spec: RequestSpec,
    *,
    storage_id: int,
    folder: str,
    existing: Collection[str],
    records: Mapping[str, CloudRecord],
    overwrite: bool,
    formats: Formats | None = None,
    named: bool = False,
) -> tuple[CloudStep, ...]:
    """Compare the server's targets with the objects of a folder.

    Args:
        listing: The targets.
        spec: What the server makes of each.
        storage_id: The cloud storage.
        folder: The folder in it, with `/` at its end; "" for the top.
        existing: The names of the objects there.
        records: What earlier runs wrote to this storage, by key.
        overwrite: Whether objects that are in no record may be replaced.
        formats: The server's formats, by which targets of another dimension than the format's are
            left out. None leaves out none.
        named: Whether the user named the targets. Those that are left out are refused then.
    """
    target = spec.target
    steps = []
    for task in listing.tasks:
        name = object_name(target, task.id)
        key = folder + name
        record = records.get(key)
        detail = _other_dimension(task, spec, formats)
        if task.without_data:
            step, reason = "skip", CloudReason.NO_DATA
        elif detail:
            step, reason = "refuse" if named else "skip", CloudReason.DIMENSION
        elif name not in existing:
            step, reason = "write", CloudReason.NEW
        elif record is None or record.storage != storage_id:
            step = "write" if overwrite else "refuse"
            reason = CloudReason.OVERWRITTEN if overwrite else CloudReason.EXISTS
        elif (record.what, record.state) == (described(spec, task), task.updated_date):
            step, reason = "keep", CloudReason.UNCHANGED
        else:
            step, reason = "write", CloudReason.CHANGED
        steps.append(
            CloudStep(
                step=step,
                target_id=task.id,
                name=task.name,
                key=key,
                reason=reason,
                task=task,
                detail=detail,
                known=record is not None and record.storage == storage_id,
            )
        )
    steps += [
        CloudStep(
            step="refuse",
            target_id=missing,
            name="",
            key=folder + object_name(target, missing),
            reason=CloudReason.NOT_FOUND,
        )
        for missing in listing.missing
    ]
    steps += [
        CloudStep(step="refuse", target_id=missing, name="", key="", reason=CloudReason.NO_TASK)
        for missing in listing.missing_tasks
    ]
    return tuple(steps)


def _other_dimension(task: Task, spec: RequestSpec, formats: Formats | None) -> str:
    """Return why the export of a target would hold no annotation, "" if it may hold some."""
    if formats is None or isinstance(spec, BackupSpec):
        return ""
    return other_dimension(task, spec, formats, way_out="Export it apart from the others") or ""


def object_name(target: TargetKind, target_id: int) -> str:
    """Return the name of a target's object, such as `task147.zip`."""
    return f"{target}{target_id}.zip"


def folder_of(prefix: str) -> str:
    """Return the folder of a prefix: without `/` at its begin, with one at its end.

    Raises:
        ConfigError: Storages, or the programs that read them, would take it for another folder.
    """
    cleaned = prefix.strip("/")
    if not cleaned:
        return ""
    said = f"the folder {prefix[:80]!r} in a cloud storage cannot be used: "
    if any(part in ("", ".", "..") for part in cleaned.split("/")):
        raise ConfigError(f"{said}it holds an empty part, '.' or '..'. Give another with --prefix.")
    if "\\" in cleaned:
        raise ConfigError(f"{said}it holds a backslash. Separate folders by / in --prefix.")
    if not cleaned.isprintable():
        raise ConfigError(f"{said}it holds a control character. Give another with --prefix.")
    if len(cleaned.encode(errors="replace")) > _MOST_FOLDER_BYTES:
        raise ConfigError(
            f"{said}it has more than {_MOST_FOLDER_BYTES} bytes, and a key has at most 1,024. Give "
            "a shorter one with --prefix."
        )
    return f"{cleaned}/"


def described(spec: RequestSpec, task: Task) -> str:
    """Say in words what the object of a target holds."""
    if isinstance(spec, BackupSpec):
        return "lightweight backup" if spec.lightweight else "backup"
    images = "with" if spec.images else "without"
    return f"{spec.for_mode(task.mode).format}, {images} images"


def read_records(lines: Iterable[Any], storage_id: int) -> dict[str, CloudRecord]:
    """Return the latest record of each key of a storage. Lines that cannot be read count for none.

    Their objects are then unknown, and are not replaced without `overwrite`.
    """
    found: dict[str, CloudRecord] = {}
    for line in lines:
        try:
            record = msgspec.convert(line, CloudRecord)
        except UNREADABLE:
            continue
        if record.storage != storage_id:
            continue
        found.pop(record.key, None)
        if record.what:
            found[record.key] = record
    return found
