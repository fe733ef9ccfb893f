"""The page of events shows one line of JSON for each class, as `events.to_json` writes it."""

from __future__ import annotations

import json
import typing
from datetime import UTC, datetime

import pytest
from pages import block, blocks

import asynccvat as ac
from asynccvat import events
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.problems import FileState, ProblemKind, VerifyProblem
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.core.targets import TargetKind

PAGE = "docs/python/events.md"
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
RQ = "action=export&target=task&target_id=7"
FETCHED = TaskOutcome(
    task_id=7,
    name="street-7",
    action=Action.FETCHED,
    reason="new",
    location="data/task7",
    files=3,
    bytes=90_000,
    transferred=40_000,
    seconds=4.25,
)
LOST = VerifyProblem(
    kind=ProblemKind.MISSING,
    path="task7/annotations.xml",
    task_id=7,
    expected=FileState(812, 0x1234ABCD, 1_772_368_200_000_000_000),
)

EXAMPLES: tuple[events.Event, ...] = (
    events.CommandStarted(
        "mirror",
        "0.1.0",
        "https://cvat.example.com",
        "data",
        {"--transfers": "8"},
        again="asynccvat mirror data --transfers 8",
        retry={"task": "asynccvat mirror data --transfers 8 -t"},
    ),
    events.RunStarted(8, verb="mirror"),
    events.DestinationSettled("data: empty"),
    events.ListingRead(1, complete=True),
    events.Planned(fetch=1, keep=0, skip=0, move=0, remove=0, refuse=0),
    events.TaskStarted(7, "street-7"),
    events.ExportRequested(7, RQ, created=True),
    events.ExportStarted(7),
    events.ExportFinished(7, 2.5, ended_at=AT),
    events.TransferStarted(7, 40_000, 0),
    events.TransferProgress(7, 40_000, writing_seconds=0.01),
    events.TransferFinished(7),
    events.UploadStarted(7, 812),
    events.UploadProgress(7, 812),
    events.ImportRequested(7, RQ.replace("export", "import")),
    events.ImportStarted(7),
    events.ImportFinished(7, 1.5, ended_at=AT),
    events.Retrying(7, "download", "the connection broke", 1.0),
    events.ServerPaused(30.0),
    events.ServerUnreachable(2.0, 600.0, "connection refused"),
    events.ServerBack(12.0),
    events.QueueStalled(QueueStall("export", 300.0, 2, 1, AT)),
    events.Warned("1 file of yours was moved to quarantine"),
    events.TaskDone(FETCHED),
    events.RunFinished(ac.RunReport(outcomes=(FETCHED,), seconds=5.0, requests=6)),
    events.VerifyStarted(1, 3, 90_000, 0),
    events.VerifyProgress(3, 90_000),
    events.ProblemFound(LOST),
    events.RepairStarted(1),
    events.VerifyFinished(ac.VerifyReport(problems=(LOST,), tasks=1, files=3, bytes=90_000)),
)


def test_there_is_one_example_of_every_class_in_order() -> None:
    assert tuple(map(type, EXAMPLES)) == typing.get_args(events.Event)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_is_the_same_after_json(event: events.Event) -> None:
    record = events.to_json(event)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["v"] == events.EVENT_SCHEMA_VERSION
    assert record["event"].replace("_", "") == type(event).__name__.lower()


def test_the_page_shows_the_line_of_every_class() -> None:
    shown = [json.loads(line) for line in block(PAGE, "json").text.splitlines()]
    assert shown == list(map(events.to_json, EXAMPLES))


def test_the_page_says_what_the_schema_version_is() -> None:
    assert len([item for item in blocks("json") if item.page == PAGE]) == 1
    assert f'"v": {events.EVENT_SCHEMA_VERSION}' in block(PAGE, "json").text


@pytest.mark.parametrize(
    ("target", "field"), [(TargetKind.PROJECT, "project_id"), (TargetKind.JOB, "job_id")]
)
@pytest.mark.parametrize(
    "kind",
    [
        type(event)
        for event in EXAMPLES
        if hasattr(event, "target") and isinstance(getattr(event, "task_id", None), int)
    ],
    ids=lambda kind: kind.__name__,
)
def test_the_id_of_another_target_is_named_after_it(
    kind: type[typing.Any], target: TargetKind, field: str
) -> None:
    (event,) = (event for event in EXAMPLES if type(event) is kind)
    values = {name: getattr(event, name) for name in kind.__dataclass_fields__}
    record = events.to_json(kind(**values | {"target": target}))
    assert record[field] == 7
    assert not {"task_id", "target"} & record.keys()
