"""A request that a task waits for, and why waiting for it fails. `poller` does the waiting."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import anyio

from asynccvat.core.models import ServerRequest
from asynccvat.core.quantities import duration_text
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.errors import (
    AsyncCvatError,
    ExportExpiredError,
    ExportTimeoutError,
    InternalError,
    QueueStuckError,
)


@dataclass(slots=True)
class WatchedRequest:
    """A request that a task waits for.

    Attributes:
        rq_id: Its id.
        task_id: The task that it is about.
        created: Whether our own call queued it.
        accepted_at: The `Date` of the answer to that call, None if the server sent none.
        seen_queued: Whether an answer showed it in the queue.
        started: Whether an answer showed that it began, and no later one that it was queued again.
        request: The server's latest answer, None before the first.
        error: Why polling it ended, None if it did not fail.
        ended: Whether it has ended, or polling it has failed.
        turn: Set when the waiting task has to act.
    """

    rq_id: str
    task_id: int
    created: bool
    accepted_at: datetime | None = None
    seen_queued: bool = False
    started: bool = False
    request: ServerRequest | None = None
    error: AsyncCvatError | None = None
    ended: bool = False
    turn: anyio.Event = field(default_factory=anyio.Event)


def vanished(watched: WatchedRequest) -> ExportExpiredError:
    """The error of a request that the server does not know any more."""
    return ExportExpiredError(
        f"lost the export of task {watched.task_id}: the server has forgotten it, perhaps because "
        "it was restarted. Export the task again.",
        task_id=watched.task_id,
        rq_id=watched.rq_id,
        step="wait",
        retryable=True,
    )


def timed_out(watched: WatchedRequest, timeout: float) -> ExportTimeoutError:
    """The error of a request that runs for too long."""
    return ExportTimeoutError(
        f"the export of task {watched.task_id} takes too long: it has run for more than "
        f"{timeout:.0f} s. Allow more time with --export-timeout.",
        task_id=watched.task_id,
        rq_id=watched.rq_id,
        step="wait",
    )


def stuck(stall: QueueStall, timeout: float) -> QueueStuckError:
    """The error of all requests that wait in a queue which nothing has left for too long."""
    return QueueStuckError(
        f"{stall}. That is longer than --queue-timeout {duration_text(timeout)} allows. Look at "
        "the server's workers; `asynccvat requests` shows what runs.",
        step="wait",
    )


def bug(watched: WatchedRequest, error: Exception) -> InternalError:
    """The error of a request whose answer met a bug."""
    return InternalError.of(error, task_id=watched.task_id, step="wait")
