"""Measured files are added up by use, and by the target that they belong to."""

from __future__ import annotations

import pytest
from destinations import receipt_of

from asynccvat.core.inventory.kept import by_kept_name
from asynccvat.core.inventory.usage import Room, RoomOwner, Use, UsedRoom, add_up, owner_of
from asynccvat.core.targets import TargetKind

ONE, TWO = (RoomOwner(TargetKind.TASK, number) for number in (1, 2))


def test_files_are_added_up_by_use_and_by_target() -> None:
    found = add_up(
        "data",
        [
            UsedRoom(use=Use.RECORDS, files=1, bytes=1, allocated=512),
            UsedRoom(use=Use.CURRENT, owner=ONE, files=2, bytes=10, allocated=1024),
            UsedRoom(use=Use.ARCHIVES, owner=ONE, files=1, bytes=5, allocated=512),
            UsedRoom(use=Use.CURRENT, owner=TWO, files=1, bytes=90, allocated=512),
        ],
        {ONE: "street"},
        {ONE: 5},
    )
    assert [(one.project_id, one.targets, one.current) for one in found.projects] == [
        (None, 1, 90),
        (5, 1, 10),
    ]
    assert list(found.uses) == [Use.CURRENT, Use.ARCHIVES, Use.RECORDS]
    assert [one.current for one in found.targets] == [90, 10]
    assert found.total == Room(files=5, bytes=106, allocated=2560)
    assert found.to_json() == {
        "version": 1,
        "path": "data",
        "files": 5,
        "bytes": 106,
        "allocated": 2560,
        "uses": [
            {"use": "current", "files": 3, "bytes": 100, "allocated": 1536},
            {"use": "archives", "files": 1, "bytes": 5, "allocated": 512},
            {"use": "records", "files": 1, "bytes": 1, "allocated": 512},
        ],
        "targets": [
            {
                "task_id": 2,
                "name": "",
                "files": 1,
                "bytes": 90,
                "allocated": 512,
                "uses": {"current": 90},
            },
            {
                "task_id": 1,
                "name": "street",
                "files": 3,
                "bytes": 15,
                "allocated": 1536,
                "uses": {"current": 10, "archives": 5},
            },
        ],
        "projects": [
            {
                "project_id": None,
                "targets": 1,
                "files": 1,
                "bytes": 90,
                "allocated": 512,
                "current": 90,
            },
            {
                "project_id": 5,
                "targets": 1,
                "files": 3,
                "bytes": 15,
                "allocated": 1536,
                "current": 10,
            },
        ],
    }


def test_a_mirrored_project_is_its_own_project() -> None:
    owner = RoomOwner(TargetKind.PROJECT, 5)
    found = add_up("data", [UsedRoom(use=Use.CURRENT, owner=owner)], {}, {})
    assert [one.project_id for one in found.projects] == [5]


@pytest.mark.parametrize(
    ("use", "name", "target_id"),
    [
        (Use.ARCHIVES, "147.zip", 147),
        (Use.HISTORY, "147", 147),
        (Use.REPLACED, "147-20260101T020000.000000Z.json", 147),
        (Use.STAGING, "147", 147),
        (Use.STAGING, "147x", None),
        (Use.QUARANTINE, "mine-20260101T020000Z", 3),
        (Use.QUARANTINE, "147-20260101T020000Z", None),
    ],
)
def test_the_owner_of_a_file_of_ours_is_known_by_its_name(
    use: Use, name: str, target_id: int | None
) -> None:
    folders = by_kept_name({3: receipt_of(3, (), folder="mine").head})
    owner = owner_of(use, name, TargetKind.JOB, folders)
    assert owner == (None if target_id is None else RoomOwner(TargetKind.JOB, target_id))
