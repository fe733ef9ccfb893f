"""Orders to fetch tasks, the destinations that they go to, and the outcome of a failed one.

`transfer.one_task` carries one order out, `transfer.dispatcher` many.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from asynccvat.archives import ArchiveReader
from asynccvat.core.models import Task
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.errors import AsyncCvatError
from asynccvat.store import KeptArchives, TaskStore


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a fetched task goes.

    Attributes:
        store: Where its tree is staged and committed.
        reader: The archive reader, which knows what names the file system can hold.
        archives: Where its archive is kept, None if it is not kept.
    """

    store: TaskStore
    reader: ArchiveReader
    archives: KeptArchives | None = None


class Destinations(Protocol):
    """Gives each order its destination."""

    def destination(self, order: FetchOrder) -> AbstractAsyncContextManager[Destination]:
        """Hold an order's destination while its archive is read."""


class FetchOrder(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task to fetch, and the folder that it goes to.

    Attributes:
        task: The task, as listed.
        folder: The folder's name.
        reason: Why, in the plan's words.
        previous: The receipt's head of what is mirrored now, None if nothing is.
        adopt: Whether a foreign folder of that name is moved to quarantine.
    """

    task: Task
    folder: str
    reason: str
    previous: ReceiptHead | None = None
    adopt: bool = False


def failed(order: FetchOrder, error: AsyncCvatError, seconds: float) -> TaskOutcome:
    """Return the outcome of a task that failed."""
    return FailedOutcome(
        task_id=order.task.id,
        name=order.task.name,
        action=Action.FAILED,
        reason=order.reason,
        error=error,
        seconds=seconds,
    )
