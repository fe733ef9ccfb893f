"""What a server says of tasks' media: whether they are still those that a folder holds.

Deciding what follows is left to `core.plans.refresh`, doing it to `transfer`.
"""

from __future__ import annotations

from collections.abc import Sequence

from asynccvat.client import CvatClient
from asynccvat.core.models import DataMeta, Task
from asynccvat.core.plans.refresh import held_media, media_digest
from asynccvat.core.receipts import MemberRecord
from asynccvat.errors import AsyncCvatError


class Media:
    """Asks a server about tasks' media.

    Whatever keeps a server from answering only makes a full export of a task that might have been
    refreshed, now or next time. If it was no passing trouble, the run meets it again in a call
    that it cannot do without.
    """

    def __init__(self, client: CvatClient) -> None:
        """Ask by a client."""
        self._client = client

    async def is_still(self, digest: str, task: Task) -> bool:
        """Whether a task's media still have a digest."""
        meta = await self._meta(task)
        return meta is not None and media_digest(meta, task) == digest

    async def held(self, task: Task, members: Sequence[MemberRecord]) -> str | None:
        """The digest of the media that a full export brought, None where that is not certain."""
        meta = await self._meta(task)
        return None if meta is None else held_media(meta, task, members)

    async def _meta(self, task: Task) -> DataMeta | None:
        try:
            return await self._client.data_meta(task.id)
        except AsyncCvatError:
            return None
