"""What a restore does with each backup, and what a lost call may have begun."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pytest

from asynccvat.core.backups.contents import BackupContents, KindCounts, TaskContents
from asynccvat.core.backups.labels import BackupLabel
from asynccvat.core.plans.restore import (
    RefuseRestore,
    Restore,
    RestoreCandidate,
    RestorePlan,
    SkipRestore,
    duplicates_warning,
    plan_restores,
    restored_before_warning,
)
from asynccvat.core.plans.restored import restores_since
from asynccvat.core.records.restores import Done, RestoreState, Sending
from asynccvat.core.requests import Operation, ServerRequest
from asynccvat.core.targets import TargetKind
from asynccvat.errors import BackupFileError

CAR = BackupLabel(name="car")
TASK = TaskContents("street", (CAR,), (), (KindCounts(1, 2, 3),))
CONTENTS = BackupContents(TargetKind.TASK, "street", (CAR,), (TASK,))
DONE = Done(key="k", kind=TargetKind.TASK, new_id=900)
SENDING = Sending(key="k", size=1, mtime_ns=1, file_id="f", address="/a")


def plan(
    *,
    limit: int = 1000,
    labels: Any = None,
    again: bool = False,
    missing: bool = False,
    **more: Any,
) -> RestorePlan:
    one = RestoreCandidate(
        target_id=147,
        name="street",
        path=PurePosixPath("task147/a.zip"),
        **{"size": 10, "contents": CONTENTS, **more},
    )
    return plan_restores(
        [one],
        upload_limit=limit,
        project_id=None if labels is None else 5,
        project_labels=labels or (),
        again=again,
        missing=missing,
    )


@pytest.mark.parametrize(
    ("more", "kind", "reason"),
    [
        ({}, Restore, "new"),
        ({"state": RestoreState(sending=SENDING)}, Restore, "interrupted"),
        ({"state": RestoreState(done=DONE), "there": True}, SkipRestore, "existing"),
        ({"state": RestoreState(done=DONE), "there": True, "again": True}, Restore, "again"),
        ({"state": RestoreState(done=DONE)}, Restore, "gone"),
        ({"problem": BackupFileError("no"), "contents": None}, RefuseRestore, "file"),
        ({"limit": 9}, RefuseRestore, "too large"),
        ({"labels": [CAR]}, Restore, "new"),
        ({"labels": []}, RefuseRestore, "labels"),
        ({"alive": True}, Restore, "new"),
        ({"alive": True, "missing": True}, SkipRestore, "at server"),
        ({"alive": True, "missing": True, "contents": None}, SkipRestore, "at server"),
        ({"missing": True}, Restore, "new"),
    ],
)
def test_each_backup_has_a_step_with_a_reason(
    more: dict[str, Any], kind: type, reason: str
) -> None:
    (step,) = plan(**more).steps
    assert (type(step), step.reason) == (kind, reason)


def test_a_plan_warns_of_what_will_be_at_the_server_twice() -> None:
    warning = duplicates_warning(plan(), {147})
    assert warning is not None
    assert warning.startswith("task 147 is still at the server, and will be there twice. Give")
    assert duplicates_warning(plan(), {148}) is None
    again = plan(state=RestoreState(done=DONE), there=True, again=True)
    assert duplicates_warning(again, {147}) is None
    two = RestorePlan((*plan().steps, *plan().steps))
    assert "2 tasks, 147, 147, are" in (duplicates_warning(two, {147}) or "")


def test_a_plan_warns_of_what_was_restored_from_another_backup() -> None:
    warning = restored_before_warning(plan(), {147: [900, 901]})
    assert warning == (
        "task 147 was restored before from another backup, as task 900, 901. It will be there "
        "twice. 'restored.json' has the new id of each backup in 'files'."
    )
    assert restored_before_warning(plan(), {148: [900]}) is None
    again = plan(state=RestoreState(done=DONE), there=True, again=True)
    assert restored_before_warning(again, {147: [900]}) is None
    two = RestorePlan((*plan().steps, *plan().steps))
    assert (restored_before_warning(two, {147: [900]}) or "").startswith(
        "2 tasks were restored before from another backup, 147 as 900, 147 as 900. They will"
    )


def test_a_plan_tells_its_steps_as_json() -> None:
    assert plan().to_json()["steps"] == [
        {
            "step": "restore",
            "task_id": 147,
            "name": "street",
            "reason": "new",
            "path": "task147/a.zip",
            "bytes": 10,
            "annotations": 6,
        }
    ]
    skipped = plan(state=RestoreState(done=DONE), there=True)
    assert skipped.to_json()["steps"][0]["new_id"] == 900
    assert skipped.counts == {"skip": 1}
    imported = Done(key="k", kind=TargetKind.PROJECT)
    skipped = plan(state=RestoreState(done=imported), there=True)
    assert "new_id" not in skipped.to_json()["steps"][0]
    refused = plan(limit=9)
    assert "at most 9 bytes" in refused.to_json()["steps"][0]["error"]
    assert repr(refused) == "RestorePlan(refuse=1)"
    assert len(refused.of(RefuseRestore)) == 1


def test_many_missing_labels_are_told_in_part() -> None:
    labels = tuple(BackupLabel(name=name) for name in "abcde")
    contents = BackupContents(TargetKind.TASK, "x", labels, (TASK,))
    (step,) = plan(contents=contents, labels=[]).of(RefuseRestore)
    assert "no label 'c' (and 2 more). Add it" in str(step.problem)


MOMENT = datetime(2026, 11, 29, 7, 0, tzinfo=UTC)


def request(number: int, **more: Any) -> ServerRequest:
    operation = Operation(type=more.pop("type", "import:backup"), target=more.pop("to", "task"))
    created = more.pop("created", MOMENT)
    return ServerRequest(id=f"r{number}", operation=operation, created_date=created, **more)


def test_restores_since_a_moment_may_be_of_a_lost_call() -> None:
    requests = [
        request(1),
        request(2, type="import:annotations"),
        request(3, to="project"),
        request(4, created=MOMENT.replace(hour=6)),
        request(5, to=None),
        request(6),
    ]
    found = restores_since(requests, TargetKind.TASK, MOMENT, {"r6"})
    assert found is not None
    assert [one.id for one in found] == ["r1", "r5"]
    assert restores_since([request(1, created=None)], TargetKind.TASK, MOMENT, ()) is None
