"""The renames and small files that changes and recovery are made of.

`changes` and `recovery` decide on their order; `group_run` syncs between them.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from asynccvat.core.records.receipts import Receipt, encode_receipt
from asynccvat.errors import ForeignFolderError, StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store import history, homes, trees
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
    """Give the receipt that will be replaced a second name, which clearing needs."""
    try:
        files.link(receipt_name(task_id), OLD_RECEIPT, dir_fd=layout.receipts, new_dir_fd=area)
    except OSError as error:
        if not disk_errors.is_link_refused(error):
            raise
        content = layout.receipt_bytes(task_id) or b""
        write_file(OLD_RECEIPT, content, dir_fd=area, durable=layout.durable)


def write_intent(layout: Layout, area: int, receipt: Receipt, tree: os.stat_result) -> None:
    """Write the new receipt next to its tree, with the tree's device and inode."""
    head = msgspec.structs.replace(receipt.head, device=tree.st_dev, inode=tree.st_ino)
    content = encode_receipt(Receipt(head, receipt.members))
    write_file(INTENT, content, dir_fd=area, durable=layout.durable)


def record_intent(layout: Layout, area: int, task_id: int) -> None:
    """Make the intent the receipt."""
    files.rename(INTENT, receipt_name(task_id), dir_fd=area, new_dir_fd=layout.receipts)


def swap(layout: Layout, area: int, name: str, *, home: int) -> None:
    """Give the tree the name of a folder in an open one, and move that folder into the area."""
    if not layout.exchange_unsupported:
        try:
            files.exchange(TREE, name, dir_fd=area, new_dir_fd=home)
        except OSError as error:
            if not disk_errors.is_unsupported(error):
                raise
            layout.exchange_unsupported = True
        else:
            return
    files.rename(name, OLD, dir_fd=home, new_dir_fd=area)
    try:
        files.rename(TREE, name, dir_fd=area, new_dir_fd=home)
    except OSError:
        files.rename(OLD, name, dir_fd=area, new_dir_fd=home)
        raise


def take_old_folder(layout: Layout, task_id: int, area: int, folder: str) -> bool:
    """Move the folder of an old receipt into the area, if it is no longer the task's folder.

    Returns:
        Whether it was moved.
    """
    status = homes.status_of(folder, dir_fd=layout.dest)
    if status is None or files.lstat(OLD, dir_fd=area) is not None:
        return False
    current = layout.head_or_none(task_id)
    if current is not None and (
        current.folder == folder
        # On some file systems, a name that differs in case only is the same folder.
        or is_same(status, homes.status_of(current.folder, dir_fd=layout.dest))
    ):
        return False
    if layout.claimed_by(folder) not in (None, task_id):
        return False
    with homes.home(folder, dir_fd=layout.dest) as (fd, name):
        files.rename(name, OLD, dir_fd=fd, new_dir_fd=area)
    return True


def finish(layout: Layout, task_id: int, area: int) -> list[str]:
    """Remove what was replaced, as the old receipt lists it, and the area itself.

    Returns:
        Warnings: where edited and added files are now.
    """
    content = files.read_file(OLD_RECEIPT, dir_fd=area)
    warnings = [] if content is None else _clear_old(layout, task_id, area, content)
    for name in files.names(area):
        if name != OLD_RECEIPT:
            trees.remove(name, dir_fd=area)
    if content is not None:
        # Last, because an interrupted clearing is resumed as long as it exists.
        files.unlink(OLD_RECEIPT, dir_fd=area)
    files.rmdir(str(task_id), dir_fd=layout.staging)
    return warnings


def _clear_old(layout: Layout, task_id: int, area: int, content: bytes) -> list[str]:
    head, members = decode_leniently(content)
    folder = str(task_id)
    if head is not None:
        folder = head.folder
        if take_old_folder(layout, task_id, area, folder):
            # Before files of it are removed: under its own name it must never be incomplete.
            layout.sync_folder(area)
            homes.sync_home(layout, folder)
        if head.uploaded and layout.head_or_none(task_id) is None:
            # Uploaded files are the user's work, and the server deleted its copy with the task.
            members = tuple(one for one in members if one.path not in head.uploaded)
        # A kill may have come between a removal and this.
        homes.remove_empty_parents(layout, folder)
    if layout.keeps_history and head is not None:
        history.save(layout, task_id, area, head, members)
    warnings = []
    for name in (TREE, OLD):
        if trees.clear(name, members, dir_fd=area):
            quarantined = layout.quarantine(name, dir_fd=area, head=head, task_id=task_id)
            warnings.append(
                f"files of {str(layout.path / folder)!r} that were edited or added here are now in "
                f"{str(quarantined)!r}"
            )
    return warnings


def refuse_claimed(layout: Layout, task_id: int, folder: str) -> None:
    """Refuse a folder that belongs to another task.

    Raises:
        StoreError: It belongs to another task.
    """
    owner = layout.claimed_by(folder)
    if owner not in (None, task_id):
        raise StoreError(
            f"task {task_id}: the folder {str(layout.path / folder)!r} is that of task {owner}. "
            "Run again when that task has moved, or use another --folder-prefix.",
            task_id=task_id,
            step="commit",
        )


def foreign(task_id: int, path: Path) -> ForeignFolderError:
    """Return the error for a foreign file or folder under the name of a task's folder."""
    return ForeignFolderError(
        f"task {task_id}: {str(path)!r} exists and is not asynccvat's. Move it away, or use "
        "--adopt, "
        "which moves it to .asynccvat/kept/.",
        task_id=task_id,
        step="commit",
    )
