"""Ask the server for what an export of a task depends on, apart from names.

`core.plans.renames` computes fingerprints, and says when they count. Jobs and tasks come in few
lists, labels once for each project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import anyio

from asynccvat.aio.task_groups import task_group
from asynccvat.client import CvatClient, internals
from asynccvat.client.lookups import TaskLookups
from asynccvat.core.models import Task
from asynccvat.core.plans.renames import content_fingerprint
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.errors import AsyncCvatError

_AT_ONCE = 8


class ContentFingerprints:
    """Fingerprints of what a server has of tasks.

    If the server cannot be asked, they are unknown, and a renamed task is fetched. An error that
    lasts shows again in a call that the run cannot do without.
    """

    def __init__(self, client: CvatClient) -> None:
        """Ask a client's server."""
        self._client = client
        self._lookups = TaskLookups(client)
        self._limiter = anyio.CapacityLimiter(_AT_ONCE)
        self._locks: dict[int, anyio.Lock] = {}
        self._labels: dict[int, list[dict[str, Any]]] = {}

    async def of_export(self, task: Task) -> str | None:
        """Return the fingerprint of an export that is whole by now. None if it is not certain.

        The server's answers are those of the export if the task's date is still the listed one.

        Args:
            task: The task, as listed before the export.
        """
        found = await self._of(task)
        if found is None:
            return None
        try:
            now = await self._lookups.task(task.id)
        except AsyncCvatError:
            return None
        return found if now.updated_date == task.updated_date else None

    async def of_folders(self, tasks: Sequence[Task]) -> dict[int, str]:
        """Return the fingerprints of folders that are current, by task, as far as they are certain.

        Args:
            tasks: The tasks, as listed, with the dates of their receipts.
        """
        found: dict[int, str] = {}

        async def ask(task: Task) -> None:
            content = await self.of_export(task)
            if content is not None:
                found[task.id] = content

        async with task_group() as group:
            for task in tasks:
                group.start_soon(ask, task)
        return found

    async def unchanged(
        self, tasks: Sequence[Task], receipts: Mapping[int, ReceiptHead]
    ) -> frozenset[int]:
        """Return which tasks still have the fingerprints of their receipts."""
        same: set[int] = set()

        async def compare(task: Task) -> None:
            found = await self._of(task)
            if found is not None and found == receipts[task.id].content:
                same.add(task.id)

        async with task_group() as group:
            for task in tasks:
                group.start_soon(compare, task)
        return frozenset(same)

    async def _of(self, task: Task) -> str | None:
        async with self._limiter:
            try:
                jobs = await self._lookups.jobs(task.id)
                meta = await self._client.data_meta(task.id)
                labels = await self._labels_of(task)
            except AsyncCvatError:
                return None
        return content_fingerprint(task, jobs, meta, labels)

    async def _labels_of(self, task: Task) -> list[dict[str, Any]]:
        calls = internals(self._client).creations
        if task.project_id is None:
            return await calls.labels(task_id=task.id)
        async with self._locks.setdefault(task.project_id, anyio.Lock()):
            if task.project_id not in self._labels:
                found = await calls.labels(project_id=task.project_id)
                self._labels[task.project_id] = found
        return self._labels[task.project_id]
