"""Read what the server's JSON says of one task, as far as a conversion needs it.

`transfer.json_source` reads the files of a mirror as JSON, which are more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.client import CvatClient, internals
from asynccvat.core.annotations import json_files
from asynccvat.core.models import Task
from asynccvat.events import Event, TransferProgress
from asynccvat.transfer.json_lookups import Labels, TaskFields


class TaskJsonReader:
    """Reads tasks: two calls for each, and lists for many."""

    def __init__(
        self,
        client: CvatClient,
        jobs: Mapping[int, bytes],
        *,
        bandwidth: Bandwidth | None,
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare to read tasks.

        Args:
            client: The server.
            jobs: The text of `jobs.json` for each task that has jobs.
            bandwidth: Limits the bytes of the answers; None for no limit.
            emit: Receives the events.
        """
        self._calls = internals(client).json_calls
        self._fields = TaskFields(client)
        self._labels = Labels(client)
        self._jobs = jobs
        self._bandwidth = bandwidth
        self._emit = emit

    def expect(self, task_ids: Sequence[int]) -> None:
        """Note which tasks will be read, so that lists hold many of them."""
        self._fields.expect(task_ids)

    async def read(self, task: Task) -> Mapping[str, bytes]:
        """Return the files that a conversion needs, by name.

        Raises:
            AsyncCvatError: The server cannot be asked, or the task is gone.
        """
        fields = await self._fields.take(task.id)
        return {
            json_files.TASK: json_files.json_text(fields),
            json_files.LABELS: await self._labels.of(task),
            json_files.JOBS: self._jobs.get(task.id, json_files.NO_JOBS),
            json_files.ANNOTATIONS: await self._counted(task, self._calls.annotations(task.id)),
            json_files.FRAMES: await self._counted(task, self._calls.data_meta(task.id)),
        }

    async def _counted(self, task: Task, call: Awaitable[bytes]) -> bytes:
        body = await call
        self._emit(TransferProgress(task.id, len(body)))
        if self._bandwidth is not None:
            await self._bandwidth.take(len(body))
        return body
