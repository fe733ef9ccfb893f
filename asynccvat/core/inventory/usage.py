"""The room that a destination takes, by what it is for and by task. `store.usage` measures it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from asynccvat.core.inventory.kept import KeptKind, quarantined
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.targets import TargetKind

_LEADING_ID = re.compile(r"([1-9]\d{0,17})(?=[-.]|$)", re.ASCII)


class Use(StrEnum):
    """What files of a destination are for."""

    CURRENT = "current"
    """The folders of tasks, or the zips of backups, with what you added to them."""
    ARCHIVES = "archives"
    """Archives, because of `--keep-archive`."""
    HISTORY = "history"
    """Earlier annotation files, because of `--history`."""
    QUARANTINE = "quarantine"
    """Files of yours that were in the way: `.asynccvat/kept/`."""
    REPLACED = "replaced"
    """Annotations of the server, as they were before uploads."""
    STAGING = "staging"
    """Tasks on their way, or what an interrupted run left of them."""
    RECORDS = "records"
    """Receipts, and the other small files of asynccvat."""
    OTHER = "other"
    """Files in the destination that are in no receipt."""


OF_OWN_FOLDERS: Mapping[str, Use] = {
    KeptKind.ARCHIVE: Use.ARCHIVES,
    KeptKind.HISTORY: Use.HISTORY,
    KeptKind.QUARANTINE: Use.QUARANTINE,
    KeptKind.REPLACED: Use.REPLACED,
    "staging": Use.STAGING,
}
"""The folders in `.asynccvat` that have a use of their own."""


class RoomOwner(msgspec.Struct, frozen=True):
    """The task, project or job that files belong to."""

    target: TargetKind
    target_id: int


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The room that some files take.

    Attributes:
        files: Number of files. One with several names counts once.
        bytes: Sum of their sizes.
        allocated: Bytes that they take on the disk.
    """

    files: int = 0
    bytes: int = 0
    allocated: int = 0


class UsedRoom(Room, frozen=True, kw_only=True):
    """The room that files of one use and one target take.

    Attributes:
        use: What they are for.
        owner: What they belong to, None if that is unknown.
    """

    use: Use
    owner: RoomOwner | None = None


class TargetRoom(Room, frozen=True, kw_only=True):
    """The room that all files of one task, project or job take.

    Attributes:
        owner: What they belong to.
        name: Its name; "" if no receipt tells.
        uses: Bytes by use.
    """

    owner: RoomOwner
    name: str
    uses: Mapping[Use, int]

    @property
    def current(self) -> int:
        """The bytes of what is current."""
        return self.uses.get(Use.CURRENT, 0)


class ProjectRoom(Room, frozen=True, kw_only=True):
    """The room that all targets of one project take.

    Attributes:
        project_id: The project when they were fetched; None for targets outside any project, and
            where the receipt does not tell.
        targets: How many targets of it take room.
        current: Bytes of what is current.
    """

    project_id: int | None
    targets: int
    current: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsage:
    """The room that a destination takes.

    Attributes:
        path: The destination, as it was given.
        total: All files.
        uses: The room by use, without uses that have no files.
        targets: The room by task, project or job, the largest first.
        projects: The room of these by project, the largest first.
    """

    path: str
    total: Room
    uses: Mapping[Use, Room]
    targets: tuple[TargetRoom, ...]
    projects: tuple[ProjectRoom, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the room as JSON types, with a schema version."""
        return {
            "version": 1,
            "path": self.path,
            **_record(self.total),
            "uses": [{"use": str(use), **_record(room)} for use, room in self.uses.items()],
            "targets": [
                {
                    f"{one.owner.target}_id": one.owner.target_id,
                    "name": one.name,
                    **_record(one),
                    "uses": {str(use): size for use, size in one.uses.items()},
                }
                for one in self.targets
            ],
            "projects": [
                {
                    "project_id": one.project_id,
                    "targets": one.targets,
                    **_record(one),
                    "current": one.current,
                }
                for one in self.projects
            ],
        }


def add_up(
    path: str,
    rooms: Iterable[UsedRoom],
    names: Mapping[RoomOwner, str],
    projects: Mapping[RoomOwner, int | None],
) -> DiskUsage:
    """Add up measured files by use, by target, and by project.

    Args:
        path: The destination.
        rooms: What was measured.
        names: The names of targets, by receipts.
        projects: The projects of targets, by receipts.
    """
    by_use: dict[Use, list[UsedRoom]] = defaultdict(list)
    by_owner: dict[RoomOwner, list[UsedRoom]] = defaultdict(list)
    for room in rooms:
        by_use[room.use].append(room)
        if room.owner is not None:
            by_owner[room.owner].append(room)
    uses = {use: Room(**_sums(by_use[use])) for use in Use if use in by_use}
    targets = [
        TargetRoom(
            owner=owner,
            name=names.get(owner, ""),
            uses={room.use: room.bytes for room in found},
            **_sums(found),
        )
        for owner, found in by_owner.items()
    ]
    targets.sort(key=lambda one: (-one.bytes, one.owner.target, one.owner.target_id))
    return DiskUsage(
        path=path,
        total=Room(**_sums(uses.values())),
        uses=uses,
        targets=tuple(targets),
        projects=_by_project(targets, projects),
    )


def _by_project(
    targets: Iterable[TargetRoom], projects: Mapping[RoomOwner, int | None]
) -> tuple[ProjectRoom, ...]:
    found: dict[int | None, list[TargetRoom]] = defaultdict(list)
    for one in targets:
        is_project = one.owner.target is TargetKind.PROJECT
        found[one.owner.target_id if is_project else projects.get(one.owner)].append(one)
    rooms = [
        ProjectRoom(
            project_id=project_id,
            targets=len(own),
            current=sum(one.current for one in own),
            **_sums(own),
        )
        for project_id, own in found.items()
    ]
    return tuple(sorted(rooms, key=lambda one: (-one.bytes, one.project_id or 0)))


def _sums(rooms: Iterable[Room]) -> dict[str, int]:
    found = list(rooms)
    return {
        "files": sum(room.files for room in found),
        "bytes": sum(room.bytes for room in found),
        "allocated": sum(room.allocated for room in found),
    }


def _record(room: Room) -> dict[str, int]:
    return {"files": room.files, "bytes": room.bytes, "allocated": room.allocated}


def owner_of(
    use: Use, name: str, target: TargetKind, folders: Mapping[str, ReceiptHead]
) -> RoomOwner | None:
    """Return the target that an entry of one of our own folders belongs to, None if unknown.

    Args:
        use: The use of the folder.
        name: The name of the entry, such as `147.zip`.
        target: What the mirror has a folder for each of.
        folders: The receipts, as of `kept.by_kept_name`.
    """
    if use is Use.QUARANTINE:
        target_id = quarantined(name, folders).target_id
    else:
        found = _LEADING_ID.match(name)
        target_id = None if found is None else int(found[1])
    return None if target_id is None else RoomOwner(target, target_id)
