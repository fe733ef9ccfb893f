"""Read when tasks last changed, right before imports replace what they hold.

`commands.upload.replacement` compares the dates with those that the mirror knows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.client import CvatClient
from asynccvat.core.selections.selection import Selection
from asynccvat.errors import AsyncCvatError
from asynccvat.transfer.outages import OF_THE_RUN


@dataclass(slots=True, eq=False)
class _Batch:
    task_ids: set[int] = field(default_factory=set)
    dates: dict[int, str] | None = None


class TaskDates:
    """Read the dates of all tasks that ask at the same time by one list.

    One list is read at a time. Tasks that ask during this time share the next list. So each date is
    read after its task asked for it.
    """

    def __init__(self, client: CvatClient) -> None:
        """Read from a client's server."""
        self._client = client
        self._next = _Batch()
        self._reading = asyncio.Lock()
        self._can_list = True

    async def updated_date(self, task_id: int) -> str:
        """Return when a task last changed.

        Raises:
            AsyncCvatError: The server does not tell it.
        """
        batch = self._next
        batch.task_ids.add(task_id)
        async with self._reading:
            # If the reader of a batch is cancelled, another of its tasks reads.
            if batch.dates is None:
                if self._next is batch:
                    self._next = _Batch()
                batch.dates = await self._read(batch.task_ids)
        if task_id in batch.dates:
            return batch.dates[task_id]
        # The answer for a single task tells why its date cannot be read.
        return (await self._client.task(task_id)).updated_date

    async def _read(self, task_ids: set[int]) -> dict[int, str]:
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
        return {task.id: task.updated_date for task in listing.tasks}


def _ignore(_warning: str) -> None:
    pass
