"""Commits, moves and removals, of four steps each.

Each step is durable before the next begins:

    prepare   the tree, and beside it the intent: the receipt with the tree's device and inode
    publish   the tree takes the final name
    record    the intent becomes the receipt
    clear     what was replaced is cleared away; what is not ours in it is put aside

Doing each step for many of them, and syncing, is left to `group`; what a killed process leaves
between two steps is put right by `recovery`.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from asynccvat.core.receipts import Receipt, ReceiptHead
from asynccvat.errors import AsyncCvatError, StoreError
from asynccvat.fs import files
from asynccvat.store import trees
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
from asynccvat.store.staging import Staging, staged_trees


@dataclass(frozen=True, slots=True)
class Committed:
    """A folder that is in its place.

    Attributes:
        path: The folder.
        warnings: What the user ought to know: where edited files were put, and so on.
    """

    path: Path
    warnings: tuple[str, ...] = ()


@dataclass
class FolderChange(ABC):
    """One member of a group.

    Attributes:
        layout: The destination.
        task_id: The task.
        area: Handle of the task's folder in staging, while the group runs.
        warnings: For the outcome.
        error: Why it left the group.
        recorded: Whether it counts as done, whatever becomes of the clearing.
    """

    layout: Layout
    task_id: int
    area: int = field(default=-1, init=False)
    warnings: list[str] = field(default_factory=list, init=False)
    error: AsyncCvatError | None = field(default=None, init=False)
    recorded: bool = field(default=False, init=False)

    @property
    @abstractmethod
    def path(self) -> Path:
        """The folder that it is about."""

    @property
    def tree_files(self) -> int | None:
        """How many files the tree has that has to be durable before it is published."""
        return None

    def open(self) -> None:
        """Open the area, making it where there is none."""
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
        """Make everything ready, so that what follows is renames only."""

    @abstractmethod
    def publish(self) -> None:
        """Take the step that counts after a power cut."""

    @abstractmethod
    def record(self) -> None:
        """Let the receipt agree with it."""

    def clear(self) -> None:
        """Clear away what was replaced."""
        self.warnings += finish(self.layout, self.task_id, self.area)


@dataclass
class CommitTree(FolderChange):
    """A staged tree becomes the task's folder."""

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
        """Write the intent, and save the old receipt from being overwritten by it."""
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
                f"task {self.task_id}: the staged tree {self.staging.tree} is gone: "
                "let nothing else change the destination, and run again",
                task_id=self.task_id,
                step="commit",
            )
        write_intent(self.layout, self.area, self.receipt, tree)

    def publish(self) -> None:
        """Exchange the tree with the final name, or rename it there."""
        check_unchanged(self.area, self.receipt)
        status = files.lstat(self.folder, dir_fd=self.layout.dest)
        if status is not None and not self._is_ours(status):
            self._check_way()
            quarantined = self.layout.quarantine(
                self.folder, dir_fd=self.layout.dest, folder=self.folder
            )
            self.warnings.append(f"what was at {self.path} is now in {quarantined}")
            status = None
        self.staging.published = True
        try:
            if status is None:
                files.rename(TREE, self.folder, dir_fd=self.area, new_dir_fd=self.layout.dest)
            else:
                swap(self.layout, self.area, self.folder)
        except OSError:
            self.staging.published = self._is_on_its_way()
            raise

    def record(self) -> None:
        """Rename the intent onto the receipt."""
        record_intent(self.layout, self.area, self.task_id)
        self.layout.claim(self.task_id, folder=self.folder, instead_of=self.old_folder)

    def _check_way(self) -> None:
        status = files.lstat(self.folder, dir_fd=self.layout.dest)
        if status is None or self._is_ours(status):
            return
        refuse_claimed(self.layout, self.task_id, self.folder)
        if not self.adopt:
            raise foreign(self.task_id, self.path)

    def _is_on_its_way(self) -> bool:
        """Whether recovery might bring the tree to its name: not where nothing was renamed."""
        is_staged = files.lstat(TREE, dir_fd=self.area) is not None
        return not is_staged or files.lstat(OLD, dir_fd=self.area) is not None

    def _is_ours(self, status: os.stat_result) -> bool:
        """Whether what stands at the final name is the folder that is being replaced."""
        if self.old_folder is None or self.old_folder == self.folder:
            return self.old_folder is not None
        # A name that differs in case only can be the same folder.
        return is_same(status, files.lstat(self.old_folder, dir_fd=self.layout.dest))


def check_unchanged(area: int, receipt: Receipt) -> None:
    """Make sure that the tree in an area is what was checked and is about to be published.

    Raises:
        StoreError: Somebody changed it meanwhile.
    """
    changed = trees.first_changed(TREE, receipt.members, dir_fd=area)
    if changed is not None:
        task_id = receipt.head.task_id
        raise StoreError(
            f"task {task_id}: {changed} was edited here while the task was on its way: "
            "run again (the edited file is put aside then, and fetched)",
            task_id=task_id,
            step="commit",
        )


@dataclass
class MoveFolder(FolderChange):
    """A task's folder gets another name."""

    head: ReceiptHead
    folder: str

    @property
    def path(self) -> Path:
        """The folder under its new name."""
        return self.layout.path / self.folder

    def prepare(self) -> None:
        """Write the receipt with the new name as the intent."""
        checked_folder_name(self.folder)
        receipt = self.layout.receipt(self.task_id)
        self.head = receipt.head
        here = files.lstat(self.head.folder, dir_fd=self.layout.dest)
        if here is None or not stat.S_ISDIR(here.st_mode):
            raise StoreError(
                f"task {self.task_id}: the folder {self.layout.path / self.head.folder} is not "
                "there any more: run again, and it is fetched",
                task_id=self.task_id,
                step="move",
            )
        there = files.lstat(self.folder, dir_fd=self.layout.dest)
        if there is not None and not is_same(there, here):
            refuse_claimed(self.layout, self.task_id, self.folder)
            raise foreign(self.task_id, self.path)
        moved = msgspec.structs.replace(receipt.head, folder=self.folder)
        write_intent(self.layout, self.area, Receipt(moved, receipt.members), here)

    def publish(self) -> None:
        """Rename the folder."""
        dest = self.layout.dest
        files.rename(self.head.folder, self.folder, dir_fd=dest, new_dir_fd=dest)

    def record(self) -> None:
        """Rename the intent onto the receipt."""
        record_intent(self.layout, self.area, self.task_id)
        self.layout.claim(self.task_id, folder=self.folder, instead_of=self.head.folder)


@dataclass
class RemoveFolder(FolderChange):
    """A task's folder and receipt go."""

    head: ReceiptHead

    @property
    def path(self) -> Path:
        """The folder that is going."""
        return self.layout.path / self.head.folder

    def prepare(self) -> None:
        """Remove what is staged: beside the old receipt it would count as the old tree."""
        for name in staged_trees(self.area):
            trees.remove(name, dir_fd=self.area)

    def publish(self) -> None:
        """Take the receipt away: from here on the removal is carried out, also after a crash."""
        files.rename(
            receipt_name(self.task_id),
            OLD_RECEIPT,
            dir_fd=self.layout.receipts,
            new_dir_fd=self.area,
        )

    def record(self) -> None:
        """Take the folder from its final name, in one step."""
        take_old_folder(self.layout, self.task_id, self.area, self.head.folder)
        self.layout.claim(self.task_id, folder=None, instead_of=self.head.folder)
