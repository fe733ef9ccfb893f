"""Note what a verification finds, as a failed line for each target that has problems.

A verification tells of nothing that is right, so the targets without a problem are only counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asynccvat.core.problems import ProblemKind
from asynccvat.core.targets import TargetKind
from asynccvat.reports.timeline import TaskLine, Timeline

Key = tuple[int, str, int]
"""A step of a run file, a kind of target, and the target's id."""

_NOTES = frozenset(str(kind) for kind in ProblemKind if kind.is_note)


class Problems:
    """The problems of a verification, as far as no repair has solved them."""

    def __init__(self, timeline: Timeline) -> None:
        """Note no problem yet.

        Args:
            timeline: Where notes, and the end, are added.
        """
        self._timeline = timeline
        self._lines: dict[Key, TaskLine] = {}
        self._more: dict[Key, int] = {}

    def add(self, record: Mapping[str, Any], key: Key | None, at: float) -> None:
        """Note a problem, or the end of the verification. A problem that is a note is a warning.

        Args:
            record: The event `problem_found` or `verify_finished`.
            key: The target; None if it belongs to none.
            at: Seconds since the run's first event.
        """
        if record["event"] == "verify_finished":
            self._end(record)
            return
        kind, path = str(record.get("kind") or ""), str(record.get("path") or "")
        reason = str(record.get("reason") or "")
        said = f"{path}: {reason}" if path else reason
        if kind in _NOTES:
            self._timeline.warnings.append(f"{kind}: {said}")
            return
        key = key or (record.get("step_number") or 0, str(TargetKind.TASK), 0)
        if key in self._lines:
            self._more[key] = self._more.get(key, 0) + 1
            return
        step, target, id_ = key
        outcome = {
            "action": "failed",
            "reason": kind,
            "name": path.rstrip("/"),
            "path": path,
            "error": {"type": kind, "message": said},
        }
        self._lines[key] = TaskLine(target, id_, step, at, end=at, outcome=outcome)

    def solve(self, key: Key) -> None:
        """Forget the problems of a target that a repair has fetched, or could not fetch.

        Its own line tells which.
        """
        self._lines.pop(key, None)
        self._more.pop(key, None)

    def _end(self, record: Mapping[str, Any]) -> None:
        """Note the end of the verification: how many targets it checked, and its warnings."""
        timeline = self._timeline
        timeline.checked += int(record.get("tasks") or 0)
        timeline.ended.append({**record, "transferred": record.get("bytes")})
        said = record.get("warnings")
        for warning in said if isinstance(said, list) else ():
            if warning not in timeline.warnings:
                timeline.warnings.append(str(warning))

    def lines(self) -> list[TaskLine]:
        """Return a line for each target with problems that are left."""
        for key, more in self._more.items():
            line = self._lines[key]
            line.outcome = {**line.outcome, "reason": f"{line.outcome['reason']} and {more:,} more"}
        self._more = {}
        return list(self._lines.values())
