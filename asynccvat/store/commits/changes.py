"""Commits, moves and removals, of four steps each.

Each step is durable before the next begins:

    prepare   write the intent next to the tree: a receipt with the tree's device and inode
    publish   give the tree its final name
    record    make the intent the receipt
    clear     remove what was replaced; quarantine what is not ours in it

`group_run` runs the steps for a group of changes; `recovery` handles a kill between two steps.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from asynccvat.core.models import Task
from asynccvat.core.records.receipts import Receipt, ReceiptHead, moved_head
from asynccvat.errors import AsyncCvatError, StoreError
from asynccvat.fs import files
from asynccvat.store import homes, trees
from asynccvat.store.commits.primitives import (
    finish,
    foreign,
    record_intent,
    refuse_claimed,
    save_old_receipt,
    swap,
    take_old_folder,
    write_intent,
)
from asynccvat.store.layout import (
    OLD,
    OLD_RECEIPT,
    TREE,
    Layout,
    checked_folder_name,
    is_same,
    receipt_name,
)
from asynccvat.store.staging import Staging, staged_trees, sync_tree


@dataclass(frozen=True, slots=True)
class Committed:
    """A folder under its final name.

    Attributes:
        path: The folder.
        warnings: What the user should know, such as where edited files are now.
    """

    path: Path
    warnings: tuple[str, ...] = ()


@dataclass
class FolderChange(ABC):
    """A change of one task's folder.

    Attributes:
        layout: The destination.
        task_id: The task.
        area: Handle of the task's folder in staging, while the group runs.
        warnings: Warnings for the task's outcome.
        error: The error by which it left the group.
        recorded: Whether it counts as done, even if clearing fails.
    """

    layout: Layout
    task_id: int
    area: int = field(default=-1, init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    error: AsyncCvatError | None = field(default=None, init=False)
    recorded: bool = field(default=False, init=False)
    in_place: ClassVar[str] = (
        "The folder is in its place, and the next run removes what it replaced."
    )

    @property
    @abstractmethod
    def path(self) -> Path:
        """The folder that changes."""

    @property
    def tree_files(self) -> int | None:
        """Number of files in the tree that is published; None if no tree is."""
        return None

    def shared_folders(self, *, prepared: bool) -> Sequence[int]:
        """Return the folders, apart from the area, that the last step may have changed.

        Args:
            prepared: Whether that step was `prepare`.
        """
        layout = self.layout
        return (layout.staging,) if prepared else (layout.dest, layout.receipts)

    def sync_content(self) -> None:
        """Sync what will be published."""
        sync_tree(self.area, fsync=self.layout.fsync)

    def forget_content(self) -> None:
        """Remove what was to be published, as its sync failed.

        Trees of killed runs go, too, as reused files are linked between the trees.
        """
        for name in staged_trees(self.area):
            trees.remove(name, dir_fd=self.area)

    def open(self) -> None:
        """Open the area, and create it if it is missing."""
        name = str(self.task_id)
        if files.lstat(name, dir_fd=self.layout.staging) is None:
            files.mkdir(name, dir_fd=self.layout.staging)
        self.area = files.open_folder(name, dir_fd=self.layout.staging)

    def close(self) -> None:
        """Close the area."""
        if self.area >= 0:
            os.close(self.area)
            self.area = -1

    @abstractmethod
    def prepare(self) -> None:
        """Prepare everything, so that only renames follow."""

    @abstractmethod
    def publish(self) -> None:
        """Make the change, by a rename."""

    @abstractmethod
    def record(self) -> None:
        """Make the receipt agree with the change."""

    def clear(self) -> None:
        """Remove what was replaced."""
        self.warnings += finish(self.layout, self.task_id, self.area)


@dataclass
class CommitTree(FolderChange):
    """Make a staged tree the task's folder."""

    staging: Staging
    receipt: Receipt
    adopt: bool = False
    old_folder: str | None = field(default=None, init=False)

    @property
    def folder(self) -> str:
        """The folder's name."""
        return self.receipt.head.folder

    @property
    def path(self) -> Path:
        """The folder."""
        return self.layout.path / self.folder

    @property
    def tree_files(self) -> int:
        """Number of members."""
        return len(self.receipt.members)

    def prepare(self) -> None:
        """Write the intent, and give the old receipt a second name."""
        head = self.receipt.head
        if (head.task_id, head.files) != (self.task_id, len(self.receipt.members)):
            raise ValueError(f"the receipt is not that of task {self.task_id} and its files")
        checked_folder_name(self.folder)
        old = self.layout.head_or_none(self.task_id)
        self.old_folder = None if old is None else old.folder
        self._check_way()
        if self.old_folder is not None:
            save_old_receipt(self.layout, self.task_id, self.area)
        tree = files.lstat(TREE, dir_fd=self.area)
        if tree is None:
            raise StoreError(
                f"task {self.task_id}: the staged tree {self.staging.tree} is gone. "
                "Let no other program change the destination, and run again.",
                task_id=self.task_id,
                step="commit",
            )
        with homes.made(self.layout, self.folder):
            pass
        write_intent(self.layout, self.area, self.receipt, tree)

    def publish(self) -> None:
        """Exchange the tree with the folder, or rename it if there is no folder."""
        check_unchanged(self.area, self.receipt)
        with homes.made(self.layout, self.folder) as (fd, name):
            status = files.lstat(name, dir_fd=fd)
            if status is not None and not self._is_ours(status):
                self._check_way()
                quarantined = self.layout.quarantine(name, dir_fd=fd, head=self.receipt.head)
                where = f"what was at {str(self.path)!r} is now in {str(quarantined)!r}"
                self.warnings.append(where)
                status = None
            self.staging.published = True
            try:
                if status is None:
                    files.rename(TREE, name, dir_fd=self.area, new_dir_fd=fd)
                else:
                    swap(self.layout, self.area, name, home=fd)
            except OSError:
                self.staging.published = self._is_on_its_way()
                raise
        if homes.parents_of(self.folder):
            # The group syncs the destination, and this folder lies deeper.
            homes.sync_home(self.layout, self.folder)

    def record(self) -> None:
        """Rename the intent onto the receipt."""
        record_intent(self.layout, self.area, self.task_id)
        self.layout.claim(self.task_id, folder=self.folder, instead_of=self.old_folder)

    def _check_way(self) -> None:
        status = homes.status_of(self.folder, dir_fd=self.layout.dest)
        if status is None or self._is_ours(status):
            return
        refuse_claimed(self.layout, self.task_id, self.folder)
        if not self.adopt:
            raise foreign(self.task_id, self.path)

    def _is_on_its_way(self) -> bool:
        """Whether recovery may still publish the tree; not if nothing was renamed."""
        is_staged = files.lstat(TREE, dir_fd=self.area) is not None
        return not is_staged or files.lstat(OLD, dir_fd=self.area) is not None

    def _is_ours(self, status: os.stat_result) -> bool:
        """Whether the folder under the final name is the one that is being replaced."""
        if self.old_folder is None or self.old_folder == self.folder:
            return self.old_folder is not None
        # On some file systems, a name that differs in case only is the same folder.
        return is_same(status, homes.status_of(self.old_folder, dir_fd=self.layout.dest))


def check_unchanged(area: int, receipt: Receipt) -> None:
    """Check that the tree in an area has not changed since its files were checked.

    Raises:
        StoreError: A file has changed.
    """
    changed = trees.first_changed(TREE, receipt.members, dir_fd=area)
    if changed is not None:
        task_id = receipt.head.task_id
        raise StoreError(
            f"task {task_id}: {changed} was edited while it was fetched. "
            "Run again: the edited file then goes to .asynccvat/kept/.",
            task_id=task_id,
            step="commit",
        )


@dataclass
class MoveFolder(FolderChange):
    """Rename a task's folder."""

    head: ReceiptHead
    folder: str
    renamed: Task | None = None
    content: str | None = None

    @property
    def path(self) -> Path:
        """The folder under its new name."""
        return self.layout.path / self.folder

    def prepare(self) -> None:
        """Write the receipt with the new name as the intent."""
        checked_folder_name(self.folder)
        receipt = self.layout.receipt(self.task_id)
        self.head = receipt.head
        here = homes.status_of(self.head.folder, dir_fd=self.layout.dest)
        if here is None or not stat.S_ISDIR(here.st_mode):
            raise StoreError(
                f"task {self.task_id}: the folder {str(self.layout.path / self.head.folder)!r} is "
                "gone. "
                "Run again to fetch it.",
                task_id=self.task_id,
                step="move",
            )
        there = homes.status_of(self.folder, dir_fd=self.layout.dest)
        if there is not None and not is_same(there, here):
            refuse_claimed(self.layout, self.task_id, self.folder)
            raise foreign(self.task_id, self.path)
        with homes.made(self.layout, self.folder):
            pass
        # By the old receipt, clearing finds the folders that the move leaves empty.
        save_old_receipt(self.layout, self.task_id, self.area)
        moved = moved_head(receipt, self.folder, self.renamed, self.content)
        write_intent(self.layout, self.area, Receipt(moved, receipt.members), here)

    def publish(self) -> None:
        """Rename the folder."""
        layout, old, new = self.layout, self.head.folder, self.folder
        with (
            homes.made(layout, new) as (new_fd, new_name),
            homes.home(old, dir_fd=layout.dest) as (fd, name),
        ):
            files.rename(name, new_name, dir_fd=fd, new_dir_fd=new_fd)
        # The new name first: a power cut in between may leave both, never neither.
        for folder in (new, old):
            if homes.parents_of(folder):
                homes.sync_home(layout, folder)

    def record(self) -> None:
        """Rename the intent onto the receipt."""
        record_intent(self.layout, self.area, self.task_id)
        self.layout.claim(self.task_id, folder=self.folder, instead_of=self.head.folder)


@dataclass
class RemoveFolder(FolderChange):
    """Remove a task's folder and receipt."""

    head: ReceiptHead

    @property
    def path(self) -> Path:
        """The folder that is removed."""
        return self.layout.path / self.head.folder

    def prepare(self) -> None:
        """Remove staged trees; recovery would take them for the old folder."""
        for name in staged_trees(self.area):
            trees.remove(name, dir_fd=self.area)

    def publish(self) -> None:
        """Move the receipt into staging. From here on, recovery finishes the removal."""
        files.rename(
            receipt_name(self.task_id),
            OLD_RECEIPT,
            dir_fd=self.layout.receipts,
            new_dir_fd=self.area,
        )

    def record(self) -> None:
        """Move the folder into staging, by one rename."""
        take_old_folder(self.layout, self.task_id, self.area, self.head.folder)
        if homes.parents_of(self.head.folder):
            homes.sync_home(self.layout, self.head.folder)
            homes.remove_empty_parents(self.layout, self.head.folder)
        self.layout.claim(self.task_id, folder=None, instead_of=self.head.folder)
