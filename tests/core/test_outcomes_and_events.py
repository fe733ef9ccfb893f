"""Check outcomes, reports and events, and their JSON."""

from __future__ import annotations

import gc
import json
from pathlib import PurePath

import pytest

from asynccvat import events
from asynccvat.core.outcomes import (
    Action,
    AnnotationChange,
    FailedOutcome,
    RunReport,
    TaskOutcome,
    TasksFailedError,
)
from asynccvat.errors import DiskFullError, ExportFailedError, StoreError

GOOD = TaskOutcome(
    task_id=1,
    name="one",
    action=Action.FETCHED,
    reason="new",
    location="d/task1",
    files=2,
    bytes=30,
    transferred=40,
    seconds=1.23456,
    warnings=("put aside",),
)
BAD = TaskOutcome(
    task_id=2, action=Action.FAILED, reason="new", error=ExportFailedError("no data", task_id=2)
)


def test_a_report_without_failures_is_ok_and_raises_nothing() -> None:
    report = RunReport(outcomes=(GOOD,))
    assert report.ok
    report.raise_for_failures()


def test_an_outcome_has_its_folder_as_a_path() -> None:
    assert GOOD.path == PurePath("d/task1")
    assert BAD.path is None


def test_an_upload_tells_how_many_annotations_the_task_had_and_has() -> None:
    uploaded = TaskOutcome(
        task_id=3,
        action=Action.UPLOADED,
        reason="edited",
        annotations=AnnotationChange(12, None, 3),
    )
    assert uploaded.to_json()["annotations"] == {"before": 12, "in_file": None, "after": 3}
    assert "annotations" not in GOOD.to_json()


def test_a_failure_is_in_the_report_and_raised_only_on_demand() -> None:
    report = RunReport(outcomes=(GOOD, BAD))
    assert not report.ok
    assert report.failures == (BAD,)
    with pytest.raises(TasksFailedError, match=r"1 of 2 tasks failed.*no data") as caught:
        report.raise_for_failures()
    assert caught.value.report is report


@pytest.mark.parametrize("text", ["task 2: no data", "the export of task 2: no data", "no data"])
def test_a_failure_names_its_task_once(text: str) -> None:
    bad = TaskOutcome(task_id=2, action=Action.FAILED, reason="new", error=ExportFailedError(text))
    assert bad.failure.count("task 2") == 1
    with pytest.raises(TasksFailedError) as caught:
        RunReport(outcomes=(bad,)).raise_for_failures()
    assert str(caught.value) == f"1 of 1 tasks failed. The first: {bad.failure}"
    assert GOOD.failure == ""


def test_the_failure_of_another_task_does_not_hide_whose_this_is() -> None:
    error = ExportFailedError("task 21 is in the way")
    bad = TaskOutcome(task_id=2, action=Action.FAILED, reason="new", error=error)
    assert bad.failure == "task 2: task 21 is in the way"


def test_a_run_that_was_stopped_raises_what_stopped_it() -> None:
    report = RunReport(interrupted=True, stopped_by=DiskFullError("no room"))
    assert not report.ok
    with pytest.raises(TasksFailedError, match="no room"):
        report.raise_for_failures()


def test_what_was_passed_over_is_not_ok_and_raised_on_demand() -> None:
    left = TaskOutcome(
        task_id=7, action=Action.PASSED_OVER, reason="open issues", warnings=("not deleted: no.",)
    )
    report = RunReport(outcomes=(left,))
    assert not report.ok
    assert (report.failures, report.passed_over) == ((), (left,))
    assert left.failure == "task 7: not deleted: no."
    with pytest.raises(TasksFailedError, match="1 of 1 tasks were passed over"):
        report.raise_for_failures()


def test_a_refused_guard_is_not_ok() -> None:
    assert not RunReport(guard="too many").ok


def test_a_report_is_json() -> None:
    report = RunReport(
        outcomes=(GOOD, BAD), seconds=2.0, requests=7, stopped_by=DiskFullError("no room")
    )
    record = json.loads(json.dumps(report.to_json()))
    assert record["counts"] == {"fetched": 1, "failed": 1}
    assert record["stopped_by"] == {"type": "DiskFullError", "message": "no room"}
    assert record["tasks"] == [
        {
            "task_id": 1,
            "name": "one",
            "action": "fetched",
            "reason": "new",
            "path": "d/task1",
            "files": 2,
            "bytes": 30,
            "transferred": 40,
            "seconds": 1.235,
            "warnings": ["put aside"],
        },
        {
            "task_id": 2,
            "name": "",
            "action": "failed",
            "reason": "new",
            "error": {"type": "ExportFailedError", "message": "no data"},
        },
    ]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (events.ListingRead(3, complete=True), {"event": "listing_read", "tasks": 3}),
        (events.Retrying(None, "list", "broken", 0.5), {"event": "retrying", "delay": 0.5}),
        (events.TaskDone(GOOD), {"event": "task_done", "task_id": 1, "action": "fetched"}),
        (
            events.RunFinished(RunReport(outcomes=(GOOD,))),
            {"event": "run_finished", "counts": {"fetched": 1}, "ok": True},
        ),
    ],
)
def test_an_event_is_one_json_object_with_its_name_and_schema_version(
    event: events.Event, expected: dict[str, object]
) -> None:
    record = json.loads(json.dumps(events.to_json(event)))
    assert record["v"] == events.EVENT_SCHEMA_VERSION
    assert expected.items() <= record.items()
    assert "tasks" not in record or record["event"] == "listing_read"


def test_the_garbage_collector_skips_outcomes() -> None:
    assert not gc.is_tracked(GOOD)
    assert not gc.is_tracked(BAD)


def test_the_garbage_collector_follows_the_outcome_of_a_task_that_failed() -> None:
    error = StoreError("no room")
    failed = FailedOutcome(task_id=2, action=Action.FAILED, reason="new", error=error)
    assert gc.is_tracked(failed)
    assert isinstance(failed, TaskOutcome)
    assert not failed.ok
