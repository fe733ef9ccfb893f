"""When a queue of the server counts as standing still, and what is said of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from asynccvat.core.requests import Operation, ServerRequest
from asynccvat.core.scheduling.stalls import (
    SAY_AFTER,
    QueueMovement,
    QueueStall,
    listed_stall,
    stall_of,
)

NOW = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)


def minutes(count: float) -> datetime:
    """The time so many minutes ago."""
    return NOW - timedelta(minutes=count)


def request(
    status: str,
    *,
    queued: float | None = None,
    started: float | None = None,
    ended: float | None = None,
    kind: str = "export:annotations",
) -> ServerRequest:
    """A request, with its dates as minutes before now."""
    dates = [None if date is None else minutes(date) for date in (queued, started, ended)]
    return ServerRequest(
        id=f"{status} {queued} {started}",
        status=status,
        operation=Operation(type=kind),
        created_date=dates[0],
        started_date=dates[1],
        finished_date=dates[2],
    )


NOTHING = "nothing has left the server's "


@pytest.mark.parametrize(
    ("stall", "said"),
    [
        (
            QueueStall("export", 301.0, 3, 2, minutes(58)),
            "export queue for 5m: 3 of yours wait behind 2 that run since 2026-11-30 14:02 UTC",
        ),
        (
            QueueStall("import", 4 * 3600, 1, 1),
            "import queue for 4h: 1 of yours waits behind 1 that runs",
        ),
        (
            QueueStall("export", 60.0, 2, 0),
            "export queue for 1m: 2 of yours wait, and none of yours runs",
        ),
    ],
)
def test_a_stall_says_what_waits_behind_what(stall: QueueStall, said: str) -> None:
    assert str(stall) == NOTHING + said
    assert stall.to_json()["message"] == NOTHING + said


def test_a_stall_is_said_again_after_twice_as_long() -> None:
    movement = QueueMovement()
    said = [minute for minute in range(100) if movement.is_due(60.0 * minute)]
    assert said == [5, 10, 20, 40, 80]
    movement.note(6000.0)
    assert movement.seconds(6060.0) == 60.0
    assert not movement.is_due(6000.0 + SAY_AFTER - 1)
    assert movement.is_due(6000.0 + SAY_AFTER)


def test_only_waiting_requests_are_stalled() -> None:
    assert stall_of("export", 600.0, waiting=0, running=[minutes(20)]) is None
    found = stall_of("export", 600.0, waiting=1, running=[minutes(20), None])
    assert found == QueueStall("export", 600.0, 1, 2, minutes(20))


def test_a_list_of_requests_shows_whether_a_queue_moves() -> None:
    waiting, running = request("queued", queued=9), request("started", queued=90, started=60)
    assert listed_stall("export", [waiting, running], NOW) == QueueStall(
        "export", 540.0, 1, 1, minutes(60)
    )
    assert listed_stall("import", [waiting, running], NOW) is None
    moved = request("finished", queued=90, started=60, ended=4)
    assert listed_stall("export", [waiting, running, moved], NOW) is None
    assert listed_stall("export", [running, moved], NOW) is None
    undated = [request("queued"), request("queued", kind="create:task")]
    assert listed_stall("export", undated, NOW) is None
