"""Make the JSON of a run from its timeline: the figures of the page, and every task with them."""

from __future__ import annotations

from typing import Any

from asynccvat.reports.document import head_of
from asynccvat.reports.failures import failure_groups, failure_of, retry_command
from asynccvat.reports.timeline import TaskLine, Timeline

_OF_HEAD = (
    "command",
    "server",
    "place",
    "seconds",
    "state",
    "explanation",
    "counts",
    "transferred",
    "requests",
    "retries",
)


def run_data(timeline: Timeline, started_at: str) -> dict[str, Any]:
    """Return a run as JSON types, with a schema version.

    Args:
        timeline: The run.
        started_at: When it began, as a date and time of ISO 8601.
    """
    head = head_of(timeline, started_at)
    settings = timeline.begun.get("settings")
    return {
        "version": 1,
        "started_at": started_at,
        **{name: head[name] for name in _OF_HEAD},
        "settings": settings if isinstance(settings, dict) else {},
        "warnings": list(timeline.warnings),
        "failures": [
            {
                "error": group.error,
                "message": group.message,
                "ids": [line.id for line in group.lines],
                "retry": retry_command(timeline.begun, group.lines) or None,
            }
            for group in failure_groups(timeline.lines)
        ],
        "outcomes": [_outcome(line) for line in timeline.lines],
    }


def _outcome(line: TaskLine) -> dict[str, Any]:
    phases: dict[str, float] = {}
    for span in line.spans:
        phases[str(span.phase)] = phases.get(str(span.phase), 0.0) + span.end - span.start
    return {
        f"{line.target}_id": line.id or None,
        "name": str(line.outcome.get("name") or line.name),
        "action": str(line.outcome.get("action") or "unfinished"),
        "reason": str(line.outcome.get("reason") or ""),
        "start": round(line.start, 3),
        "seconds": round(line.seconds, 3),
        "phases": {phase: round(seconds, 3) for phase, seconds in phases.items()},
        "transferred": int(line.outcome.get("transferred") or line.moved),
        "retries": line.retries,
        "error": failure_of(line)[1] if line.failed else None,
        "step": line.step or None,
    }
