"""Read the receipts of backups, and look whether their zips are there.

The calls block: they are for worker threads. `backup_store` offers them as coroutines,
`backup_changes` makes changes.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence

from asynccvat.core.problems import obstacle
from asynccvat.core.records.backups import (
    BackupCondition,
    BackupReceipt,
    PartRecord,
    StoredBackup,
    decode_backup,
    decode_backup_head,
    decode_part,
)
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.errors import StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.identity import BACKUPS
from asynccvat.store.layout import NOT_THERE, Layout

PART = "backup.zip.part"
"""The zip on its way, in the target's folder in staging."""
PART_RECORD = "part.json"
"""Where its bytes come from."""


def read_backups(
    layout: Layout, folders: Sequence[str]
) -> tuple[list[StoredBackup], list[tuple[str, str]]]:
    """Read line 1 of the receipts of targets, and look at their zips.

    Args:
        layout: The destination.
        folders: The names of the targets' folders.

    Returns:
        The backups, and the path of each receipt that cannot be used, with the reason. A receipt
        that has disappeared by now is in neither.

    Raises:
        OSError: This process can read none of them.
    """
    found: list[StoredBackup] = []
    damaged: list[tuple[str, str]] = []
    for folder in folders:
        for name in receipt_names(layout, folder):
            path = f"{BACKUPS}/{folder}/{name}"
            try:
                receipt = _head(layout, folder, name)
                if receipt is not None:
                    found.append(StoredBackup(receipt, condition(layout, receipt)))
            except StoreError as error:
                damaged.append((path, str(error)))
            except OSError as error:
                if obstacle(error.errno, "") is None:
                    raise
                damaged.append((path, str(disk_errors.explain(error, "read", path))))
    return found, damaged


def receipt_names(layout: Layout, folder: str) -> list[str]:
    """Return the names of a target's receipts; none if it has none."""
    if layout.own == NOT_THERE or not _is_there(layout, folder):
        return []
    with files.folder(f"{BACKUPS}/{folder}", dir_fd=layout.own) as fd:
        return [name for name in files.names(fd) if name.endswith(".json")]


def read_members(layout: Layout, receipt: BackupReceipt) -> tuple[MemberRecord, ...]:
    """Read the members of a backup as they were committed.

    Raises:
        StoreError: The receipt is gone or damaged.
        OSError: From the system.
    """
    with files.folder(f"{BACKUPS}/{receipt.folder}", dir_fd=layout.own) as fd:
        content = files.read_file(f"{receipt.stamp}.json", dir_fd=fd)
    if content is None:
        raise StoreError(f"the receipt of {receipt.file!r} is gone")
    return decode_backup(content)[1]


def condition(layout: Layout, receipt: BackupReceipt) -> BackupCondition:
    """Tell whether a backup's zip is there, by its name and size."""
    if not trees.is_folder(receipt.folder, dir_fd=layout.dest):
        return BackupCondition.MISSING
    with files.folder(receipt.folder, dir_fd=layout.dest) as fd:
        status = files.lstat(f"{receipt.stamp}.zip", dir_fd=fd)
    if status is None:
        return BackupCondition.MISSING
    if not stat.S_ISREG(status.st_mode) or status.st_size != receipt.size:
        return BackupCondition.CHANGED
    return BackupCondition.PRESENT


def read_part(layout: Layout, folder: str) -> PartRecord | None:
    """Return where the bytes of an unfinished zip came from, None if there are none.

    Args:
        layout: The destination.
        folder: The name of the target's folder.
    """
    if not trees.is_folder(folder, dir_fd=layout.staging):
        return None
    with files.folder(folder, dir_fd=layout.staging) as area:
        if files.lstat(PART, dir_fd=area) is None:
            return None
        return decode_part(files.read_file(PART_RECORD, dir_fd=area))


def _is_there(layout: Layout, folder: str) -> bool:
    return trees.is_folder(BACKUPS, dir_fd=layout.own) and trees.is_folder(
        f"{BACKUPS}/{folder}", dir_fd=layout.own
    )


def _head(layout: Layout, folder: str, name: str) -> BackupReceipt | None:
    """Read line 1 of a receipt; None if it has just disappeared.

    Raises:
        StoreError: It is damaged, or its name is that of another one.
    """
    with files.folder(f"{BACKUPS}/{folder}", dir_fd=layout.own) as fd:
        content = files.read_file(name, dir_fd=fd)
    if content is None:
        return None
    receipt = decode_backup_head(content.partition(b"\n")[0])
    if (receipt.folder, f"{receipt.stamp}.json") != (folder, name):
        raise StoreError(f"damaged receipt: it is that of {receipt.file!r}")
    return receipt
