"""Logs of events for the tests of reports, as `--log-json` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from asynccvat.reports.builder import TimelineBuilder
from asynccvat.reports.timeline import Phase, TaskLine, Timeline

BEGAN = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)

Record = tuple[float, str, Mapping[str, Any]]
"""Seconds of the run, the event's name, and its fields."""


def at_time(seconds: float) -> str:
    """A date of the server, whose clock is an hour ahead."""
    return (BEGAN + timedelta(hours=1, seconds=seconds)).isoformat()


def log_of(records: Iterable[Record], *, began: datetime = BEGAN) -> list[bytes]:
    """The lines of a log."""
    return [
        json.dumps(
            {
                "at": (began + timedelta(seconds=at)).isoformat(timespec="milliseconds"),
                "v": 1,
                "event": name,
                **fields,
            }
        ).encode()
        for at, name, fields in records
    ]


def timeline_of(records: Iterable[Record]) -> Timeline:
    """The timeline of events."""
    builder = TimelineBuilder()
    for at, name, fields in records:
        builder.add({"v": 1, "event": name, **fields}, at)
    return builder.build()


def phases(line: TaskLine) -> list[tuple[Phase, float, float]]:
    """The phases of a task, rounded to milliseconds."""
    return [(span.phase, round(span.start, 3), round(span.end, 3)) for span in line.spans]


def a_mirror(tasks: int, *, failed: Iterable[int] = (), gap: float = 1.0) -> list[Record]:
    """The events of a mirror, one task after the other, each within a second."""
    lost = set(failed)
    found: list[Record] = []
    for id_ in range(1, tasks + 1):
        at, task = (id_ - 1) * gap, {"task_id": id_}
        found += [
            (at, "export_requested", {**task, "rq_id": "x", "created": True}),
            (at + 0.5, "export_finished", {**task, "seconds": 0.25, "ended_at": at_time(at + 0.5)}),
            (at + 0.5, "transfer_started", {**task, "size": 1000, "reused": 0}),
            (at + 0.7, "transfer_progress", {**task, "transferred": 1000}),
            (at + 0.7, "transfer_finished", task),
            (at + 0.8, "task_done", outcome(id_, failed=id_ in lost)),
        ]
    counts = {"ok": not lost, "seconds": tasks * gap, "requests": 3 * tasks, "transferred": 0}
    return [*sorted(found, key=lambda record: record[0]), (tasks * gap, "run_finished", counts)]


def outcome(id_: int, *, failed: bool = False, name: str | None = None) -> dict[str, Any]:
    """The fields of a `task_done`."""
    known = {"task_id": id_, "name": f"street-{id_:05}" if name is None else name}
    if failed:
        error = {"type": "ExportFailedError", "message": f"the server could not export task {id_}"}
        return {**known, "action": "failed", "reason": "new", "error": error}
    return {**known, "action": "fetched", "reason": "new", "transferred": 1000, "seconds": 0.8}
