"""Commits, moves and removals: four steps each, done for a whole group at a time.

Each step is durable before the next begins, for every member of the group at once:

    prepare   the tree, and beside it the intent: the receipt with the tree's device and inode
    publish   the tree takes the final name
    record    the intent becomes the receipt
    clear     what was replaced is cleared away; what is not ours in it is put aside

A member that fails leaves the group, the others go on; a sync that fails fails the group. What a
killed process leaves between two steps is put right by `recovery`.
"""

from __future__ import annotations

import contextlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from asynccvat import files
from asynccvat.core.receipts import Receipt, ReceiptHead, encode_receipt
from asynccvat.errors import AsyncCvatError, ForeignFolderError, StoreError
from asynccvat.store import trees
from asynccvat.store.layout import (
    INTENT,
    OLD,
    OLD_RECEIPT,
    TREE,
    Layout,
    checked_folder_name,
    decode_leniently,
    is_same,
    receipt_name,
    write_file,
)
from asynccvat.store.staging import Staging, staged_trees

SYNCFS_FROM = 8
"""Files and folders in one step from which a single syncfs is cheaper than an fsync of each.

An fsync costs one commit of the journal, and a syncfs costs one, too, but also whatever other
processes wrote lately: so few files are synced singly, and many, as in a group of small tasks, at
once."""


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
class Operation(ABC):
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
class CommitTree(Operation):
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
        status = files.lstat(self.folder, dir_fd=self.layout.dest)
        if status is not None and not self._is_ours(status):
            self._check_way()
            aside = self.layout.keep_aside(self.folder, dir_fd=self.layout.dest, folder=self.folder)
            self.warnings.append(f"what was at {self.path} is now in {aside}")
            status = None
        if status is None:
            files.rename(TREE, self.folder, dir_fd=self.area, new_dir_fd=self.layout.dest)
        else:
            swap(self.layout, self.area, self.folder)

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

    def _is_ours(self, status: os.stat_result) -> bool:
        """Whether what stands at the final name is the folder that is being replaced."""
        if self.old_folder is None or self.old_folder == self.folder:
            return self.old_folder is not None
        # A name that differs in case only can be the same folder.
        return is_same(status, files.lstat(self.old_folder, dir_fd=self.layout.dest))


@dataclass
class MoveFolder(Operation):
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
class RemoveFolder(Operation):
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


# --- the steps' parts, shared with recovery ---------------------------------------------------


def save_old_receipt(layout: Layout, task_id: int, area: int) -> None:
    """Give the receipt that is about to be replaced a second name, for the clearing."""
    try:
        files.link(receipt_name(task_id), OLD_RECEIPT, dir_fd=layout.receipts, new_dir_fd=area)
    except OSError as error:
        if not files.is_link_refused(error):
            raise
        content = layout.receipt_bytes(task_id) or b""
        write_file(OLD_RECEIPT, content, dir_fd=area, durable=layout.durable)


def write_intent(layout: Layout, area: int, receipt: Receipt, tree: os.stat_result) -> None:
    """Write the receipt-to-be beside the tree that it is about, naming its device and inode."""
    head = msgspec.structs.replace(receipt.head, device=tree.st_dev, inode=tree.st_ino)
    content = encode_receipt(Receipt(head, receipt.members))
    write_file(INTENT, content, dir_fd=area, durable=layout.durable)


def record_intent(layout: Layout, area: int, task_id: int) -> None:
    """Let the intent be the receipt."""
    files.rename(INTENT, receipt_name(task_id), dir_fd=area, new_dir_fd=layout.receipts)


def swap(layout: Layout, area: int, folder: str) -> None:
    """Put the tree in a folder's place, and the folder into the area."""
    if not layout.exchange_unsupported:
        try:
            files.exchange(TREE, folder, dir_fd=area, new_dir_fd=layout.dest)
        except OSError as error:
            if not files.is_unsupported(error):
                raise
            layout.exchange_unsupported = True
        else:
            return
    files.rename(folder, OLD, dir_fd=layout.dest, new_dir_fd=area)
    try:
        files.rename(TREE, folder, dir_fd=area, new_dir_fd=layout.dest)
    except OSError:
        files.rename(OLD, folder, dir_fd=area, new_dir_fd=layout.dest)
        raise


def take_old_folder(layout: Layout, task_id: int, area: int, folder: str) -> None:
    """Move the folder of an old receipt into the area, if it is not the task's any more."""
    status = files.lstat(folder, dir_fd=layout.dest)
    if status is None or files.lstat(OLD, dir_fd=area) is not None:
        return
    current = layout.head_or_none(task_id)
    if current is not None and (
        current.folder == folder
        # A name that differs in case only can be the same folder.
        or is_same(status, files.lstat(current.folder, dir_fd=layout.dest))
    ):
        return
    if layout.claimed_by(folder) in (None, task_id):
        files.rename(folder, OLD, dir_fd=layout.dest, new_dir_fd=area)


def finish(layout: Layout, task_id: int, area: int) -> list[str]:
    """Clear away what was replaced, by the old receipt, and the area itself.

    Returns:
        Warnings: where files were put that are not as we made them.
    """
    content = files.read_file(OLD_RECEIPT, dir_fd=area)
    warnings = [] if content is None else _clear_old(layout, task_id, area, content)
    for name in files.names(area):
        if name != OLD_RECEIPT:
            trees.remove(name, dir_fd=area)
    if content is not None:
        # Last: as long as it is there, an interrupted clearing is taken up again.
        files.unlink(OLD_RECEIPT, dir_fd=area)
    files.rmdir(str(task_id), dir_fd=layout.staging)
    return warnings


def _clear_old(layout: Layout, task_id: int, area: int, content: bytes) -> list[str]:
    head, members = decode_leniently(content)
    folder = str(task_id)
    if head is not None:
        folder = head.folder
        take_old_folder(layout, task_id, area, folder)
    warnings = []
    for name in (TREE, OLD):
        if trees.clear(name, members, dir_fd=area):
            aside = layout.keep_aside(name, dir_fd=area, folder=folder)
            warnings.append(
                f"files of {layout.path / folder} that were edited or added here are now in {aside}"
            )
    return warnings


def refuse_claimed(layout: Layout, task_id: int, folder: str) -> None:
    """Refuse a folder that is another task's.

    Raises:
        StoreError: It is.
    """
    owner = layout.claimed_by(folder)
    if owner not in (None, task_id):
        raise StoreError(
            f"task {task_id}: the folder {layout.path / folder} is that of task {owner}: "
            "run again when that one has moved, or choose another folder prefix",
            task_id=task_id,
            step="commit",
        )


def foreign(task_id: int, path: Path) -> ForeignFolderError:
    """The error for something that stands where a task's folder should."""
    return ForeignFolderError(
        f"task {task_id}: {path} is there and is not asynccvat's: move it away, "
        "or take it over with --adopt (what it holds is put aside, not deleted)",
        task_id=task_id,
        step="commit",
    )


# --- the group ----------------------------------------------------------------------------------


def run_group(layout: Layout, operations: Sequence[Operation]) -> None:
    """Do every step for every operation, syncing between the steps where anything is synced.

    Afterwards each operation has its `error`, or has none and is done.
    """
    try:
        alive = _step(operations, "open")
        alive = _step(alive, "prepare")
        if layout.durable and not _sync(layout, alive, trees_too=True):
            _forget_trees(alive)
            return
        for name in ("publish", "record"):
            alive = _step(alive, name)
            if layout.durable and not _sync(layout, alive):
                return
        for operation in alive:
            operation.recorded = True
        _step(alive, "clear")
    finally:
        for operation in operations:
            operation.close()


def _step(operations: Sequence[Operation], name: str) -> list[Operation]:
    alive = []
    for operation in operations:
        try:
            getattr(operation, name)()
        except OSError as error:
            problem = files.explain(error, name, operation.path, task_id=operation.task_id)
            problem.__cause__ = error
            _fail(operation, problem)
        except AsyncCvatError as error:
            _fail(operation, error)
        else:
            alive.append(operation)
    return alive


def _fail(operation: Operation, error: AsyncCvatError) -> None:
    if operation.recorded:
        operation.warnings.append(
            f"{error} (the folder is in its place; the next run clears up what it replaced)"
        )
    else:
        operation.error = error


def _sync(layout: Layout, operations: Sequence[Operation], *, trees_too: bool = False) -> bool:
    """Make durable what a step did; a failure is every member's, and is not tried again.

    After a failed fsync the kernel may call the same pages clean: a second one would succeed
    without writing anything.
    """
    if not operations:
        return True
    folders = [op.area for op in operations]
    folders += [layout.staging] if trees_too else [layout.dest, layout.receipts]
    count = len(folders)
    if trees_too:
        count += sum(operation.tree_files or 0 for operation in operations)
    try:
        if count >= SYNCFS_FROM and layout.can_sync_filesystem:
            files.sync_filesystem(layout.own)
            return True
        if trees_too:
            for operation in operations:
                if operation.tree_files is not None:
                    trees.sync(TREE, dir_fd=operation.area)
        for fd in folders:
            files.fsync(fd)
    except OSError as error:
        for operation in operations:
            operation.error = files.explain(
                error, "make durable", operation.path, task_id=operation.task_id
            )
            operation.error.__cause__ = error
        return False
    return True


def _forget_trees(operations: Sequence[Operation]) -> None:
    """Remove trees whose content may be on disk or not: nothing may be taken over from them."""
    for operation in operations:
        if operation.tree_files is not None:
            with contextlib.suppress(OSError):  # the error that counts is told already
                files.unlink(INTENT, dir_fd=operation.area)
                trees.remove(TREE, dir_fd=operation.area)
