"""What a transfer asks of a destination.

`MirrorStore` and `LooseFolder` offer it on the local disk; backups have a `StagingStore`. Another
kind of destination, such as an object store, offers the same calls and keeps the same promise:
under its final name, a task is one whole version or absent.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from asynccvat.core.records.receipts import Receipt
from asynccvat.store.commits.changes import Committed
from asynccvat.store.staging import Staging

StagedT = TypeVar("StagedT")


class StagingStore(Protocol[StagedT]):
    """A destination in which something can be staged: a tree, or a file."""

    async def stage(self, task_id: int) -> StagedT:
        """Stage what will be filled, and find what can be reused for it.

        Raises:
            StoreError: It cannot be made.
        """

    async def abandon(self, staging: StagedT, *, keep: bool) -> None:
        """Give up what was staged. After a commit this does nothing.

        Args:
            staging: What was staged.
            keep: Leave its bytes for a later run to reuse, if there are enough of them.

        Raises:
            StoreError: It cannot be cleared.
        """


class TaskStore(StagingStore[Staging], Protocol):
    """A destination that takes tasks: stage a tree, fill it, then commit or abandon it."""

    async def commit(self, staging: Staging, receipt: Receipt, *, adopt: bool = False) -> Committed:
        """Make a staged tree the task's folder, whole and durable.

        A cancelled commit is either done whole, or not done at all.

        Args:
            staging: The tree, filled and checked.
            receipt: What the tree holds.
            adopt: Quarantine a folder that stands there and is not asynccvat's.

        Raises:
            ForeignFolderError: Such a folder stands there, and it is not to be adopted.
            StoreError: The commit failed.
        """
