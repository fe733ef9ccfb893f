"""Compare the fingerprint of a task's images with the server's.

`core.plans.refresh` computes fingerprints and decides when they count. `transfer.one_task` exports
a task without images if its fingerprint is unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.client import CvatClient
from asynccvat.core.models import DataMeta, Task
from asynccvat.core.plans.refresh import exported_fingerprint, media_fingerprint
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.errors import AsyncCvatError


class MediaFingerprints:
    """Fingerprints of the images that a server has of tasks.

    If the server cannot be asked, the task is only exported with its images. An error that lasts
    shows again in a call that the run cannot do without.
    """

    def __init__(self, client: CvatClient) -> None:
        """Ask a client's server."""
        self._client = client

    async def is_current(self, fingerprint: str, task: Task) -> bool:
        """Whether the server's images of a task still have a fingerprint."""
        meta = await self._meta(task)
        return meta is not None and media_fingerprint(meta, task) == fingerprint

    async def of_export(self, task: Task, members: Sequence[MemberRecord]) -> str | None:
        """Return the fingerprint of the images in a full export. None if it is not certain."""
        meta = await self._meta(task)
        return None if meta is None else exported_fingerprint(meta, task, members)

    async def _meta(self, task: Task) -> DataMeta | None:
        try:
            return await self._client.data_meta(task.id)
        except AsyncCvatError:
            return None
