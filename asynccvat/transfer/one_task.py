"""Fetch one task, project or job: read its files into staging, and commit them.

Where the files come from is a source's (`transfer.sources`), where they go a destination's
(`transfer.orders`). This module has the order of the steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import anyio

from asynccvat.archives import StagedArchive
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.specs import ExportSpec
from asynccvat.errors import ArchiveError, AsyncCvatError
from asynccvat.events import Event, TransferFinished
from asynccvat.store import StagingStore
from asynccvat.transfer.content_fingerprints import ContentFingerprints
from asynccvat.transfer.orders import Destinations, Fetched, FetchOrder
from asynccvat.transfer.sources import TaskSource


class TaskFetcher:
    """Fetch tasks from the server into their destinations, many at once."""

    def __init__(
        self,
        *,
        source: TaskSource,
        destinations: Destinations,
        origin: str,
        organization: str | None,
        emit: Callable[[Event], None],
        on_staged: Callable[[int], None] = lambda _: None,
        action: Action = Action.FETCHED,
        contents: ContentFingerprints | None = None,
    ) -> None:
        """Prepare to fetch tasks.

        Args:
            source: Gives the files of each task.
            destinations: Gives each task its destination.
            origin: The server, for the receipts.
            organization: Its organization, for the receipts.
            emit: Receives the events.
            on_staged: Receives each task that has its folder in staging.
            action: What is done with a task, for its outcome.
            contents: Tells what an export depends on. None leaves that out.
        """
        self._source = source
        self._destinations = destinations
        self._origin = origin
        self._organization = organization
        self._emit = emit
        self._on_staged = on_staged
        self._action = action
        self._contents = contents

    async def fetch(self, order: FetchOrder) -> TaskOutcome:
        """Fetch one task. The caller holds a slot for it, which is given back.

        Raises:
            AsyncCvatError: It failed. Nothing of it is under its final name.
        """
        clock = asyncio.get_running_loop().time
        began, requested_at = clock(), _now()
        with self._source.reading(order) as reading:
            await reading.prepare()
            async with self._destinations.destination(order) as destination:
                staging = await destination.store.stage(order.task.id)
                self._on_staged(order.task.id)
                try:
                    read, media = await reading.fill(destination, staging)
                    self._emit(TransferFinished(order.task.id))
                    contents = self._contents
                    content = None if contents is None else await contents.of_export(order.task)
                    fetched = Fetched(
                        order=order,
                        spec=reading.spec,
                        archive=read,
                        media_fingerprint=media,
                        content=content,
                        origin=self._origin,
                        organization=self._organization,
                        requested_at=requested_at,
                        jobs=reading.jobs,
                        rule=reading.rule,
                    )
                    committed = await destination.commit(fetched, staging)
                except BaseException as error:
                    await _abandon(destination.store, staging, error)
                    raise
        return TaskOutcome(
            task_id=order.task.id,
            target=reading.spec.target,
            name=order.task.name,
            action=self._action,
            reason=order.reason,
            location=str(committed.path),
            files=len(read.members),
            bytes=sum(member.size for member in read.members),
            transferred=read.transferred,
            seconds=clock() - began,
            emptied=bool(emptied := _emptied(order, reading.spec, read)),
            warnings=(*committed.warnings, *read.warnings, *emptied),
        )


async def _abandon(store: StagingStore[Any], staging: Any, why: BaseException) -> None:
    """Give up a tree. An error here becomes a note of the error that led to it."""
    # The next run can reuse nothing of a broken archive.
    keep = not isinstance(why, ArchiveError)
    with anyio.CancelScope(shield=True):
        try:
            await store.abandon(staging, keep=keep)
        except AsyncCvatError as error:
            why.add_note(str(error))


def _emptied(order: FetchOrder, spec: object, read: StagedArchive) -> tuple[str, ...]:
    """Return a warning if a task holds nothing where it held something before."""
    before = None if order.previous is None else order.previous.annotations
    if not before or read.annotations != 0:
        return ()
    held = "the export holds no annotation, and the one before held"
    if isinstance(spec, ExportSpec) and spec.is_json:
        held = "it holds no annotation any more, and before it held"
    return (f"{held} {before:,}. If that is not meant, look at it in CVAT.",)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
