"""A request that a task waits for, and why waiting for it fails. `poller` does the waiting."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import anyio

from asynccvat.core.quantities import duration_text
from asynccvat.core.requests import ServerRequest
from asynccvat.core.scheduling.stalls import QueueStall
from asynccvat.core.targets import TargetKind
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
        task_id: The task that it is about, or the target of another kind.
        created: Whether our own call queued it.
        accepted_at: The `Date` of the answer to that call, None if the server sent none.
        seen_queued: Whether an answer showed it in the queue.
        started: Whether an answer showed that it began, and no later one that it was queued again.
        request: The server's latest answer, None before the first.
        error: Why polling it ended, None if it did not fail.
        ended: Whether it has ended, or polling it has failed.
        turn: Set when the waiting task has to act.
        target: What `task_id` is the id of.
        noun: What it makes, in a word.
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
    target: TargetKind = TargetKind.TASK
    noun: str = "export"

    @property
    def verb(self) -> str:
        """What the server was asked to do: `export` or `back up`."""
        return "back up" if self.noun == "backup" else self.noun

    @property
    def named(self) -> str:
        """Name it in words: `export of task 147`."""
        return f"{self.noun} of {self.target} {self.task_id}"


def vanished(watched: WatchedRequest) -> ExportExpiredError:
    """The error of a request that the server does not know any more."""
    return ExportExpiredError(
        f"lost the {watched.named}: the server has forgotten it, perhaps because "
        f"it was restarted. Request the {watched.noun} again.",
        task_id=watched.task_id,
        rq_id=watched.rq_id,
        step="wait",
        retryable=True,
    )


def timed_out(watched: WatchedRequest, timeout: float) -> ExportTimeoutError:
    """The error of a request that runs for too long."""
    return ExportTimeoutError(
        f"the {watched.named} takes too long: it has run for more than {timeout:.0f} s. "
        "Allow more time with --export-timeout.",
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
    return InternalError.of(error, task_id=watched.task_id, step="wait", target=watched.target)
