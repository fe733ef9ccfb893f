"""A plan is grouped by what is done and why; notes are no differences."""

from __future__ import annotations

import pytest

from asynccvat.core.inventory.difference import Difference, as_before
from asynccvat.core.models import Task, TaskListing
from asynccvat.core.plans.backup import BackupPlan, Expire
from asynccvat.core.plans.mirror import Fetch, Keep, MirrorStep, Plan, Reason, Refuse, Skip
from asynccvat.core.records.backups import (
    BackupCondition,
    BackupReceipt,
    StoredBackup,
    TargetState,
)
from asynccvat.core.targets import TargetKind


def plan(*steps: MirrorStep, complete: bool = True, guard: str | None = None) -> Plan:
    listing = TaskListing(tasks=(), complete=complete)
    return Plan(steps=steps, listing=listing, guard=guard)


def test_steps_are_grouped_by_reason_and_ordered_by_kind() -> None:
    found = Difference.of(
        plan(
            Keep(1, "", "task1", Reason.UNCHANGED),
            Keep(2, "", "task2", Reason.EDITED),
            Refuse(3, "", "task3", Reason.FOREIGN),
            Refuse(4, "", "task4", Reason.NOT_FOUND),
            Refuse(5, "", "task5", Reason.FOREIGN),
            Skip(6, "", "task6", Reason.NO_DATA),
        )
    )
    assert [(one.step, one.reason, one.ids, one.is_difference) for one in found.groups] == [
        ("refuse", "foreign", (3, 5), True),
        ("refuse", "not found", (4,), True),
        ("skip", "no data", (6,), False),
        ("keep", "edited", (2,), False),
    ]
    assert (found.count, found.unchanged, found.is_current) == (3, 1, False)
    described = found.to_json()
    assert (described["version"], described["differences"]) == (1, 3)
    assert described["groups"][0]["ids"] == (3, 5)


def test_a_mirror_is_current_if_its_whole_list_asks_for_nothing() -> None:
    kept = Keep(2, "", "task2", Reason.EDITED)
    assert Difference.of(plan(kept)).is_current
    assert not Difference.of(plan(kept, complete=False)).is_current
    assert not Difference.of(plan(kept, guard="too many")).is_current


def receipt(target: TargetKind = TargetKind.TASK, *, lightweight: bool = False) -> BackupReceipt:
    return BackupReceipt(
        target=target,
        id=1,
        name="street",
        file="task1/2026-11-29T031200Z.zip",
        size=3,
        digest="0",
        files=1,
        bytes=3,
        lightweight=lightweight,
        state=TargetState(updated_date="v1", jobs="j", media="m"),
        origin="https://cvat.example.com",
        requested_at="2026-11-29T03:12:00Z",
        committed_at="2026-11-29T03:12:00Z",
    )


def test_of_backups_what_would_be_made_and_removed_is_told_in_their_words() -> None:
    task = Task(id=7, name="street")
    steps = (
        Fetch(task, "task7", Reason.DAMAGED),
        Keep(8, "", "task8", Reason.UNCHANGED),
    )
    expired = Expire(1, "street", "task1/a.zip", Reason.EXPIRED, receipt())
    listing = TaskListing(tasks=(task,), complete=True)
    found = Difference.of(BackupPlan(steps=steps, listing=listing, expiries=(expired, expired)))
    assert [(one.step, one.ids, one.is_difference) for one in found.groups] == [
        ("back up", (7,), True),
        ("remove", (1,), True),
    ]
    assert found.groups[0].explanation.startswith("the zip of the last backup has another size")
    assert (found.count, found.unchanged, found.is_current) == (2, 1, False)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], (False, False)),
        ([(TargetKind.TASK, False), (TargetKind.TASK, True)], (False, False)),
        ([(TargetKind.TASK, True), (TargetKind.PROJECT, False)], (False, True)),
        ([(TargetKind.PROJECT, False)], (True, False)),
        ([(TargetKind.PROJECT, True)], (True, True)),
    ],
)
def test_backups_go_on_as_they_are(
    kinds: list[tuple[TargetKind, bool]], expected: tuple[bool, bool]
) -> None:
    backups = [
        StoredBackup(receipt(target, lightweight=lightweight), BackupCondition.PRESENT)
        for target, lightweight in kinds
    ]
    options = as_before(backups)
    assert (options.projects, options.lightweight) == expected
