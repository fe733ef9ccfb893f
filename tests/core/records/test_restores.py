"""The lines of a journal of restores say together how far each backup is."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from asynccvat.core.records.restores import (
    Accepted,
    Done,
    Failed,
    Made,
    Requesting,
    RestoreLine,
    RestoreState,
    Sending,
    read_lines,
    restored_json,
)
from asynccvat.core.targets import TargetKind
from asynccvat.errors import StoreError

SENDING = Sending(key="a", size=5, mtime_ns=6, file_id="f", address="/api/tasks/backup/f")
REQUESTING = Requesting(
    key="a", kind=TargetKind.TASK, name="street", frames=3, since=datetime(2026, 1, 1, tzinfo=UTC)
)
ACCEPTED = Accepted(key="a", rq_id="rq")
MADE = Made(key="a", new_id=900)
DONE = Done(key="a", kind=TargetKind.TASK, old_id=147, new_id=900, project_id=5, at="now")


def values(*lines: RestoreLine) -> list[Any]:
    return [json.loads(msgspec.json.encode(line)) for line in lines]


def test_each_line_leads_a_step_further() -> None:
    lines = (SENDING, REQUESTING, ACCEPTED, MADE, DONE)
    states = [read_lines(values(*lines[:count]), where="x").of("a") for count in range(6)]
    assert states == [
        RestoreState(),
        RestoreState(SENDING),
        RestoreState(SENDING, REQUESTING),
        RestoreState(SENDING, REQUESTING, "rq"),
        RestoreState(SENDING, REQUESTING, "rq", 900),
        RestoreState(SENDING, REQUESTING, "rq", 900, DONE),
    ]


def test_a_call_is_unanswered_until_its_request_or_result_is_known() -> None:
    assert read_lines(values(SENDING), where="x").unanswered == ()
    assert read_lines(values(SENDING, REQUESTING), where="x").unanswered == ("a",)
    assert read_lines(values(SENDING, REQUESTING, ACCEPTED), where="x").unanswered == ()
    assert read_lines(values(SENDING, REQUESTING, MADE), where="x").unanswered == ()


def test_after_a_failure_all_begins_anew_but_its_request_stays_known() -> None:
    states = read_lines(values(SENDING, REQUESTING, ACCEPTED, Failed(key="a")), where="x")
    assert states.of("a") == RestoreState()
    assert states.rq_ids == {"rq"}
    assert states.done == ()


@pytest.mark.parametrize("line", [{"type": "unknown", "key": "a"}, 5, {"type": "made"}])
def test_a_line_that_cannot_be_read_is_refused(line: object) -> None:
    with pytest.raises(StoreError, match="a line of it cannot be read"):
        read_lines([*values(SENDING), line], where="'x'")


def test_restored_json_has_old_ids_and_new_ones() -> None:
    later = Done(key="b", kind=TargetKind.TASK, old_id=147, new_id=901)
    project = Done(key="c", kind=TargetKind.PROJECT, old_id=5, new_id=8)
    lone = Done(key="d.zip", kind=TargetKind.TASK, new_id=902)
    imported = Done(key="e.zip", kind=TargetKind.PROJECT, old_id=5)
    content = restored_json(
        [DONE, later, project, lone, imported], origin="https://cvat", organization="acme"
    )
    assert json.loads(content) == {
        "version": 1,
        "server": "https://cvat",
        "organization": "acme",
        "tasks": {"147": 901},
        "projects": {"5": 8},
        "files": {"a": 900, "b": 901, "c": 8, "d.zip": 902},
    }
