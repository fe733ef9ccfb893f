"""Tell an outage of the server or the destination from tasks that fail on their own."""

from __future__ import annotations

from collections import Counter

from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    DiskFullError,
    DriveError,
    GatewayError,
    ServerError,
    StoreError,
    StoreLockedError,
    TransportError,
)
from asynccvat.events import (
    Event,
    ExportFinished,
    ExportRequested,
    ImportFinished,
    ImportRequested,
    TransferFinished,
)

# No task's fault. The run ends, and reports it once instead of for each task under way.
OF_THE_RUN = (AuthenticationError, ConfigError, GatewayError)
# What ends a run, because the next task would fail in the same way.
OF_EVERY_TASK = (*OF_THE_RUN, DiskFullError, DriveError)
# This many consecutive failures of one step mean that the server may be down, or that the
# destination cannot store anything any more.
_CONSECUTIVE_FAILURES = 16
_DISK_STEPS = ("stage", "store")


class OutageDetector:
    """Count consecutive failures of each step, over all tasks of a run.

    Each step has its own count. Failures often come quickly. They may overtake slow successes of
    other steps, but not successes of the same step.
    """

    def __init__(self) -> None:
        self._in_a_row: Counter[str] = Counter()
        self._staged: set[int] = set()

    def note(self, event: Event) -> None:
        """Reset the count of a step that succeeded."""
        match event:
            case ExportRequested():
                del self._in_a_row["export"]
            case ExportFinished():
                del self._in_a_row["wait"], self._in_a_row["list"]
            case ImportRequested():
                del self._in_a_row["upload"]
            case TransferFinished() | ImportFinished():
                self._in_a_row = Counter({step: self._in_a_row[step] for step in _DISK_STEPS})
            case _:
                pass

    def is_server_down(self, error: AsyncCvatError) -> bool:
        """Count a failure, and return whether it was one too many."""
        if not isinstance(error, TransportError | ServerError):
            return False
        step = error.step or "download"
        self._in_a_row[step] += 1
        return self._in_a_row[step] >= _CONSECUTIVE_FAILURES

    def note_staged(self, task_id: int) -> None:
        """Note that a task was staged."""
        self._staged.add(task_id)
        del self._in_a_row["stage"]

    def note_stored(self, task_id: int) -> None:
        """Note that a task was committed."""
        self._staged.discard(task_id)
        del self._in_a_row["store"]

    def is_destination_lost(self, task_id: int, error: AsyncCvatError) -> bool:
        """Count a failure if the system refused something. Return whether it was one too many."""
        step = "store" if task_id in self._staged else "stage"
        self._staged.discard(task_id)
        if isinstance(error, StoreLockedError):
            return False  # another process can write there, so the destination works
        if not isinstance(error, StoreError) or not isinstance(error.__cause__, OSError):
            return False
        self._in_a_row[step] += 1
        return self._in_a_row[step] >= _CONSECUTIVE_FAILURES


def server_down(last: AsyncCvatError) -> AsyncCvatError:
    """The error that ends a run whose server is down, made from the last task's error."""
    message = (
        f"the server seems to be down: {_CONSECUTIVE_FAILURES} tasks in a row failed at the same "
        f"step, the last one with: {last}"
    )
    down: AsyncCvatError
    if isinstance(last, ServerError):
        down = ServerError(message, status=last.status, detail=last.detail, step=last.step)
    else:
        down = TransportError(message, step=last.step)
    down.__cause__ = last
    return down


def destination_lost(last: AsyncCvatError) -> DriveError:
    """The error that ends a run which can store nothing, made from the last task's error."""
    lost = DriveError(
        f"cannot store anything any more: the system refused {_CONSECUTIVE_FAILURES} tasks in a "
        f"row, the last one with: {last}",
        step=last.step,
    )
    lost.__cause__ = last
    return lost
