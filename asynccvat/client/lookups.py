"""Read tasks, their jobs and annotations for many steps of a run at once, in few calls.

Comparisons can wait. Calls that feed the server's workers cannot. So while a run has more to
send, its comparisons make one call at a time, and those that wait share the next list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.aio.slots import Slots
from asynccvat.client.batches import Batches
from asynccvat.client.client import CvatClient, internals
from asynccvat.core.annotations.counts import TaskAnnotations
from asynccvat.core.models import Job, Task
from asynccvat.core.selections.selection import JobSelection, Selection
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    GatewayError,
    OutageError,
)

T = TypeVar("T")

# How many calls may run at once if nothing else is to be sent.
_CALLS_AT_ONCE = 8
# For each 16 that wait, one more call may run. Comparisons then keep pace with the workers.
_WAITING_FOR_ONE_MORE = 16
# These would fail a call for a single task, too.
_OF_ALL_CALLS = (AuthenticationError, ConfigError, GatewayError, OutageError)


def _never() -> bool:
    return False


class TaskLookups:
    """Read tasks for one run.

    If the server fails a list, tasks are read one by one from then on.

    Attributes:
        turn: Entered for each call. Other calls that can wait enter it, too.
    """

    def __init__(self, client: CvatClient, *, is_busy: Callable[[], bool] = _never) -> None:
        """Read from a client's server.

        Args:
            client: The server.
            is_busy: Whether the run has other calls to make, which go first. By default it never
                has.
        """
        self._client = client
        self._is_busy = is_busy
        self._can_list = True
        self.turn = Slots(self._calls_at_once)
        self._tasks: Batches[Task] = Batches(
            partial(self._listed, self._read_tasks), turn=self.turn
        )
        self._jobs: Batches[tuple[Job, ...]] = Batches(
            partial(self._listed, self._read_jobs), turn=self.turn
        )

    async def task(self, task_id: int) -> Task:
        """Return a task.

        Raises:
            NotFoundError: There is none.
            AsyncCvatError: The server cannot be asked.
        """
        # What the list leaves out was deleted, or cannot be read. A separate call tells.
        return await self._tasks.get(task_id) or await self._client.task(task_id)

    async def jobs(self, task_id: int) -> tuple[Job, ...]:
        """Return the jobs of a task.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        found = await self._jobs.get(task_id)
        if found is None:
            found = (await self._read_jobs([task_id]))[task_id]
        return found

    async def annotations(self, task_id: int) -> TaskAnnotations:
        """Return the annotations of a task.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        async with self.turn:
            return await self._client.annotations(task_id)

    async def job_annotations(self, job_id: int) -> TaskAnnotations:
        """Return the annotations of a job.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        async with self.turn:
            return await internals(self._client).restores.job_annotations(job_id)

    def _calls_at_once(self, waiting: int) -> int:
        if not self._is_busy():
            return _CALLS_AT_ONCE
        return min(1 + waiting // _WAITING_FOR_ONE_MORE, _CALLS_AT_ONCE)

    async def _listed(
        self, read: Callable[[Sequence[int]], Awaitable[Mapping[int, T]]], ids: Sequence[int]
    ) -> Mapping[int, T]:
        """Read a list. Leave all ids out if the server fails it."""
        if not self._can_list:
            return {}
        try:
            return await read(ids)
        except _OF_ALL_CALLS:
            raise
        except AsyncCvatError:
            # No other task shall wait for the retries of a list that fails again.
            self._can_list = False
            return {}

    async def _read_tasks(self, ids: Sequence[int]) -> Mapping[int, Task]:
        # A task that the list cannot show is read alone.
        with warnings_to(_ignore):
            listing = await self._client.tasks(Selection(task_ids=ids))
        return {task.id: task for task in listing.tasks}

    async def _read_jobs(self, ids: Sequence[int]) -> Mapping[int, tuple[Job, ...]]:
        found: dict[int, list[Job]] = {task_id: [] for task_id in ids}
        for job in await self._client.jobs(JobSelection(task_ids=ids)):
            if job.task_id in found:
                found[job.task_id].append(job)
        return {task_id: tuple(jobs) for task_id, jobs in found.items()}


def _ignore(_warning: str) -> None:
    pass
