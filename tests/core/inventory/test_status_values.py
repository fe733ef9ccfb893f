"""The status of a destination says what is unusual, and is green if nothing is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from destinations import receipt_of

from asynccvat.core.inventory.kept import KeptKind, KeptTotal
from asynccvat.core.inventory.status import (
    ChangedFile,
    DestinationStatus,
    FormatCount,
    changed_files,
    held_by_backups,
    held_by_mirror,
    kind_held,
)
from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.backups import (
    BackupCondition,
    BackupReceipt,
    StoredBackup,
    TargetState,
)
from asynccvat.core.records.last_run import LastRun, RunEnd
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.targets import TargetKind

BEGAN = "2026-01-01T00:00:00Z"
COMPLETE = LastRun(verb="mirror", began_at=BEGAN, ended_at=BEGAN, end=RunEnd.COMPLETE)
CHANGED = (
    ChangedFile(target_id=1, path="task1/a", state=FolderState.EDITED),
    ChangedFile(target_id=2, path="task2/", state=FolderState.MISSING),
)


def status(**fields: Any) -> DestinationStatus:
    known: dict[str, Any] = {
        "path": "data",
        "holds": "tasks",
        "origin": "https://cvat.example.com",
        "organization": None,
        "server": "https://cvat.example.com",
    }
    return DestinationStatus(**known | fields)


@pytest.mark.parametrize(
    ("fields", "green"),
    [
        ({}, True),
        ({"last_run": COMPLETE}, True),
        ({"kept": {KeptKind.QUARANTINE: KeptTotal(1, 1, 1)}}, True),
        ({"last_run": msgspec.structs.replace(COMPLETE, end=RunEnd.INCOMPLETE)}, False),
        ({"last_run": LastRun(verb="mirror", began_at=BEGAN)}, False),
        ({"failed": (1,)}, False),
        ({"changed": CHANGED[:1]}, False),
        ({"warnings": ("a damaged receipt",)}, False),
    ],
)
def test_it_is_green_if_all_was_done_and_every_file_is_as_mirrored(
    fields: dict[str, Any], green: bool
) -> None:
    assert status(**fields).is_green is green
    assert status(**fields).to_json()["green"] is green


def test_a_run_without_an_end_is_running_or_was_killed() -> None:
    begun = LastRun(verb="mirror", began_at=BEGAN)
    running = status(last_run=begun, writer="process 7 on host")
    assert (running.is_running, running.was_killed) == (True, False)
    assert running.to_json()["last_run"]["end"] == "running"
    killed = status(last_run=begun)
    assert (killed.is_running, killed.was_killed) == (False, True)
    assert killed.to_json()["last_run"]["end"] == "killed"
    # A process that mirrored may live on.
    ended = status(last_run=COMPLETE, writer="process 7 on host")
    assert (ended.is_running, ended.was_killed) == (False, False)
    assert (status().is_running, status().was_killed) == (False, False)


def test_its_json_has_a_version() -> None:
    found = status(
        settings=Remembered(format="CVAT"),
        changed=CHANGED,
        kept={KeptKind.ARCHIVE: KeptTotal(1, 2, 3)},
        formats=(FormatCount(format="CVAT", images=True, folders=2),),
        last_run=COMPLETE,
    )
    described = found.to_json()
    assert described["version"] == 1
    assert described["settings"] == {"format": "CVAT"}
    assert described["changed"][1] == {"target_id": 2, "path": "task2/", "state": "missing"}
    assert described["kept"] == {"archives": {"items": 1, "files": 2, "bytes": 3}}
    assert described["last_run"]["end"] == "complete"
    assert (found.edited, found.missing) == (CHANGED[:1], CHANGED[1:])
    assert status().to_json()["last_run"] is None


def test_receipts_tell_what_a_mirror_holds() -> None:
    heads = {
        1: receipt_of(1, (), committed_at="2026-01-02T00:00:00Z", bytes=5).head,
        2: receipt_of(2, (), committed_at="2026-01-01T00:00:00Z", bytes=2).head,
        3: receipt_of(3, (), format="YOLO 1.1", images=False).head,
    }
    held = held_by_mirror(heads)
    assert (held["targets"], held["bytes"]) == (3, 7)
    assert held["formats"] == (
        FormatCount(format="COCO 1.0", images=True, folders=2),
        FormatCount(format="YOLO 1.1", images=False, folders=1),
    )
    assert held["newest_at"] == "2026-01-02T00:00:00Z"
    assert held_by_mirror({})["oldest_at"] is None
    assert kind_held(heads, None) == "tasks"
    assert kind_held({}, Remembered(target="jobs")) == "jobs"
    assert kind_held({}, None) == "tasks"


def test_changed_files_are_named_in_the_order_of_ids() -> None:
    heads = {number: receipt_of(number, ()).head for number in (1, 2)}
    changed = {2: [("", FolderState.MISSING)], 1: [("a", FolderState.EDITED)]}
    assert changed_files(heads, changed) == CHANGED


def test_receipts_tell_what_backups_there_are() -> None:
    def backup(
        number: int, condition: BackupCondition, target: TargetKind = TargetKind.TASK
    ) -> StoredBackup:
        receipt = BackupReceipt(
            target=target,
            id=number,
            file=f"task{number}/2026-01-01T000000Z.zip",
            size=10,
            digest="",
            files=1,
            bytes=20,
            lightweight=False,
            state=TargetState(updated_date="", jobs="", media=""),
            origin="https://cvat.example.com",
            requested_at=BEGAN,
            committed_at=BEGAN,
        )
        return StoredBackup(receipt, condition)

    held = held_by_backups(
        [
            backup(1, BackupCondition.PRESENT),
            backup(1, BackupCondition.CHANGED),
            backup(2, BackupCondition.MISSING),
        ]
    )
    assert (held["targets"], held["backups"], held["bytes"]) == (2, 3, 30)
    assert held["backed_up"] == {TargetKind.TASK: 2}
    kinds = (TargetKind.PROJECT, TargetKind.TASK)
    mixed = [backup(1, BackupCondition.PRESENT, kind) for kind in kinds]
    assert list(held_by_backups(mixed)["backed_up"]) == [TargetKind.TASK, TargetKind.PROJECT]
    assert [(one.target_id, str(one.state)) for one in held["changed"]] == [
        (1, "edited"),
        (2, "missing"),
    ]
    assert held_by_backups([])["newest_at"] is None
