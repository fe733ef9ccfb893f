"""Tell when nothing leaves the server's queue, and what waits there behind what.

`client.poller` watches the requests of a run, `asynccvat requests` those that the server lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asynccvat.core.quantities import duration_text
from asynccvat.core.requests import RequestStatus, ServerRequest

SAY_AFTER = 300.0
"""Seconds without movement after which the user gets a message. Exports often take minutes."""


@dataclass(frozen=True, slots=True)
class QueueStall:
    """A queue of the server that nothing has left for some time.

    Attributes:
        action: `export` or `import`: which queue.
        seconds: For how long nothing has left it.
        waiting: How many of the user's requests wait in it.
        running: How many of them run.
        since: When the first of those began, None if the server did not say.
    """

    action: str
    seconds: float
    waiting: int
    running: int
    since: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the stall as JSON types, with its sentence as `message`."""
        return {
            "action": self.action,
            "seconds": round(self.seconds, 3),
            "waiting": self.waiting,
            "running": self.running,
            "since": None if self.since is None else self.since.isoformat(),
            "message": str(self),
        }

    def __str__(self) -> str:
        seconds = round(self.seconds / 60) * 60 if self.seconds >= 60 else round(self.seconds, 1)
        wait = "waits" if self.waiting == 1 else "wait"
        run = "runs" if self.running == 1 else "run"
        behind = (
            f" behind {self.running} that {run}" if self.running else ", and none of yours runs"
        )
        if self.since is not None:
            behind += f" since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return (
            f"nothing has left the server's {self.action} queue for {duration_text(seconds)}: "
            f"{self.waiting} of yours {wait}{behind}"
        )


class QueueMovement:
    """Remember when something left a queue last.

    Times are seconds of any monotonic clock.
    """

    def __init__(self) -> None:
        """Begin without a time."""
        self._moved_at: float | None = None
        self._say_after = SAY_AFTER

    def note(self, now: float) -> None:
        """Note that something left the queue, or that nothing waits in it."""
        self._moved_at = now
        self._say_after = SAY_AFTER

    def seconds(self, now: float) -> float:
        """Return for how long nothing has left the queue."""
        if self._moved_at is None:
            self._moved_at = now
        return now - self._moved_at

    def is_due(self, now: float) -> bool:
        """Whether to tell the user now. After each time twice as long passes until the next."""
        if self.seconds(now) < self._say_after:
            return False
        self._say_after = 2 * self.seconds(now)
        return True


def stall_of(
    action: str, seconds: float, *, waiting: int, running: Sequence[datetime | None]
) -> QueueStall | None:
    """Return the stall of a queue that nothing has left for some seconds.

    Args:
        action: `export` or `import`.
        seconds: For how long nothing has left it.
        waiting: How many requests wait in it.
        running: When those that run began, as far as the server said.

    Returns:
        The stall. None if nothing waits.
    """
    if not waiting:
        return None
    since = min((date for date in running if date is not None), default=None)
    return QueueStall(action, seconds, waiting, len(running), since)


def listed_stall(
    action: str, requests: Iterable[ServerRequest], now: datetime
) -> QueueStall | None:
    """Find out from the list of requests whether a queue moves.

    Args:
        action: `export` or `import`.
        requests: The user's requests of all kinds, those that ended included.
        now: The server's clock.

    Returns:
        The stall. None if nothing waits, or if something left the queue lately.
    """
    own = [one for one in requests if (one.operation.type or "").startswith(f"{action}:")]
    queued = [one.created_date for one in own if one.state is RequestStatus.QUEUED]
    running = [one.started_date for one in own if one.state is RequestStatus.STARTED]
    known = [date for date in queued if date is not None]
    if not known:
        return None
    left = [date for one in own for date in (one.started_date, one.finished_date)]
    # The queue may have been empty before the first of those that wait.
    moved = max([min(known), *(date for date in left if date is not None)])
    seconds = (now - moved).total_seconds()
    if seconds < SAY_AFTER:
        return None
    return stall_of(action, seconds, waiting=len(queued), running=running)
