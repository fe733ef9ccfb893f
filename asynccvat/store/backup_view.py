"""BackupView: what a destination of backups holds, as coroutines.

It changes nothing and needs no lock. `backup_store` adds the changes; `backup_files` has the
blocking work.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from asynccvat.core.inventory.usage import UsedRoom
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.problems import VerifyProblem
from asynccvat.core.records.backups import BackupReceipt, PartRecord, StoredBackup, backup_folder
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.targets import TargetKind
from asynccvat.store import backup_files
from asynccvat.store.backup_check import check_backup
from asynccvat.store.chunks import in_chunks
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.identity import backup_folders, is_unused
from asynccvat.store.layout import Layout
from asynccvat.store.usage import measure_backups

_THREADS = 4


class BackupView:
    """A destination of backups to read from.

    Attributes:
        path: The destination.
        remembered: The settings of the destination's first run, None if it remembers none.
        warnings: What the user should know about the destination: damaged receipts, for example.
    """

    def __init__(self, layout: Layout, remembered: Remembered | None = None) -> None:
        self.path = layout.path
        self.remembered = remembered
        self.warnings: list[str] = []
        self._reported = 0
        self._layout = layout
        self._threads = DiskThreads(layout.path, _THREADS)

    def new_warnings(self) -> list[str]:
        """Return the warnings that were added since the last call."""
        new = self.warnings[self._reported :]
        self._reported += len(new)
        return new

    async def list(self) -> tuple[StoredBackup, ...]:
        """Return all backups by target and id, each target's oldest first.

        A damaged receipt becomes a warning and counts as absent.

        Raises:
            StoreError: They cannot be listed.
        """
        backups, damaged = await self.inventory()
        self.warnings += [
            f"the receipt {f'{OWN_FOLDER}/{path}'!r} cannot be used: {why}. So its backup counts "
            "as absent."
            for path, why in damaged
        ]
        return backups

    async def inventory(self) -> tuple[tuple[StoredBackup, ...], tuple[tuple[str, str], ...]]:
        """Return all backups as `list` does, and the damaged receipts.

        Returns:
            The backups, and the path of each damaged receipt in `.asynccvat` with the reason.

        Raises:
            StoreError: They cannot be listed.
        """
        folders = await self._threads.run("read", backup_folders, self._layout)
        found: list[StoredBackup] = []
        damaged: list[tuple[str, str]] = []
        chunks = await in_chunks(
            partial(self._threads.run, "read"),
            partial(backup_files.read_backups, self._layout),
            folders,
            threads=_THREADS,
        )
        for backups, problems in chunks:
            found += backups
            damaged += problems
        return tuple(sorted(found, key=_order)), tuple(sorted(damaged))

    async def measure(self) -> Sequence[UsedRoom]:
        """Measure all files of the destination, by use and target.

        Raises:
            StoreError: It cannot be read.
        """
        return await self._threads.run("measure", measure_backups, self._layout)

    async def members(self, receipt: BackupReceipt) -> tuple[MemberRecord, ...]:
        """Read the members of a backup as they were committed.

        Raises:
            StoreError: The receipt is gone or damaged.
        """
        return await self._threads.run("read", backup_files.read_members, self._layout, receipt)

    async def check(self, receipt: BackupReceipt) -> VerifyProblem | None:
        """Read a backup's zip again and compare it with its receipt; None if it is right.

        Raises:
            StoreError: It cannot be read for a reason that concerns this process.
        """
        return await self._threads.run("read", check_backup, self._layout, receipt)

    async def part(self, target: TargetKind, target_id: int) -> PartRecord | None:
        """Return where the bytes of a target's unfinished zip came from, None if there are none.

        Raises:
            StoreError: It cannot be read.
        """
        folder = backup_folder(target, target_id)
        read = backup_files.read_part
        return await self._threads.run("read", read, self._layout, folder, task_id=target_id)

    async def is_unused(self) -> bool:
        """Whether no backup is in the destination, and none is on its way.

        Raises:
            StoreError: It cannot be read.
        """
        return await self._threads.run("read", is_unused, self._layout)

    def location(self, receipt: BackupReceipt) -> Path:
        """Return the path of a backup's zip."""
        return self.path / receipt.file


def _order(backup: StoredBackup) -> tuple[str, int, str]:
    receipt = backup.receipt
    return (receipt.target, receipt.id, receipt.stamp)
