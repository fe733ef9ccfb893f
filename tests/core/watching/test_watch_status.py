"""Check what a watch's status and its page say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from asynccvat.core.outcomes import Action
from asynccvat.core.watching.page import HEADERS, round_page, status_page
from asynccvat.core.watching.rounds import FullReason, TaskChange, TaskFailure, WatchRound
from asynccvat.core.watching.status import (
    ROUNDS_KEPT,
    SHOWN_IN_A_ROUND,
    WatchState,
    WatchStatus,
)
from asynccvat.errors import ConnectError

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOSTILE = "</td></script><script>alert(1)</script>\"'&"
NEW = WatchStatus(
    destination="data",
    server="http://cvat",
    every=300.0,
    started=NOW,
    state=WatchState.MIRRORING,
    state_since=NOW,
)


def change(number: int, name: str = "") -> TaskChange:
    path = f"/data/task{number}"
    return TaskChange(task_id=number, name=name, action=Action.FETCHED, path=path, reason="new")


def ended(number: int = 1, **given: Any) -> WatchRound:
    return WatchRound(number=number, began=NOW, seconds=2.5, requests=3, **given)


def failure(number: int, name: str = "n") -> TaskFailure:
    return TaskFailure(task_id=number, name=name, message=f"task {number} failed")


def test_a_new_watch_is_not_up_to_date() -> None:
    assert not NEW.is_up_to_date
    assert NEW.problem == "the first round has not ended"
    assert "Not up to date: the first round has not ended. Never up to date so far." in (
        status_page(NEW, NOW)
    )


def test_a_round_without_a_problem_is_up_to_date() -> None:
    changes = (change(1), change(2))
    status = NEW.after(ended(changes=changes, changed=2, transferred=10), NOW)
    assert status.is_up_to_date
    assert status.problem == ""
    assert status.changes_total == {"fetched": 2}
    assert (status.requests_total, status.transferred_total, status.rounds_total) == (3, 10, 1)
    assert "Up to date 1m ago." in status_page(status, NOW + timedelta(minutes=1))


def test_an_error_is_counted_and_keeps_the_last_good_time() -> None:
    good = NEW.after(ended(), NOW)
    failed = good.after(ended(2, error=ConnectError("no route")), NOW + timedelta(hours=1))
    assert failed.errors_in_a_row == 1
    assert failed.up_to_date_at == NOW
    assert failed.problem == "no route"
    page = status_page(failed, NOW + timedelta(hours=1))
    assert "Not up to date: no route. Last up to date 1h ago." in page
    assert "stopped: no route" in page
    assert failed.after(ended(3), NOW).errors_in_a_row == 0


def test_failed_tasks_are_stale() -> None:
    status = replace(NEW, failing={7: failure(7)}).after(ended(failed=1), NOW)
    assert status.problem == "1 task failed and will be tried again"
    assert "task 7 failed" in status_page(status, NOW)
    two = replace(status, failing={7: failure(7), 8: failure(8)})
    assert two.problem == "2 tasks failed and will be tried again"


def test_a_round_names_what_failed_in_it() -> None:
    few = NEW.after(ended(failures=(failure(7, "street"), failure(8, "")), failed=2), NOW)
    assert "failed: street, 8</td>" in status_page(few, NOW)
    many = tuple(failure(number, f"n{number}") for number in range(20))
    page = status_page(NEW.after(ended(failures=many, failed=30), NOW), NOW)
    assert "failed: n0, n1, n2 and 27 more" in page


def test_a_quiet_round_does_not_hide_a_task_that_failed_before() -> None:
    failed = replace(NEW.after(ended(), NOW), failing={7: failure(7)}).after(
        ended(2, failed=1), NOW
    )
    quiet = failed.after(ended(3), NOW + timedelta(hours=1))
    assert not quiet.is_up_to_date
    assert quiet.up_to_date_at == NOW
    assert quiet.problem == "1 task failed and will be tried again"
    assert replace(quiet, failing={}).after(ended(4), NOW).is_up_to_date


def test_old_rounds_are_shortened_and_forgotten() -> None:
    status = NEW
    many = tuple(change(number) for number in range(100))
    for number in range(1, ROUNDS_KEPT + 11):
        status = status.after(ended(number, changes=many, changed=100), NOW)
    assert len(status.rounds) == ROUNDS_KEPT
    assert status.rounds[0].number == ROUNDS_KEPT + 10
    assert len(status.rounds[0].changes) == SHOWN_IN_A_ROUND
    assert status.rounds[0].changed == 100
    assert status.changes_total == {"fetched": 100 * (ROUNDS_KEPT + 10)}


def test_names_from_the_server_are_text_on_the_page() -> None:
    changes = (change(1, HOSTILE),)
    status = replace(NEW, destination=HOSTILE, failing={1: failure(1, HOSTILE)}).after(
        ended(changes=changes, changed=1), NOW
    )
    page = status_page(status, NOW)
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") == 4  # title, heading, failure, round


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    assert "default-src 'none'" in HEADERS["Content-Security-Policy"]
    assert "script-src" not in HEADERS["Content-Security-Policy"]
    assert "http://" not in status_page(replace(NEW, server=""), NOW)


def test_the_page_tells_all_of_a_round() -> None:
    told = ended(
        changes=tuple(change(number, f"name {number}") for number in range(5)),
        changed=5,
        failed=2,
        full_because=FullReason.COUNT,
        woken_by="update:task",
        warnings=("on_change failed",),
    )
    status = replace(
        NEW.after(told, NOW),
        failing={number: failure(number) for number in range(250)},
        next_at=NOW + timedelta(seconds=90),
        deliveries={"accepted": 4, "refused": 1},
    )
    page = status_page(status, NOW)
    assert "listed all tasks: the number of tasks changed; woken by update:task; " in page
    assert "fetched: name 0, name 1, name 2; 2 more; on_change failed" in page
    assert "50 more." in page
    assert "next round in 1m30s" in page
    assert "4 accepted, 1 refused" in page
    assert "next round now" in status_page(status, NOW + timedelta(seconds=90))
    assert "nothing to do" in status_page(NEW.after(ended(), NOW), NOW)


def test_a_round_has_a_page_of_its_own_while_it_is_kept() -> None:
    many = tuple(change(number, HOSTILE) for number in range(30))
    told = ended(
        7,
        changes=many,
        changed=30,
        failures=(failure(3, HOSTILE),),
        failed=1,
        full_because=FullReason.TIME,
        woken_by="update:task",
        error=ConnectError("no route"),
        warnings=(HOSTILE,),
    )
    status = NEW.after(told, NOW).after(ended(8), NOW)
    page = round_page(status, 7)
    assert page is not None
    assert "<script" not in page
    assert "<dd>it is time for a full list</dd>" in page
    assert "<dd>no route</dd>" in page
    assert "10 more." in page
    assert "/data/task0" in page
    assert "task 3 failed" in page
    assert 'href="status/rounds/7"' in status_page(status, NOW)
    quiet = round_page(status, 8)
    assert quiet is not None
    assert "<h2>" not in quiet
    assert round_page(status, 6) is None


def test_a_status_is_json() -> None:
    told = ended(
        changes=(change(1),),
        changed=1,
        failures=(failure(2),),
        failed=1,
        error=ConnectError("no route"),
        full_because=FullReason.FIRST,
    )
    status = replace(NEW.after(told, NOW), failing={2: failure(2)})
    read = json.loads(json.dumps(status.to_json()))
    assert read["up_to_date"] is False
    assert read["up_to_date_at"] is None
    assert read["state"] == "mirroring"
    assert read["started"] == "2026-01-01T12:00:00Z"
    assert read["failing"] == [{"task_id": 2, "name": "n", "message": "task 2 failed"}]
    (first,) = read["rounds"]
    assert first["full_because"] == "the first round"
    assert first["error"] == {"type": "ConnectError", "message": "no route"}
    assert first["changes"] == [
        {"task_id": 1, "name": "", "action": "fetched", "path": "/data/task1", "reason": "new"}
    ]


def test_a_quiet_round_has_nothing_to_say() -> None:
    assert ended().quiet
    assert ended().to_json()["error"] is None
    assert not ended(warnings=("x",)).quiet
    assert not ended(failed=1).quiet
    assert not ended(changed=1).quiet
