"""BackupStore: a destination of backups under its lock, as coroutines.

`backup_view` reads it, `commits.backup_changes` has the steps of its changes. `core.plans.backup`
decides what is backed up or removed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path

from asynccvat.aio.threads import in_limited_thread, in_thread
from asynccvat.core.records.backups import (
    BackupReceipt,
    TargetState,
    backup_folder,
    target_of,
)
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError, StoreError
from asynccvat.fs import disk_errors, files
from asynccvat.store import backup_files, trees
from asynccvat.store.backup_files import PART
from asynccvat.store.backup_view import BackupView
from asynccvat.store.commits.backup_changes import (
    BackupChange,
    CommitBackup,
    RemoveBackup,
    recover_backup,
)
from asynccvat.store.commits.changes import Committed, FolderChange
from asynccvat.store.commits.group_commit import GroupCommit
from asynccvat.store.commits.group_run import run_group
from asynccvat.store.failures import FailedTasks
from asynccvat.store.identity import (
    BACKUPS,
    DestinationIdentity,
    check_identity,
    is_unused,
    of_backups,
    read_identity,
    remember,
    server_in_words,
)
from asynccvat.store.last_run import LastRunNote
from asynccvat.store.layout import Layout
from asynccvat.store.lock import Lock
from asynccvat.store.opening import find_layout, open_locked, remove_new, sync_leftovers
from asynccvat.store.placement import check_place
from asynccvat.store.staged_backup import StagedBackup

_DOING = "back up to"


class BackupStore(BackupView):
    """A destination of backups: stage a zip, fill it, then commit or abandon it.

    Attributes:
        failures: The targets that failed when they were backed up last.
        last_run: The note of the last run.
        warnings: As of `BackupView`, and what could not be recovered.
    """

    def __init__(
        self,
        layout: Layout,
        lock: Lock | None,
        identity: DestinationIdentity | None,
        remembered: Remembered | None,
    ) -> None:
        super().__init__(layout, remembered)
        self.identity = identity
        self._lock = lock
        self.failures = FailedTasks(layout, self._threads, self._verify)
        self.last_run = LastRunNote(layout, self._threads, self._verify)
        self._groups = GroupCommit(
            self._run_group,
            self._threads.limiter,
            grouped=layout.durable,
            under_way=lambda: len(self._active),
        )
        self._active: set[str] = set()
        self._has_begun = not layout.is_new
        self._has_failed = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        dest: Path | str,
        *,
        origin: str | None = None,
        organization: str | None = None,
        durable: bool = True,
        break_lock: bool = False,
        read_only: bool = False,
        planning: bool = False,
    ) -> AsyncIterator[BackupStore]:
        """Open a destination of backups. Unless it is for reading only, create it if missing.

        Args:
            dest: The folder. A link is followed, as the user named it.
            origin: Scheme, host and port of the server. None, for reading only, accepts any.
            organization: Slug, "" for the personal workspace, None for everything visible.
            durable: Sync to disk before anything counts as done.
            break_lock: Take over the lock from any owner.
            read_only: Change nothing, and take no lock: another process may be writing. Calls that
                would change something raise `StoreError`.
            planning: Whether a run would write to what is only read now, for messages.

        Raises:
            ConfigError: It holds a mirror, or backups of another server or organization, or a newer
                asynccvat wrote it, or this is Windows.
            StoreLockedError: Another process is writing to it.
            DiskFullError: There is no room even for the small files of the store.
            StoreError: It cannot be read or written.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "backups need Linux or macOS. On Windows, run this under WSL "
                "(the Windows Subsystem for Linux)."
            )
        wanted = None if origin is None else of_backups(origin, organization)
        stores: list[BackupStore] = []

        def opening() -> None:
            path = Path(dest)
            if read_only:
                stores.append(_look(cls, path, wanted, planning=planning))
            else:
                stores.append(_open(cls, path, wanted, durable=durable, break_lock=break_lock))

        try:
            await in_thread(opening)
            yield stores[0]
        except BaseException:
            for store in stores:
                store._has_failed = True  # noqa: SLF001 - our own
            raise
        finally:
            # Also if a cancellation came while it was being opened.
            for store in stores:
                await in_limited_thread(store._threads.limiter, store._close)  # noqa: SLF001 - our own

    @property
    def server(self) -> str:
        """The server and the organization, in words; "" if that is not known."""
        return "" if self.identity is None else server_in_words(self.identity)

    async def remember(self, settings: Remembered) -> None:
        """Write the settings that the next run takes as its defaults.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: They cannot be written.
        """

        def write() -> None:
            self._verify()
            assert self.identity is not None, "only readers may leave it out"
            remember(self._layout, self.identity, settings)

        await self._threads.run("write destination.json in", write)
        self._has_begun = True
        self.remembered = settings

    async def stage(
        self,
        target: TargetKind,
        target_id: int,
        state: TargetState,
        *,
        lightweight: bool,
        requested_at: str,
    ) -> StagedBackup:
        """Stage a target's zip. What an earlier run left of it stays, to be continued.

        Args:
            target: Task or project.
            target_id: Its id.
            state: Its state, before the backup was requested.
            lightweight: Whether media that lie in a bucket are left out.
            requested_at: When it was requested, ISO 8601.

        Raises:
            StoreError: It cannot be made, or the target is staged already.
        """
        folder = backup_folder(target, target_id)

        def prepare() -> None:
            self._verify()
            if files.lstat(folder, dir_fd=self._layout.staging) is None:
                files.mkdir(folder, dir_fd=self._layout.staging)
            recover_backup(self._layout, folder)

        self._begin(folder, target_id)
        try:
            await self._threads.run("stage in", prepare, task_id=target_id)
        except BaseException:
            self._active.discard(folder)
            raise
        return StagedBackup(
            target_id,
            self._layout.staging_path / folder / PART,
            state,
            lightweight,
            requested_at,
            _base=self._layout.staging,
            _name=folder,
        )

    async def commit(
        self, staged: StagedBackup, receipt: BackupReceipt, members: tuple[MemberRecord, ...]
    ) -> Committed:
        """Give a staged zip its final name, in a group with other commits at the same time.

        A cancelled commit is either done whole, or not done at all. `abandon` may follow in both
        cases.

        Args:
            staged: The zip, filled and checked.
            receipt: What it is. Its name may be moved by seconds if it is taken.
            members: What it holds.

        Raises:
            StoreLockedError: Another process took over the lock.
            DiskFullError: The disk is full.
            StoreError: The commit failed. Nothing has changed, or the next `stage` or run recovers.
        """
        if staged.ended:
            raise StoreError(
                f"{receipt.target} {receipt.id}: this backup was committed or abandoned before",
                task_id=receipt.id,
                step="commit",
            )
        change = CommitBackup(self._layout, receipt.id, receipt, members)
        try:
            return await self._join(change)
        finally:
            if change.recorded:
                staged.ended = True
                self._active.discard(receipt.folder)

    async def abandon(self, staged: StagedBackup, *, keep: bool) -> None:
        """Give a staged zip up. After a commit this does nothing.

        Args:
            staged: The zip.
            keep: Leave its bytes for a later run to go on after.

        Raises:
            StoreError: It cannot be cleared, or a failed commit cannot be undone. The next run
                tries again.
        """
        if staged.ended:
            return
        staged.ended = True
        folder = staged.path.parent.name

        def abandon() -> None:
            if self._lock is not None and not self._lock.is_ours():
                return  # the staging belongs to the process that took over the lock
            if self._layout.sync_failure is not None:
                return  # it is unknown what is on the disk: the next run recovers
            recover_backup(self._layout, folder)
            _discard(self._layout, folder, keep=keep)

        try:
            await self._threads.run("clear", abandon, task_id=staged.task_id)
        finally:
            self._active.discard(folder)

    async def remove(self, receipt: BackupReceipt) -> Committed:
        """Remove a backup: its receipt, then its zip.

        Raises:
            StoreError: As `commit`.
        """
        self._begin(receipt.folder, receipt.id)
        try:
            return await self._join(RemoveBackup(self._layout, receipt.id, receipt))
        finally:
            self._active.discard(receipt.folder)

    async def sweep(self, planned: Collection[str]) -> None:
        """Remove what interrupted runs left in staging, except what can be continued.

        Args:
            planned: The folders of the targets that will be backed up.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: The staging cannot be listed. Leftovers that cannot be removed are warnings.
        """
        wanted = frozenset(planned)

        def sweep() -> None:
            self._verify()
            for name in files.names(self._layout.staging):
                try:
                    _discard(self._layout, name, keep=name in wanted)
                except OSError as error:
                    place = self._layout.staging_path / name
                    self.warnings.append(str(disk_errors.explain(error, "sweep", place)))

        await self._threads.run("sweep", sweep)

    # --- inside -------------------------------------------------------------------------------

    def _begin(self, folder: str, target_id: int) -> None:
        if self._lock is None:
            raise StoreError(f"{str(self.path)!r} was opened for reading only", step="store")
        if folder in self._active:
            raise StoreError(
                f"{folder} is staged already. Commit or abandon that first.",
                task_id=target_id,
                step="stage",
            )
        self._active.add(folder)

    async def _join(self, change: BackupChange) -> Committed:
        await self._groups.join(change)
        return Committed(change.path, tuple(change.warnings))

    def _run_group(self, changes: Sequence[FolderChange]) -> None:
        self._verify()
        run_group(self._layout, changes)

    def _verify(self) -> None:
        """Check that the lock is ours, and that no sync has failed."""
        if self._lock is not None:
            with disk_errors.explained("read the lock of", self.path):
                self._lock.verify()
        with disk_errors.explained("sync", self.path):
            self._layout.check_sync()

    def _close(self) -> None:
        try:
            failed_at_once = self._has_failed and not self._has_begun
            if failed_at_once and self._lock is not None and self._lock.is_ours():
                # What is left are empty folders, which matter less than why the run failed.
                with contextlib.suppress(OSError):
                    trees.remove_if_empty(BACKUPS, dir_fd=self._layout.own)
                    remove_new(self._layout)
        finally:
            try:
                if self._lock is not None:
                    self._lock.release()
            finally:
                self._layout.close()


def _open(
    cls: type[BackupStore],
    dest: Path,
    wanted: DestinationIdentity | None,
    *,
    durable: bool,
    break_lock: bool,
) -> BackupStore:
    if wanted is None:
        raise TypeError("a destination that is written to needs the origin of its server")
    with disk_errors.explained("use", dest), contextlib.ExitStack() as opened:
        check_place(dest, _DOING)
        layout, lock = open_locked(dest, durable=durable, break_lock=break_lock)
        opened.callback(layout.close)
        opened.callback(lock.release)
        sync_leftovers(layout)
        remembered = check_identity(layout, wanted)
        _make_backups(layout)
        store = cls(layout, lock, wanted, remembered)
        for name in files.names(layout.staging):
            if target_of(name) is None or not trees.is_folder(name, dir_fd=layout.staging):
                continue
            try:
                recover_backup(layout, name)
            except OSError as error:
                place, doing = layout.staging_path / name, "recover from an interrupted run in"
                store.warnings.append(str(disk_errors.explain(error, doing, place)))
        opened.pop_all()
    return store


def _make_backups(layout: Layout) -> None:
    """Make the folder of receipts, and sync the names in it that a killed run may have made."""
    if files.lstat(BACKUPS, dir_fd=layout.own) is None:
        files.mkdir(BACKUPS, dir_fd=layout.own)
        layout.sync_folder(layout.own)
    fd = files.open_folder(BACKUPS, dir_fd=layout.own)
    try:
        layout.sync_folder(fd)
    finally:
        os.close(fd)


def _look(
    cls: type[BackupStore], dest: Path, wanted: DestinationIdentity | None, *, planning: bool
) -> BackupStore:
    with disk_errors.explained("read", dest), contextlib.ExitStack() as opened:
        check_place(dest, _DOING)
        layout = find_layout(dest)
        opened.callback(layout.close)
        found = read_identity(layout)
        is_mirror = found is not None and found.holds != BACKUPS
        if is_mirror and not planning and (wanted is None or not is_unused(layout)):
            raise ConfigError(
                f"{str(dest)!r} holds a mirror, not backups. Name the folder that `asynccvat "
                "backup` was given."
            )
        if wanted is not None:
            remembered = check_identity(layout, wanted, create=False)
        else:
            settings = None if found is None else found.settings
            remembered = settings if isinstance(settings, Remembered) else None
        opened.pop_all()
    return cls(layout, None, found if wanted is None else wanted, remembered)


def _discard(layout: Layout, folder: str, *, keep: bool) -> None:
    """Remove a target's folder in staging, unless its zip is to be kept and can be continued."""
    is_kept = keep and backup_files.read_part(layout, folder) is not None
    if not is_kept and files.lstat(folder, dir_fd=layout.staging) is not None:
        trees.remove(folder, dir_fd=layout.staging)
