"""MirrorStore: the destination of a mirror, as coroutines.

It opens the destination under its lock, recovers from interrupted runs, and runs the blocking work
of the neighbouring modules in threads. `core.plans.mirror` decides what is fetched, moved or
removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

from asynccvat.aio.threads import in_limited_thread, in_thread
from asynccvat.core.models import Task
from asynccvat.core.paths import OWN_FOLDER, NameRules
from asynccvat.core.records.receipts import MemberRecord, Receipt, ReceiptHead, after_upload
from asynccvat.core.records.remembered import Remembered
from asynccvat.errors import ConfigError, StoreError
from asynccvat.fs import disk_errors
from asynccvat.store import history, name_probe
from asynccvat.store.commits import leftovers
from asynccvat.store.commits.changes import (
    Committed,
    CommitTree,
    FolderChange,
    MoveFolder,
    RemoveFolder,
)
from asynccvat.store.commits.group_commit import GroupCommit
from asynccvat.store.commits.group_run import run_group
from asynccvat.store.complete_runs import CompleteRuns
from asynccvat.store.distrusted_rules import DistrustedNotes
from asynccvat.store.failures import FailedTasks
from asynccvat.store.identity import (
    DestinationIdentity,
    check_identity,
    remember,
    server_in_words,
)
from asynccvat.store.kept_archives import KeptArchives
from asynccvat.store.last_run import LastRunNote
from asynccvat.store.layout import NOT_THERE, Layout
from asynccvat.store.lock import Lock
from asynccvat.store.mirror_view import MirrorView
from asynccvat.store.opening import find_layout, open_locked, remove_new, sync_leftovers
from asynccvat.store.placement import check_place
from asynccvat.store.put_aside import PutAside
from asynccvat.store.replaced import ReplacedAnnotations
from asynccvat.store.staging import KEEP_ABOVE, Staging, discard, new_staging


class MirrorStore(MirrorView):
    """A destination under its lock: a `TaskStore`, and all else that a mirror needs.

    Attributes:
        archives: The kept archives.
        replaced: The annotations that uploads replaced.
        failures: The tasks that failed when they were fetched last.
        put_aside: What was put aside.
        complete_runs: The note of the last complete run.
        distrusted: The rules of conversion that audits found wrong.
        last_run: The note of the last run.
        warnings: As of `MirrorView`, and the files that recovery quarantined.
    """

    def __init__(
        self,
        layout: Layout,
        lock: Lock | None,
        rules: NameRules,
        identity: DestinationIdentity,
        remembered: Remembered | None,
    ) -> None:
        super().__init__(layout, rules, remembered)
        self._identity = identity
        self.archives = KeptArchives(layout, self._verify_lock)
        self.replaced = ReplacedAnnotations.of_mirror(layout, self._verify_lock)
        self.failures = FailedTasks(layout, self._threads, self._verify)
        self.complete_runs = CompleteRuns(layout, self._threads, self._verify)
        self.distrusted = DistrustedNotes(layout, self._threads, self._verify)
        self.put_aside = PutAside(layout, self._threads, self._verify)
        self.last_run = LastRunNote(layout, self._threads, self._verify)
        self._lock = lock
        self._groups = GroupCommit(
            self._run_group,
            self._threads.limiter,
            grouped=layout.durable,
            under_way=lambda: len(self._active),
        )
        self._active: set[int] = set()
        self._has_begun = not layout.is_new
        self._has_failed = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        dest: Path | str,
        *,
        origin: str,
        organization: str | None,
        durable: bool = True,
        break_lock: bool = False,
        read_only: bool = False,
    ) -> AsyncIterator[MirrorStore]:
        """Open a destination, and create it if it is missing.

        Args:
            dest: The folder. A link is followed, as the user named it.
            origin: Scheme, host and port of the server.
            organization: Slug, "" for the personal workspace, None for everything visible.
            durable: Sync to disk before anything counts as done.
            break_lock: Take over the lock from any owner.
            read_only: Change nothing, and take no lock: another process may be writing. Calls that
                would change something raise `StoreError`.

        Raises:
            ConfigError: It mirrors another server or organization, a newer asynccvat wrote it, or
                this is Windows.
            StoreLockedError: Another process is writing to it.
            DiskFullError: There is no room even for the small files of the store.
            StoreError: It cannot be read or written.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "mirroring needs Linux or macOS. On Windows, run it under WSL "
                "(the Windows Subsystem for Linux)."
            )
        wanted = DestinationIdentity(origin=origin, organization=organization)
        stores: list[MirrorStore] = []

        def opening() -> None:
            path = Path(dest)
            if read_only:
                stores.append(_look(cls, path, wanted))
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
        """The server and the organization, in words."""
        return server_in_words(self._identity)

    async def remember(self, settings: Remembered) -> None:
        """Write the settings that the next run takes as its defaults.

        A new destination stays from now on, even if the run fails.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: They cannot be written.
        """

        def write() -> None:
            self._verify()
            remember(self._layout, self._identity, settings)

        await self._threads.run("write destination.json in", write)
        self._has_begun = True
        self.remembered = settings

    async def stage(self, task_id: int) -> Staging:
        """Make a fresh tree to fill, and find files that can be reused for it.

        Raises:
            StoreError: It cannot be made, or the task is staged already.
        """
        self._begin(task_id)
        try:
            await self._recover_task(task_id)
            return await self._threads.run(
                "stage in", new_staging, self._layout, task_id, task_id=task_id
            )
        except BaseException as error:
            try:
                if isinstance(error, asyncio.CancelledError):
                    await self._abandon_unseen(task_id, error)
            finally:
                self._active.discard(task_id)
            raise

    async def _abandon_unseen(self, task_id: int, cancelled: BaseException) -> None:
        """Abandon what was staged while `stage` was cancelled, as its caller never got it."""
        try:
            await self._threads.run("clear", self._abandon, task_id, True, task_id=task_id)
        except StoreError as error:
            cancelled.add_note(str(error))

    async def commit(self, staging: Staging, receipt: Receipt, *, adopt: bool = False) -> Committed:
        """Give a staged tree its final name, in a group with other commits at the same time.

        A cancelled commit is either done whole, or not done at all. `abandon` may follow in both
        cases.

        Args:
            staging: The tree, filled and checked.
            receipt: What the tree holds; the size and time of its members as they are on disk.
            adopt: Quarantine a folder that stands there and is not ours.

        Raises:
            ForeignFolderError: Something that is not ours has the final name.
            StoreLockedError: Another process took over the lock.
            DiskFullError: The disk is full.
            StoreError: The commit failed. Nothing has changed, or the next `stage` or run recovers.
        """
        if staging.ended:
            raise StoreError(
                f"task {staging.task_id}: this tree was committed or abandoned before",
                task_id=staging.task_id,
                step="commit",
            )
        if staging.attempted:
            await self._recover_task(staging.task_id)
        staging.attempted = True
        change = CommitTree(self._layout, staging.task_id, staging, receipt, adopt)
        try:
            return await self._join(change)
        finally:
            if change.recorded:
                staging.ended = True
                self._active.discard(staging.task_id)

    async def abandon(self, staging: Staging, *, keep: bool) -> None:
        """Give a staged tree up. After a commit this does nothing.

        Args:
            staging: The tree.
            keep: Leave it for the next run to reuse, if it holds more than 16 MiB.

        Raises:
            StoreError: It cannot be cleared, or a failed commit cannot be undone. The next run
                tries again.
        """
        if staging.ended:
            return
        staging.ended = True
        try:
            await self._threads.run(
                "clear", self._abandon, staging.task_id, keep, task_id=staging.task_id
            )
        finally:
            self._active.discard(staging.task_id)

    def _abandon(self, task_id: int, keep: bool) -> None:
        if self._lock is not None and not self._lock.is_ours():
            return  # the staging belongs to the process that took over the lock
        if self._layout.sync_failure is not None:
            return  # it is unknown what is on the disk: the next run recovers
        self.warnings += leftovers.recover_task(self._layout, task_id)
        discard(self._layout.staging, str(task_id), keep_above=KEEP_ABOVE if keep else None)

    async def move(
        self,
        head: ReceiptHead,
        folder: str,
        *,
        renamed: Task | None = None,
        content: str | None = None,
    ) -> Committed:
        """Rename a task's folder.

        Args:
            head: Its receipt.
            folder: The new name.
            renamed: The task as listed, if only its name or its project changed on the server.
            content: A digest for a receipt that has none; see `core.plans.renames`.

        Raises:
            ForeignFolderError: Something that is not ours has the new name.
            StoreError: Another task's folder has the name, the folder is gone, or as `commit`.
        """
        return await self._alone(
            MoveFolder(self._layout, head.task_id, head, folder, renamed, content)
        )

    async def remove(self, head: ReceiptHead) -> Committed:
        """Remove a task's folder and receipt. Edited and added files go to `kept/`.

        Raises:
            StoreError: As `commit`.
        """
        return await self._alone(RemoveFolder(self._layout, head.task_id, head))

    async def note_upload(
        self, task_id: int, uploaded: Sequence[MemberRecord], *, updated_date: str | None = None
    ) -> None:
        """Note in a task's receipt that files of its folder were uploaded.

        Args:
            task_id: The task.
            uploaded: The files as they were read, with paths relative to the folder.
            updated_date: The task's date after the upload, if nothing else has changed the task;
                None otherwise.

        Raises:
            StoreError: There is no receipt, it cannot be written, or as `commit`.
        """

        def note() -> None:
            self._verify()
            receipt = self._layout.receipt(task_id)
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            noted = after_upload(receipt, uploaded, at=at, updated_date=updated_date)
            self._layout.write_receipt(noted)

        self._begin(task_id)
        try:
            await self._recover_task(task_id)
            await self._threads.run("write the receipt in", note, task_id=task_id)
        finally:
            self._active.discard(task_id)

    async def keep_history(self, seconds: float) -> None:
        """Move annotation files that are replaced from now on to the history. Remove old ones.

        Args:
            seconds: How long they are kept, 0 for not at all. Then those that are there stay.

        Raises:
            StoreLockedError: Another process took over the lock.
        """
        self._layout.keeps_history = seconds > 0

        def expire() -> None:
            self._verify()
            self.warnings += history.expire(self._layout, seconds)

        if seconds > 0:
            await self._threads.run("sweep", expire)

    async def sweep(
        self, planned: Collection[int], *, among: Collection[int] | None = None
    ) -> None:
        """Remove what interrupted runs left in staging, except trees worth reusing.

        Args:
            planned: The tasks that will be fetched; their trees of more than 16 MiB are left.
            among: The only tasks whose leftovers may be removed, None for all.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: The staging cannot be listed. Leftovers that cannot be removed are warnings.
        """
        wanted = frozenset(planned)
        may_go = None if among is None else frozenset(among)

        def sweep() -> None:
            self._verify()
            self.warnings += leftovers.sweep(
                self._layout,
                active=self._active,
                planned=wanted,
                among=may_go,
                keep_above=KEEP_ABOVE,
            )

        await self._threads.run("sweep", sweep)

    # --- inside -------------------------------------------------------------------------------

    def _begin(self, task_id: int) -> None:
        if self._lock is None:
            raise StoreError(f"{str(self.path)!r} was opened for reading only", step="store")
        if task_id in self._active:
            raise StoreError(
                f"task {task_id} is staged already. Commit or abandon that tree first.",
                task_id=task_id,
                step="stage",
            )
        self._active.add(task_id)

    async def _alone(self, change: FolderChange) -> Committed:
        """Make a change of a task that is not staged."""
        self._begin(change.task_id)
        try:
            await self._recover_task(change.task_id)
            return await self._join(change)
        finally:
            self._active.discard(change.task_id)

    async def _recover_task(self, task_id: int) -> None:
        def recover_task() -> None:
            self._verify()
            self.warnings += leftovers.recover_task(self._layout, task_id)

        await self._threads.run("recover from an interrupted run in", recover_task, task_id=task_id)

    async def _join(self, change: FolderChange) -> Committed:
        await self._groups.join(change)
        return Committed(change.path, tuple(change.warnings))

    def _run_group(self, changes: Sequence[FolderChange]) -> None:
        self._verify()
        run_group(self._layout, changes)

    def _verify(self) -> None:
        """Check that the lock is ours, and that no sync has failed."""
        self._verify_lock()
        with disk_errors.explained("sync", self.path):
            self._layout.check_sync()

    def _verify_lock(self) -> None:
        if self._lock is not None:
            with disk_errors.explained("read the lock of", self.path):
                self._lock.verify()

    def _close(self) -> None:
        try:
            failed_at_once = self._has_failed and not self._has_begun
            if failed_at_once and self._lock is not None and self._lock.is_ours():
                # What is left are empty folders, which matter less than why the run failed.
                with contextlib.suppress(OSError):
                    remove_new(self._layout)
        finally:
            self._release()

    def _release(self) -> None:
        try:
            if self._lock is not None:
                self._lock.release()
        finally:
            self._layout.close()


def _open(
    cls: type[MirrorStore],
    dest: Path,
    wanted: DestinationIdentity,
    *,
    durable: bool,
    break_lock: bool,
) -> MirrorStore:
    with disk_errors.explained("use", dest), contextlib.ExitStack() as opened:
        layout, lock = open_locked(dest, durable=durable, break_lock=break_lock)
        opened.callback(layout.close)
        opened.callback(lock.release)
        sync_leftovers(layout)
        remembered = check_identity(layout, wanted)
        layout.keeps_history = remembered is not None and bool(remembered.history)
        rules = name_probe.probe(layout.staging, str(dest.absolute() / OWN_FOLDER))
        store = cls(layout, lock, rules, wanted, remembered)
        store.warnings += leftovers.recover_all(layout)
        opened.pop_all()
    return store


def _look(cls: type[MirrorStore], dest: Path, wanted: DestinationIdentity) -> MirrorStore:
    with disk_errors.explained("read", dest), contextlib.ExitStack() as opened:
        check_place(dest)
        layout = find_layout(dest)
        opened.callback(layout.close)
        remembered = check_identity(layout, wanted, create=False)
        rules = NameRules()
        if layout.dest != NOT_THERE:
            rules = name_probe.guess(layout.dest, str(dest.absolute()))
        opened.pop_all()
    return cls(layout, None, rules, wanted, remembered)
