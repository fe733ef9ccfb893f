"""What an import does with each dataset, and what a lost call has begun."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pytest

from asynccvat.core.models import Task
from asynccvat.core.plans.import_dataset import (
    DatasetCandidate,
    ImportDataset,
    RefuseDataset,
    SkipDataset,
    import_since,
    last_import,
    made_after,
    plan_datasets,
)
from asynccvat.core.records.restores import Done, Requesting, RestoreState, Sending
from asynccvat.core.requests import Operation, ServerRequest
from asynccvat.core.targets import TargetKind
from asynccvat.errors import BackupFileError

DONE = RestoreState(done=Done(key="k", kind=TargetKind.PROJECT))
BEGUN = RestoreState(sending=Sending(key="k", size=1, mtime_ns=1, file_id="f", address="/a"))
ASKED = replace(BEGUN, requesting=Requesting(key="k", kind=TargetKind.PROJECT, name="a.zip"))
IMPORTED = replace(ASKED, done=DONE.done)
MOMENT = datetime(2026, 11, 29, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "again", "kind", "reason"),
    [
        ({}, False, ImportDataset, "new"),
        ({"state": BEGUN}, False, ImportDataset, "interrupted"),
        ({"state": DONE}, False, SkipDataset, "existing"),
        ({"state": DONE}, True, ImportDataset, "again"),
        ({"state": ASKED}, False, RefuseDataset, "changed"),
        ({"state": ASKED}, True, ImportDataset, "again"),
        ({"state": ASKED, "size": 1, "mtime_ns": 1}, False, ImportDataset, "interrupted"),
        ({"state": ASKED, "size": 1, "mtime_ns": 1}, True, ImportDataset, "interrupted"),
        ({"state": IMPORTED}, False, RefuseDataset, "changed"),
        ({"state": IMPORTED}, True, ImportDataset, "again"),
        ({"state": IMPORTED, "size": 1, "mtime_ns": 1}, False, SkipDataset, "existing"),
        ({"state": IMPORTED, "problem": BackupFileError("no")}, False, SkipDataset, "existing"),
        ({"problem": BackupFileError("no")}, False, RefuseDataset, "file"),
    ],
)
def test_each_file_has_a_step_with_a_reason(
    given: dict[str, Any], again: bool, kind: type, reason: str
) -> None:
    one = DatasetCandidate(path=PurePosixPath("a.zip"), **{"size": 5, **given})
    plan = plan_datasets([one], 7, again=again)
    (step,) = plan.steps
    assert (type(step), step.reason) == (kind, reason)
    (told,) = plan.to_json()["steps"]
    assert (told["project_id"], told["reason"], told["path"]) == (7, reason, "a.zip")
    assert len(plan.of(kind)) == 1


def request(project_id: int, created: datetime | None, type_: str) -> ServerRequest:
    operation = Operation(type=type_, target="project", project_id=project_id)
    return ServerRequest(id=f"r{project_id}", operation=operation, created_date=created)


def test_the_import_into_a_project_since_a_moment_is_found() -> None:
    early = MOMENT.replace(hour=6)
    others = [
        request(1, MOMENT, "import:dataset"),
        request(5, early, "import:dataset"),
        request(5, None, "import:dataset"),
        request(5, MOMENT, "import:backup"),
    ]
    assert import_since(others, 5, MOMENT, None) is None
    ours = [*others, request(5, MOMENT, "import:dataset")]
    assert import_since(ours, 5, MOMENT, None) is not None
    # The import before it may have been requested within the same second.
    assert import_since(ours, 5, MOMENT, MOMENT) is None
    assert last_import(ours, 5) == MOMENT
    assert last_import(ours, 6) is None


def test_the_tasks_after_the_newest_are_found() -> None:
    assert made_after([Task(id=3), Task(id=9), Task(id=7)], 6) == (7, 9)
    assert made_after([Task(id=3)], 3) == ()
