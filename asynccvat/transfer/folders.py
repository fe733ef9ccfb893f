"""Make folders of archives: read the members, write the receipt, commit the tree.

`transfer.one_task` has the order of these steps, and repeats what fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import anyio

from asynccvat.archives import ArchiveReader, StagedArchive
from asynccvat.core.annotations.staged_counts import counting_rule
from asynccvat.core.plans.targets import JobAsTask
from asynccvat.core.records.receipts import MemberRecord, Receipt, ReceiptHead, format_version
from asynccvat.core.specs import ExportSpec, RequestSpec
from asynccvat.errors import AsyncCvatError, StoreError
from asynccvat.http import ResultStream
from asynccvat.store import Committed, KeptArchives, Staging, TaskStore
from asynccvat.transfer.orders import Fetched


@dataclass(frozen=True, slots=True)
class FolderDestination:
    """A destination where each archive becomes a folder.

    Attributes:
        store: Where its tree is staged and committed.
        reader: The archive reader, which knows what names the file system can hold.
        archives: Where its archive is kept, None if it is not kept.
    """

    store: TaskStore
    reader: ArchiveReader
    archives: KeptArchives | None = None

    async def read(
        self,
        url: str,
        staging: Staging,
        spec: RequestSpec,
        *,
        on_open: Callable[[ResultStream], None],
    ) -> StagedArchive:
        """Read an archive into the staged tree. A kept archive is written next to it."""
        assert isinstance(spec, ExportSpec), "a backup stays a file"
        copy = None if self.archives is None else await self.archives.begin(staging.task_id)
        return await self.reader.read(
            url,
            staging,
            expected=staging.expected(spec),
            count=counting_rule(spec.format),
            keep_archive=copy,
            on_open=on_open,
        )

    async def complete(
        self, archive: StagedArchive, staging: Staging, previous: Sequence[MemberRecord]
    ) -> StagedArchive | None:
        """Add the images of the task's folder. None if they changed."""
        return await self.reader.complete(archive, staging, previous)

    async def commit(self, fetched: Fetched, staging: Staging) -> Committed:
        """Publish the kept archive, then commit the tree.

        If a run is killed between the two, the next one fetches both again. In the other order
        the task would be done, and its archive would be missing for ever. For the same reason the
        archive stays if the commit failed at a point from which recovery may finish it.
        """
        order, receipt = fetched.order, _receipt(fetched)
        archives, task_id = self.archives, order.task.id
        if archives is None:
            return await self.store.commit(staging, receipt, adopt=order.adopt)
        try:
            await archives.publish(task_id)
            committed = await self.store.commit(staging, receipt, adopt=order.adopt)
        except BaseException as error:
            if not staging.published:
                await _roll_back_archive(archives, task_id, error)
            raise
        try:
            await archives.drop_earlier(task_id)
        except StoreError as error:
            return replace(committed, warnings=(*committed.warnings, str(error)))
        return committed


def _receipt(fetched: Fetched) -> Receipt:
    """Return the receipt of a task whose tree is staged."""
    order, spec, read = fetched.order, fetched.spec, fetched.archive
    assert isinstance(spec, ExportSpec), "a backup stays a file"
    head = ReceiptHead(
        version=format_version(read.members, spec.target, order.folder),
        target=spec.target,
        task_id=order.task.id,
        of_task=order.task.task_id if isinstance(order.task, JobAsTask) else None,
        task_name=order.task.name,
        project_id=order.task.project_id,
        folder=order.folder,
        format=spec.format,
        images=spec.images,
        frames=spec.frames,
        jobs=fetched.jobs,
        rule=fetched.rule,
        updated_date=order.task.updated_date,
        origin=fetched.origin,
        organization=fetched.organization,
        digest=read.digest,
        media_fingerprint=fetched.media_fingerprint,
        content=fetched.content,
        annotations=read.annotations,
        files=len(read.members),
        bytes=sum(member.size for member in read.members),
        requested_at=fetched.requested_at,
        committed_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )
    return Receipt(head, read.members)


async def _roll_back_archive(archives: KeptArchives, task_id: int, why: BaseException) -> None:
    """Roll back a task's published archive. An error here becomes a note of the first one."""
    with anyio.CancelScope(shield=True):
        try:
            await archives.roll_back(task_id)
        except AsyncCvatError as error:
            why.add_note(str(error))
