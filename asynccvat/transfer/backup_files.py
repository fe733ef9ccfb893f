"""Keep archives as files: read a backup into its zip, and commit it with its receipt.

`transfer.one_task` has the order of these steps, and repeats what fails. `transfer.folders` makes
folders of archives instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from asynccvat.archives import ArchiveReader, StagedArchive
from asynccvat.core.plans.backup_notices import size_notice
from asynccvat.core.records.backups import (
    BackupReceipt,
    TargetState,
    backup_folder,
    stamp_of,
)
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.specs import BackupSpec, RequestSpec
from asynccvat.http import ResultStream
from asynccvat.store import BackupStore, Committed, StagedBackup
from asynccvat.transfer.orders import Destination, Fetched, FetchOrder


class BackupDestinations:
    """The one destination of all backups of a run."""

    def __init__(
        self,
        store: BackupStore,
        reader: ArchiveReader,
        spec: BackupSpec,
        states: Mapping[int, TargetState],
        *,
        began_at: str,
    ) -> None:
        """Back up into a store.

        Args:
            store: The destination.
            reader: Reads the archives.
            spec: What is backed up.
            states: The states of the targets before anything was requested, by id.
            began_at: When these were read, ISO 8601.
        """
        self._staging = TargetStaging(store, spec, states, began_at)
        self._destination = BackupDestination(self._staging, reader)

    async def earlier_result(self, order: FetchOrder) -> str | None:
        """Return the URL of the result of which a part is on disk, None if there is none.

        Raises:
            StoreError: The disk cannot be read.
        """
        staging = self._staging
        part = await staging.backups.part(staging.spec.target, order.task.id)
        is_same = (
            part is not None
            and part.state == staging.states[order.task.id]
            and part.lightweight == staging.spec.lightweight
        )
        return part.result_url if part is not None and is_same else None

    def destination(
        self, order: FetchOrder
    ) -> AbstractAsyncContextManager[Destination[StagedBackup]]:
        """Return the store, which is held for the whole run."""
        del order
        return nullcontext(self._destination)


@dataclass(frozen=True, slots=True)
class TargetStaging:
    """Stage the zips of one kind of target by their ids.

    Attributes:
        backups: The destination.
        spec: What is backed up.
        states: The states of the targets, by id.
        began_at: When these were read, ISO 8601.
    """

    backups: BackupStore
    spec: BackupSpec
    states: Mapping[int, TargetState]
    began_at: str

    async def stage(self, task_id: int) -> StagedBackup:
        """Stage a target's zip.

        Raises:
            StoreError: It cannot be made.
        """
        return await self.backups.stage(
            self.spec.target,
            task_id,
            self.states[task_id],
            lightweight=self.spec.lightweight,
            requested_at=self.began_at,
        )

    async def abandon(self, staging: StagedBackup, *, keep: bool) -> None:
        """Give a staged zip up.

        Raises:
            StoreError: It cannot be cleared.
        """
        await self.backups.abandon(staging, keep=keep)


@dataclass(frozen=True, slots=True)
class BackupDestination:
    """A destination where each archive stays one file.

    Attributes:
        store: Where it is staged.
        reader: The archive reader.
    """

    store: TargetStaging
    reader: ArchiveReader

    async def read(
        self,
        url: str,
        staging: StagedBackup,
        spec: RequestSpec,
        *,
        on_open: Callable[[ResultStream], None],
    ) -> StagedArchive:
        """Read a backup into the staged zip, and check each member."""
        del spec
        return await self.reader.read(url, staging, on_open=on_open)

    async def complete(
        self, archive: StagedArchive, staging: StagedBackup, previous: Sequence[MemberRecord]
    ) -> StagedArchive | None:
        """Return None: a backup is always requested whole."""
        del archive, staging, previous
        return None

    async def commit(self, fetched: Fetched, staging: StagedBackup) -> Committed:
        """Give the zip its final name, with its receipt."""
        members = fetched.archive.members
        requested_at = staging.requested_at if staging.is_continued else fetched.requested_at
        spec = self.store.spec
        folder = backup_folder(spec.target, staging.task_id)
        receipt = BackupReceipt(
            target=spec.target,
            id=staging.task_id,
            name=fetched.order.task.name,
            file=f"{folder}/{stamp_of(requested_at)}.zip",
            size=fetched.archive.size,
            digest=fetched.archive.digest,
            files=len(members),
            bytes=sum(member.size for member in members),
            lightweight=staging.lightweight,
            state=staging.state,
            origin=fetched.origin,
            organization=fetched.organization,
            requested_at=requested_at,
            committed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        committed = await self.store.backups.commit(staging, receipt, members)
        notice = size_notice(spec.target, receipt.size)
        return Committed(committed.path, committed.warnings + ((notice,) if notice else ()))
