"""Read when tasks last changed, right before imports replace what they hold.

`commands.upload.replacement` compares the dates with those that the mirror knows.
"""

from __future__ import annotations

from asynccvat.client import CvatClient
from asynccvat.client.lookups import TaskLookups


class TaskDates:
    """Read the dates of tasks, those of all that ask at the same time by one list."""

    def __init__(self, client: CvatClient) -> None:
        """Read from a client's server."""
        self._lookups = TaskLookups(client)

    async def updated_date(self, task_id: int) -> str:
        """Return when a task last changed.

        Raises:
            AsyncCvatError: The server does not tell it.
        """
        return (await self._lookups.task(task_id)).updated_date
