"""The renames and small files that commits, moves, removals and recovery are made of.

In which order they follow each other, and what is synced between them, is left to those.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from asynccvat.core.receipts import Receipt, encode_receipt
from asynccvat.errors import ForeignFolderError, StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.layout import (
    INTENT,
    OLD,
    OLD_RECEIPT,
    TREE,
    Layout,
    decode_leniently,
    is_same,
    receipt_name,
    write_file,
)


def save_old_receipt(layout: Layout, task_id: int, area: int) -> None:
    """Give the receipt that is about to be replaced a second name, for the clearing."""
    try:
        files.link(receipt_name(task_id), OLD_RECEIPT, dir_fd=layout.receipts, new_dir_fd=area)
    except OSError as error:
        if not disk_errors.is_link_refused(error):
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
            if not disk_errors.is_unsupported(error):
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


def take_old_folder(layout: Layout, task_id: int, area: int, folder: str) -> bool:
    """Move the folder of an old receipt into the area, if it is not the task's any more.

    Returns:
        Whether it was moved.
    """
    status = files.lstat(folder, dir_fd=layout.dest)
    if status is None or files.lstat(OLD, dir_fd=area) is not None:
        return False
    current = layout.head_or_none(task_id)
    if current is not None and (
        current.folder == folder
        # A name that differs in case only can be the same folder.
        or is_same(status, files.lstat(current.folder, dir_fd=layout.dest))
    ):
        return False
    if layout.claimed_by(folder) not in (None, task_id):
        return False
    files.rename(folder, OLD, dir_fd=layout.dest, new_dir_fd=area)
    return True


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
        if take_old_folder(layout, task_id, area, folder):
            # Before anything in it goes: under its own name it is never there in part.
            layout.sync_folder(area)
            layout.sync_folder(layout.dest)
        if head.uploaded and layout.head_or_none(task_id) is None:
            # The user's own work, and the server's copy of it went with the task.
            members = tuple(one for one in members if one.path not in head.uploaded)
    warnings = []
    for name in (TREE, OLD):
        if trees.clear(name, members, dir_fd=area):
            quarantined = layout.quarantine(name, dir_fd=area, folder=folder)
            warnings.append(
                f"files of {layout.path / folder} that were edited or added here are now in "
                f"{quarantined}"
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
        "or take it over with adopt (--adopt; what it holds is put aside, not deleted)",
        task_id=task_id,
        step="commit",
    )
