"""Read tasks one by one, by as few calls as possible."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.client import CvatClient
from asynccvat.core.models import Task
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import AsyncCvatError
from asynccvat.transfer.outages import OF_THE_RUN


@dataclass(slots=True, eq=False)
class _Batch:
    task_ids: set[int] = field(default_factory=set)
    tasks: dict[int, Task] | None = None


class TaskReader:
    """Read all tasks that are asked for at the same time by one list.

    One list is read at a time. Tasks that are asked for during this time share the next list. So
    each task is read after it was asked for.
    """

    def __init__(self, client: CvatClient) -> None:
        """Read from a client's server."""
        self._client = client
        self._next = _Batch()
        self._reading = asyncio.Lock()
        self._can_list = True

    async def task(self, task_id: int) -> Task:
        """Return a task as it is now.

        Raises:
            AsyncCvatError: The server does not tell it.
        """
        batch = self._next
        batch.task_ids.add(task_id)
        async with self._reading:
            # If the reader of a batch is cancelled, another of its tasks reads.
            if batch.tasks is None:
                if self._next is batch:
                    self._next = _Batch()
                batch.tasks = await self._read(batch.task_ids)
        if task_id in batch.tasks:
            return batch.tasks[task_id]
        # The answer for a single task tells why it cannot be read.
        return await self._client.task(task_id)

    async def _read(self, task_ids: set[int]) -> dict[int, Task]:
        if not self._can_list:
            return {}
        try:
            with warnings_to(_ignore):
                listing = await self._client.tasks(Selection(task_ids=sorted(task_ids)))
        except OF_THE_RUN:
            raise
        except AsyncCvatError:
            # No other task shall wait for the retries of a list that fails again.
            self._can_list = False
            return {}
        return {task.id: task for task in listing.tasks}


def _ignore(_warning: str) -> None:
    pass
