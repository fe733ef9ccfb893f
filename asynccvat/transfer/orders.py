"""Orders to fetch tasks, the destinations that they go to, and the outcome of a failed one.

`transfer.one_task` carries one order out, `transfer.dispatcher` many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from asynccvat.archives import ArchiveReader, StagedArchive
from asynccvat.core.models import Task
from asynccvat.core.outcomes import Action, FailedOutcome, TaskOutcome
from asynccvat.core.records.receipts import MemberRecord, ReceiptHead
from asynccvat.core.specs import RequestSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError
from asynccvat.http import ResultStream
from asynccvat.store import Committed, StagingStore

StagedT = TypeVar("StagedT")


class Destination(Protocol[StagedT]):
    """Where a fetched task goes, and what its archive becomes there.

    `transfer.folders` makes folders of archives, `transfer.backup_files` keeps them as files.
    """

    @property
    def store(self) -> StagingStore[StagedT]:
        """Where it is staged."""

    @property
    def reader(self) -> ArchiveReader:
        """What reads archives and media into what was staged."""

    async def read(
        self,
        url: str,
        staging: StagedT,
        spec: RequestSpec,
        *,
        on_open: Callable[[ResultStream], None],
    ) -> StagedArchive:
        """Read an archive into what was staged, and check it.

        Args:
            url: The archive.
            staging: What the store staged.
            spec: What the server made.
            on_open: To be called with the response when the server begins to send. It may raise.

        Raises:
            AsyncCvatError: The archive is not there, is damaged, or cannot be stored.
        """

    async def complete(
        self, archive: StagedArchive, staging: StagedT, previous: Sequence[MemberRecord]
    ) -> StagedArchive | None:
        """Add the unchanged images to an export that was made without them.

        Only called where exports without images were asked for.

        Returns:
            The whole. None if the images changed.
        """

    async def commit(self, fetched: Fetched, staging: StagedT) -> Committed:
        """Give what was staged its final name, with its receipt.

        Raises:
            AsyncCvatError: It was not committed.
        """


class Destinations(Protocol):
    """Gives each order its destination."""

    def destination(self, order: FetchOrder) -> AbstractAsyncContextManager[Destination[Any]]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A task whose archive is staged, with all that its receipt says.

    Attributes:
        order: What was ordered.
        spec: What the server made.
        archive: The members, checked.
        media_fingerprint: That of the images, None if it is unknown.
        content: That of all that the export depends on except names, None if it is unknown.
        origin: The server.
        organization: Its organization, None for none.
        requested_at: When the run requested it, as text.
        jobs: Digest of the jobs in a folder of JSON; None in any other.
        rule: The rule by which the files were converted; None if they are the server's own.
    """

    order: FetchOrder
    spec: RequestSpec
    archive: StagedArchive
    media_fingerprint: str | None
    content: str | None
    origin: str
    organization: str | None
    requested_at: str
    jobs: str | None = None
    rule: str | None = None


def failed(
    order: FetchOrder,
    error: AsyncCvatError,
    seconds: float,
    target: TargetKind = TargetKind.TASK,
) -> TaskOutcome:
    """Return the outcome of a task that failed."""
    return FailedOutcome(
        task_id=order.task.id,
        target=target,
        name=order.task.name,
        action=Action.FAILED,
        reason=order.reason,
        error=error,
        seconds=seconds,
    )
