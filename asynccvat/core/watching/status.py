"""What a watch is doing, as a value for status lines, pages and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from asynccvat.core.targets import TargetKind
from asynccvat.core.watching.rounds import TaskFailure, WatchRound

ROUNDS_KEPT = 50
"""Rounds that a status holds."""

SHOWN_IN_A_ROUND = 20
"""Changes and failures that an old round keeps, so that a watch of weeks needs no more memory."""


class WatchState(StrEnum):
    """What a watch is doing."""

    WAITING = "waiting"
    """For the time of the next round, or for a webhook."""
    LISTING = "looking for changes"
    """It reads the newest tasks."""
    MIRRORING = "mirroring"
    """It lists all tasks, or fetches what changed."""
    UNREACHABLE = "waiting for the server"
    """It does not answer. `--wait-for-server` bounds the wait."""
    CALLING = "waiting for on_change"
    """The mirror is up to date; calls of `on_change` are still running."""
    STOPPED = "stopped"
    """There are no more rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchStatus:
    """What a watch is doing, and how its last rounds ended.

    Attributes:
        destination: The mirror's folder.
        server: The server's address.
        every: Seconds between two rounds.
        started: When the watch began.
        state: What it is doing.
        state_since: Since when.
        next_at: When the next round begins, None unless it waits.
        target: What has a folder each: tasks, projects or jobs.
        tasks: How many of them it watches, 0 before the first list.
        rounds: The last rounds, newest first, shortened.
        rounds_total: Rounds so far.
        errors_in_a_row: Rounds since the last one without an error.
        failing: Tasks that failed, by id. They are tried again.
        up_to_date_at: The end of the last round after which the mirror was up to date, None for
            none.
        changes_total: Changes on disk so far, by action.
        requests_total: HTTP requests so far.
        transferred_total: Bytes received so far.
        deliveries: Calls of `/webhook`, by what became of them.
    """

    destination: str
    server: str
    every: float
    started: datetime
    state: WatchState
    state_since: datetime
    next_at: datetime | None = None
    target: TargetKind = TargetKind.TASK
    tasks: int = 0
    rounds: tuple[WatchRound, ...] = ()
    rounds_total: int = 0
    errors_in_a_row: int = 0
    failing: Mapping[int, TaskFailure] = field(default_factory=dict)
    up_to_date_at: datetime | None = None
    changes_total: Mapping[str, int] = field(default_factory=dict)
    requests_total: int = 0
    transferred_total: int = 0
    deliveries: Mapping[str, int] = field(default_factory=dict)

    @property
    def last(self) -> WatchRound | None:
        """The last round that ended, None before the first."""
        return self.rounds[0] if self.rounds else None

    @property
    def is_up_to_date(self) -> bool:
        """Whether the mirror held what the server had when the last round ended."""
        return self.last is not None and self.last.ok and not self.failing

    @property
    def problem(self) -> str:
        """Why the mirror is not up to date, in one sentence; "" if it is."""
        last = self.last
        if last is None:
            return "the first round has not ended"
        if last.error is not None:
            return str(last.error)
        if self.failing:
            count = len(self.failing)
            noun = str(self.target) if count == 1 else self.target.plural
            return f"{count:,} {noun} failed and will be tried again"
        return ""

    def after(self, ended: WatchRound, at: datetime) -> WatchStatus:
        """Return the status after a round.

        Args:
            ended: The round.
            at: When it ended.
        """
        totals = dict(self.changes_total)
        for change in ended.changes:
            totals[str(change.action)] = totals.get(str(change.action), 0) + 1
        return replace(
            self,
            rounds=(shortened(ended), *self.rounds[: ROUNDS_KEPT - 1]),
            rounds_total=self.rounds_total + 1,
            errors_in_a_row=0 if ended.error is None else self.errors_in_a_row + 1,
            up_to_date_at=at if ended.ok and not self.failing else self.up_to_date_at,
            changes_total=totals,
            requests_total=self.requests_total + ended.requests,
            transferred_total=self.transferred_total + ended.transferred,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the status as JSON types, with a schema version."""
        return {
            "version": 1,
            "destination": self.destination,
            "server": self.server,
            "up_to_date": self.is_up_to_date,
            "problem": self.problem,
            "up_to_date_at": _text(self.up_to_date_at),
            "state": str(self.state),
            "state_since": _text(self.state_since),
            "next_at": _text(self.next_at),
            "every": self.every,
            "started": _text(self.started),
            "target": str(self.target),
            "tasks": self.tasks,
            "failing": [failure.to_json() for failure in self.failing.values()],
            "errors_in_a_row": self.errors_in_a_row,
            "rounds_total": self.rounds_total,
            "changes_total": dict(self.changes_total),
            "requests_total": self.requests_total,
            "transferred_total": self.transferred_total,
            "deliveries": dict(self.deliveries),
            "rounds": [one.to_json() for one in self.rounds],
        }


def shortened(ended: WatchRound) -> WatchRound:
    """Return a round with a few of its changes, failures and warnings."""
    return replace(
        ended,
        changes=ended.changes[:SHOWN_IN_A_ROUND],
        failures=ended.failures[:SHOWN_IN_A_ROUND],
        warnings=ended.warnings[:SHOWN_IN_A_ROUND],
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")
