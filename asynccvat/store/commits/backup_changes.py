"""Commit and remove backups: files with a receipt each, of the steps of `changes`.

A commit writes the intent, a receipt with the zip's device and inode, next to the zip in staging.
Then the zip gets its final name, and at last the intent becomes the receipt. So no receipt names a
zip that is not there. `recover_backup` handles a kill between two steps.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgspec

from asynccvat.core.records.backups import BackupReceipt, decode_backup, encode_backup
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.errors import StoreError
from asynccvat.fs import files
from asynccvat.store import trees
from asynccvat.store.backup_files import PART
from asynccvat.store.commits.changes import FolderChange
from asynccvat.store.identity import BACKUPS
from asynccvat.store.layout import INTENT, Layout, write_file

_REMOVAL = "removal.json"
_ROOM = 3600  # seconds by which a name may be moved if backups of the same second are there


@dataclass
class BackupChange(FolderChange):
    """A change of one target's backups.

    Attributes:
        receipt: The receipt of the backup.
        folder_fd: Handle of the folder of the target's zips, while the group runs.
        receipts_fd: Handle of the folder of its receipts, while the group runs.
        backups_fd: Handle of the folder that holds that one, while the group runs.
    """

    receipt: BackupReceipt
    folder_fd: int = field(default=-1, init=False)
    receipts_fd: int = field(default=-1, init=False)
    backups_fd: int = field(default=-1, init=False)
    in_place: ClassVar[str] = "The next run clears what is left of it."

    @property
    def path(self) -> Path:
        """The zip."""
        return self.layout.path / self.receipt.file

    def open(self) -> None:
        """Open the folders, and create those that are missing."""
        layout, folder = self.layout, self.receipt.folder
        self.area = _open_or_make(folder, layout.staging)
        self.folder_fd = _open_or_make(folder, layout.dest)
        self.backups_fd = files.open_folder(BACKUPS, dir_fd=layout.own)
        self.receipts_fd = _open_or_make(folder, self.backups_fd)

    def close(self) -> None:
        """Close the folders."""
        super().close()
        for fd in (self.folder_fd, self.receipts_fd, self.backups_fd):
            if fd >= 0:
                os.close(fd)
        self.folder_fd = self.receipts_fd = self.backups_fd = -1

    def shared_folders(self, *, prepared: bool) -> Sequence[int]:
        """Return the folders, apart from the area, that the last step may have changed."""
        layout = self.layout
        if prepared:
            return (layout.staging, layout.dest, self.backups_fd)
        return (self.folder_fd, self.receipts_fd)

    def clear(self) -> None:
        """Remove what is left in staging."""
        for name in files.names(self.area):
            trees.remove(name, dir_fd=self.area)
        files.rmdir(self.receipt.folder, dir_fd=self.layout.staging)


@dataclass
class CommitBackup(BackupChange):
    """Give a zip its final name, and record it.

    Attributes:
        members: What the zip holds.
    """

    members: tuple[MemberRecord, ...] = ()

    @property
    def tree_files(self) -> int:
        """Number of files."""
        return 1

    def sync_content(self) -> None:
        """Sync the zip."""
        fd = files.open_for_reading(PART, dir_fd=self.area)
        try:
            self.layout.fsync(fd)
        finally:
            os.close(fd)

    def forget_content(self) -> None:
        """Remove the zip, as its sync failed."""
        files.unlink(PART, dir_fd=self.area)

    def prepare(self) -> None:
        """Choose a free name, and write the intent."""
        self._choose_name()
        status = self._part()
        self.receipt = msgspec.structs.replace(
            self.receipt, device=status.st_dev, inode=status.st_ino
        )
        content = encode_backup(self.receipt, self.members)
        write_file(INTENT, content, dir_fd=self.area, durable=self.layout.durable)

    def publish(self) -> None:
        """Rename the zip."""
        self._part()
        if files.lstat(self._name, dir_fd=self.folder_fd) is not None:
            raise self._failed(f"{str(self.path)!r} has just been created by another program")
        files.rename(PART, self._name, dir_fd=self.area, new_dir_fd=self.folder_fd)

    def record(self) -> None:
        """Rename the intent onto the receipt."""
        name = f"{self.receipt.stamp}.json"
        files.rename(INTENT, name, dir_fd=self.area, new_dir_fd=self.receipts_fd)

    @property
    def _name(self) -> str:
        return f"{self.receipt.stamp}.zip"

    def _part(self) -> os.stat_result:
        """Return the status of the zip in staging, which must be as it was read."""
        status = files.lstat(PART, dir_fd=self.area)
        if status is None or status.st_size != self.receipt.size:
            raise self._failed("the zip in .asynccvat/staging was changed after it was checked")
        return status

    def _choose_name(self) -> None:
        """Move the name by seconds until neither a zip nor a receipt has it."""
        for _ in range(_ROOM):
            taken = (
                files.lstat(self._name, dir_fd=self.folder_fd),
                files.lstat(f"{self.receipt.stamp}.json", dir_fd=self.receipts_fd),
            )
            if taken == (None, None):
                return
            self.receipt = self.receipt.a_second_later()
        raise self._failed(f"no name is left in {str(self.path.parent)!r}")

    def _failed(self, why: str) -> StoreError:
        return StoreError(
            f"{self.receipt.target} {self.task_id}: {why}. Let no other program change the "
            "destination, and run again.",
            task_id=self.task_id,
            step="commit",
        )


@dataclass
class RemoveBackup(BackupChange):
    """Remove a zip and its receipt.

    The receipt goes first, so that no receipt names a zip that is not there.
    """

    def prepare(self) -> None:
        """Note which zip goes, so that a killed removal is finished."""
        name = f"{self.receipt.stamp}.json"
        if files.lstat(name, dir_fd=self.receipts_fd) is not None:
            content = encode_backup(msgspec.structs.replace(self.receipt, files=0), ())
            write_file(_REMOVAL, content, dir_fd=self.area, durable=self.layout.durable)

    def publish(self) -> None:
        """Remove the receipt."""
        _unlink_if_there(f"{self.receipt.stamp}.json", self.receipts_fd)

    def record(self) -> None:
        """Remove the zip."""
        _unlink_if_there(f"{self.receipt.stamp}.zip", self.folder_fd)

    def clear(self) -> None:
        """Remove the note, and the target's folder in staging if it is empty."""
        # Not the whole area: it may hold the unfinished zip of a later backup.
        _unlink_if_there(_REMOVAL, self.area)
        trees.remove_if_empty(self.receipt.folder, dir_fd=self.layout.staging)


def recover_backup(layout: Layout, folder: str) -> None:
    """Finish or undo what a killed run began with a target's backups.

    An unfinished zip stays, as a later run may go on after its bytes.

    Args:
        layout: The destination.
        folder: The name of the target's folder.

    Raises:
        OSError: From the system.
    """
    with files.folder(folder, dir_fd=layout.staging) as area:
        _finish_removal(layout, folder, area)
        content = files.read_file(INTENT, dir_fd=area)
        if content is None:
            return
        try:
            receipt, _ = decode_backup(content)
        except StoreError:
            receipt = None  # it was cut off, so nothing was renamed yet
        if receipt is not None and receipt.folder == folder and _is_published(layout, receipt):
            _record(layout, receipt, area)
        else:
            files.unlink(INTENT, dir_fd=area)
            layout.sync_folder(area)


def _is_published(layout: Layout, receipt: BackupReceipt) -> bool:
    """Whether the zip of an intent has its final name. It was durable before it got that."""
    if not trees.is_folder(receipt.folder, dir_fd=layout.dest):
        return False
    with files.folder(receipt.folder, dir_fd=layout.dest) as fd:
        status = files.lstat(f"{receipt.stamp}.zip", dir_fd=fd)
        layout.sync_folder(fd)
    # The number of its device may be another one after a reboot.
    return status is not None and (status.st_ino, status.st_size) == (receipt.inode, receipt.size)


def _record(layout: Layout, receipt: BackupReceipt, area: int) -> None:
    with files.folder(f"{BACKUPS}/{receipt.folder}", dir_fd=layout.own) as receipts:
        files.rename(INTENT, f"{receipt.stamp}.json", dir_fd=area, new_dir_fd=receipts)
        layout.sync_folder(receipts)
    layout.sync_folder(area)


def _finish_removal(layout: Layout, folder: str, area: int) -> None:
    content = files.read_file(_REMOVAL, dir_fd=area)
    if content is None:
        return
    with contextlib.suppress(StoreError):  # cut off, so nothing was removed yet
        receipt, _ = decode_backup(content)
        for parent, suffix in ((f"{BACKUPS}/{folder}", ".json"), (folder, ".zip")):
            base = layout.own if suffix == ".json" else layout.dest
            if receipt.folder == folder and _is_folder(parent, base):
                with files.folder(parent, dir_fd=base) as fd:
                    _unlink_if_there(receipt.stamp + suffix, fd)
                    layout.sync_folder(fd)
    files.unlink(_REMOVAL, dir_fd=area)


def _is_folder(path: str, base: int) -> bool:
    try:
        with files.folder(path, dir_fd=base):
            return True
    except (FileNotFoundError, NotADirectoryError):
        return False


def _unlink_if_there(name: str, fd: int) -> None:
    if files.lstat(name, dir_fd=fd) is not None:
        files.unlink(name, dir_fd=fd)


def _open_or_make(name: str, dir_fd: int) -> int:
    """Open a folder, and make it if it is missing."""
    if files.lstat(name, dir_fd=dir_fd) is None:
        # Another thread may make it at the same time.
        with contextlib.suppress(FileExistsError):
            files.mkdir(name, dir_fd=dir_fd)
    return files.open_folder(name, dir_fd=dir_fd)
