"""Read tasks and labels in bulk for a mirror as JSON, while its tasks are fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asynccvat.client import CvatClient, internals
from asynccvat.core.annotations.json_files import json_text
from asynccvat.core.models import Task
from asynccvat.errors import NotFoundError, PermissionDeniedError

# Tasks of one list: 300 take a server 0.2 s.
_TASKS_AT_ONCE = 300


class TaskFields:
    """All fields of tasks, read in lists of those that are fetched one after the other."""

    def __init__(self, client: CvatClient) -> None:
        """Read from a client's server."""
        self._client = client
        self._batch_of: dict[int, set[int]] = {}
        self._found: dict[int, dict[str, Any]] = {}
        self._reading = asyncio.Lock()

    def expect(self, task_ids: Sequence[int]) -> None:
        """Note which tasks will be asked for, in this order."""
        for at in range(0, len(task_ids), _TASKS_AT_ONCE):
            batch = set(task_ids[at : at + _TASKS_AT_ONCE])
            self._batch_of.update(dict.fromkeys(batch, batch))

    async def take(self, task_id: int) -> dict[str, Any]:
        """Return the fields of a task. They are read again if they are asked for again.

        Raises:
            NotFoundError: The task is gone, or this user may not see it any more.
            AsyncCvatError: The server cannot be asked.
        """
        async with self._reading:
            if task_id not in self._found:
                batch = self._batch_of.pop(task_id, set()) | {task_id}
                self._found |= await self._client.task_fields(batch)
                for one in batch:
                    self._batch_of.pop(one, None)
        fields = self._found.pop(task_id, None)
        if fields is None:
            raise NotFoundError(
                f"task {task_id} is not listed any more: it was deleted, or this user may not see "
                "it. Run again.",
                status=404,
                task_id=task_id,
                step="list",
            )
        return fields


class Labels:
    """The text of `labels.json`, read once for all tasks of a project."""

    def __init__(self, client: CvatClient) -> None:
        """Read from a client's server."""
        self._calls = internals(client).json_calls
        self._of_project: dict[int, bytes | None] = {}
        self._reading: dict[int, asyncio.Lock] = {}

    async def of(self, task: Task) -> bytes:
        """Return the labels of a task.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        known = None if task.project_id is None else await self._shared(task.project_id)
        return known or json_text([*await self._calls.labels(task_id=task.id)])

    async def _shared(self, project_id: int) -> bytes | None:
        """Return the labels of a project; None if this user sees its tasks alone."""
        async with self._reading.setdefault(project_id, asyncio.Lock()):
            if project_id not in self._of_project:
                try:
                    found = await self._calls.labels(project_id=project_id)
                except (NotFoundError, PermissionDeniedError):
                    self._of_project[project_id] = None
                else:
                    self._of_project[project_id] = json_text([*found])
        return self._of_project[project_id]
