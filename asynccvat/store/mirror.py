"""MirrorStore: a destination as coroutines.

A thin layer over the blocking work of this package: it opens a destination under its lock, puts
right what an interrupted run left, and hands the rest to threads. What is to be fetched, moved or
removed is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import anyio

from asynccvat import files
from asynccvat.core.paths import NameRules
from asynccvat.core.planning import FolderState
from asynccvat.core.receipts import MemberRecord, Receipt, ReceiptHead, after_upload
from asynccvat.core.units import number_of_bytes
from asynccvat.errors import ConfigError, DiskFullError, StoreError
from asynccvat.store import names, trees
from asynccvat.store.commit import (
    Committed,
    CommitTree,
    MoveFolder,
    Operation,
    RemoveFolder,
)
from asynccvat.store.group import run_group
from asynccvat.store.grouping import Groups
from asynccvat.store.kept_archives import KeptArchives
from asynccvat.store.layout import (
    NOT_THERE,
    OWN_FOLDER,
    Layout,
    is_folder_name,
)
from asynccvat.store.lock import Lock, acquire
from asynccvat.store.opening import (
    Destination,
    check_destination,
    find_layout,
    open_layout,
    settle,
)
from asynccvat.store.recovery import recover
from asynccvat.store.staging import KEEP_ABOVE, Staging, discard, is_unfinished, new_staging
from asynccvat.threads import in_limited_thread, in_thread

T = TypeVar("T")
Item = TypeVar("Item")

_THREADS = 4
_CHUNK = 512
# How many times longer than its processor time a look at files takes where it waits for the disk.
_DISK_WAITS = 4
_OF_ONE_FOLDER = (errno.EACCES, errno.EPERM, errno.EIO)


class MirrorStore:
    """A destination, held by its lock.

    Attributes:
        path: The destination.
        rules: What names it can hold, found out by trial.
        archives: The archives that are kept as they came.
        warnings: What the user ought to know about the destination: receipts that are damaged,
            what recovery put aside.
    """

    def __init__(self, layout: Layout, lock: Lock | None, rules: NameRules) -> None:
        self.path = layout.path
        self.rules = rules
        self.archives = KeptArchives(layout)
        self.warnings: list[str] = []
        self._layout = layout
        self._lock = lock
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._groups = Groups(
            self._run_group,
            self._limiter,
            grouped=layout.durable,
            under_way=lambda: len(self._active),
        )
        self._active: set[int] = set()

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
        """Open a destination, making it where it is not there yet.

        Args:
            dest: The folder. Where it is a link, that is the user's own and is followed.
            origin: Scheme, host and port of the server.
            organization: Slug, "" for the personal workspace, None for everything visible.
            durable: Sync to disk before anything counts as done.
            break_lock: Take the lock over from whoever has it.
            read_only: Only look: nothing is made, locked or put right, and another process may
                be writing meanwhile. What would change anything raises `StoreError` then.

        Raises:
            ConfigError: It mirrors another server or organization, or this is Windows.
            StoreLockedError: Somebody else is writing to it.
            DiskFullError: There is no room left for even the small files of the store.
            StoreError: It cannot be read or written.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "mirroring needs Linux or macOS: on Windows, run it under WSL "
                "(the Windows Subsystem for Linux)"
            )
        wanted = Destination(origin=origin, organization=organization)
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
        finally:
            # Also where a cancellation came while it was being opened.
            for store in stores:
                await in_limited_thread(store._limiter, store._close)  # noqa: SLF001 - our own

    # --- what is here -----------------------------------------------------------------------

    async def receipts(self) -> dict[int, ReceiptHead]:
        """Read line 1 of every receipt.

        A damaged one becomes a warning and counts as absent: its folder is nobody's then.
        """
        ids = await self._in_thread("read", self._layout.receipt_ids)
        heads: dict[int, ReceiptHead] = {}
        for found, problems in await self._in_chunks(self._read_heads, ids):
            heads |= found
            self.warnings += problems
        self._layout.set_claims({head.folder: task_id for task_id, head in heads.items()})
        return heads

    def _read_heads(self, ids: Sequence[int]) -> tuple[dict[int, ReceiptHead], list[str]]:
        heads, problems = {}, []
        for task_id in ids:
            try:
                heads[task_id] = self._layout.head(task_id)
            except FileNotFoundError:
                continue
            except (StoreError, OSError) as error:
                problems.append(
                    f"the receipt of task {task_id} cannot be used ({error}): its folder counts "
                    "as not asynccvat's; adopt (--adopt) fetches it again and puts aside what it "
                    "holds"
                )
        return heads, problems

    async def folder_states(self, heads: Iterable[ReceiptHead]) -> dict[int, FolderState]:
        """Look at the folders of receipts: one look at the name, size and time of each member."""
        states: dict[int, FolderState] = {}
        for found in await self._in_chunks(self._look_at_folders, list(heads)):
            states |= found
        return states

    def _look_at_folders(self, heads: Sequence[ReceiptHead]) -> dict[int, FolderState]:
        states = {}
        for head in heads:
            try:
                members = self._layout.receipt(head.task_id).members
            except StoreError:
                # Without its members nobody can say that it is intact.
                states[head.task_id] = FolderState.MISSING
                continue
            try:
                states[head.task_id] = trees.folder_state(
                    head.folder, members, dir_fd=self._layout.dest
                )
            except OSError as error:
                if error.errno not in _OF_ONE_FOLDER:
                    raise
                # Whatever closed or broke it was not us; one folder does not stop the others.
                states[head.task_id] = FolderState.EDITED
                problem = files.explain(
                    error, "look at", self.path / head.folder, task_id=head.task_id
                )
                self.warnings.append(str(problem))
        return states

    async def members(self, task_id: int) -> tuple[MemberRecord, ...]:
        """Read what a task's folder held when it was committed.

        Raises:
            StoreError: There is no receipt, or it is damaged.
        """
        receipt = await self._in_thread("read", self._layout.receipt, task_id)
        return receipt.members

    async def unclaimed(self, folder_names: Iterable[str]) -> set[str]:
        """Tell which of these names exist in the destination with no receipt claiming them."""
        found: set[str] = set()
        for names_found in await self._in_chunks(self._look_for, list(folder_names)):
            found |= names_found
        return found

    def _look_for(self, folder_names: Sequence[str]) -> set[str]:
        layout = self._layout
        if layout.dest == NOT_THERE:
            return set()
        return {
            name
            for name in folder_names
            if is_folder_name(name)
            and files.lstat(name, dir_fd=layout.dest) is not None
            and layout.claimed_by(name) is None
        }

    async def free_bytes(self) -> int:
        """Bytes that this user can still write to the destination."""
        return await self._in_thread("look at", files.free_bytes, self._layout.dest)

    async def ensure_space(self, needed: int, *, task_id: int | None = None) -> None:
        """Make sure that so many bytes can still be written.

        Raises:
            DiskFullError: They cannot.
        """
        check_space(await self.free_bytes(), needed, self.path, task_id=task_id)

    # --- changing it ------------------------------------------------------------------------

    async def stage(self, task_id: int) -> Staging:
        """Make a fresh tree to fill, and find what can be taken over into it.

        Raises:
            StoreError: It cannot be made, or the task is staged already.
        """
        self._begin(task_id)
        try:
            await self._put_right(task_id)
            return await self._in_thread(
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
        """Give up what was staged while it was cancelled: nobody has got it."""
        try:
            await self._in_thread("clear", self._abandon, task_id, True, task_id=task_id)
        except StoreError as error:
            cancelled.add_note(str(error))

    async def commit(self, staging: Staging, receipt: Receipt, *, adopt: bool = False) -> Committed:
        """Put a staged tree in its place, together with others that come at the same time.

        Cancelled, it was either done whole or not at all; `abandon` is right after both.

        Args:
            staging: The tree, filled and checked.
            receipt: What it is; its members with size and time as they are on disk.
            adopt: Take the folder over where something that is not ours stands there.

        Raises:
            ForeignFolderError: Something that is not ours stands there.
            StoreLockedError: The lock was taken over by somebody else.
            DiskFullError: The disk is full.
            StoreError: It could not be done; nothing has changed, or the next `stage` or run puts
                it right.
        """
        if staging.settled:
            raise StoreError(
                f"task {staging.task_id}: what was staged is committed or abandoned already",
                task_id=staging.task_id,
                step="commit",
            )
        if staging.attempted:
            await self._put_right(staging.task_id)
        staging.attempted = True
        operation = CommitTree(self._layout, staging.task_id, staging, receipt, adopt)
        try:
            return await self._join(operation)
        finally:
            if operation.recorded:
                staging.settled = True
                self._active.discard(staging.task_id)

    async def abandon(self, staging: Staging, *, keep: bool) -> None:
        """End a staging that is not to be committed. After a commit it does nothing.

        Args:
            staging: The tree.
            keep: Leave it to the next run, if it holds more than 16 MiB.
        """
        if staging.settled:
            return
        staging.settled = True
        try:
            await self._in_thread(
                "clear", self._abandon, staging.task_id, keep, task_id=staging.task_id
            )
        finally:
            self._active.discard(staging.task_id)

    def _abandon(self, task_id: int, keep: bool) -> None:
        if self._lock is not None and not self._lock.is_ours():
            return  # what is staged now is that of whoever took the lock over
        if self._layout.sync_failure is not None:
            return  # nobody knows what is on the disk: the next run puts it right
        self._recover(task_id)
        discard(self._layout.staging, str(task_id), keep_above=KEEP_ABOVE if keep else None)

    async def move(self, head: ReceiptHead, folder: str) -> Committed:
        """Rename a task's folder.

        Raises:
            ForeignFolderError: Something that is not ours has the new name.
            StoreError: Another task's folder has it, the old one is gone, or as `commit`.
        """
        return await self._alone(MoveFolder(self._layout, head.task_id, head, folder))

    async def remove(self, head: ReceiptHead) -> Committed:
        """Remove a task's folder and receipt; files that are not as we made them go to `kept/`.

        Raises:
            StoreError: As `commit`.
        """
        return await self._alone(RemoveFolder(self._layout, head.task_id, head))

    async def note_upload(
        self, task_id: int, uploaded: Sequence[MemberRecord], *, updated_date: str | None = None
    ) -> None:
        """Let a task's receipt know that files of its folder were uploaded as they are now.

        Args:
            task_id: The task.
            uploaded: The files, as they were read, with paths relative to the folder.
            updated_date: The task's, where that is known to be the upload's own doing.

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
            await self._put_right(task_id)
            await self._in_thread("write the receipt in", note, task_id=task_id)
        finally:
            self._active.discard(task_id)

    async def sweep(self, planned: Collection[int]) -> None:
        """Remove what interrupted runs left in staging, but for trees worth keeping.

        Args:
            planned: The tasks that are going to be fetched; theirs are kept above 16 MiB.
        """
        await self._in_thread("sweep", self._sweep, frozenset(planned))

    def _sweep(self, planned: frozenset[int]) -> None:
        self._verify()
        for name in files.names(self._layout.staging):
            task_id = _task_of(name)
            if task_id in self._active:
                continue
            try:
                if task_id is not None and self._is_unfinished(name):
                    continue  # recovery failed, and a warning says so
                keep_above = KEEP_ABOVE if task_id in planned else None
                discard(self._layout.staging, name, keep_above=keep_above)
            except OSError as error:
                problem = files.explain(error, "sweep", self._layout.staging_path / name)
                self.warnings.append(str(problem))

    # --- inside -------------------------------------------------------------------------------

    def _begin(self, task_id: int) -> None:
        if self._lock is None:
            raise StoreError(f"{self.path} was opened for looking only", step="store")
        if task_id in self._active:
            raise StoreError(
                f"task {task_id} is under way already: commit or abandon that first",
                task_id=task_id,
                step="stage",
            )
        self._active.add(task_id)

    async def _alone(self, operation: Operation) -> Committed:
        """Do an operation on a task that is not staged."""
        self._begin(operation.task_id)
        try:
            await self._put_right(operation.task_id)
            return await self._join(operation)
        finally:
            self._active.discard(operation.task_id)

    async def _put_right(self, task_id: int) -> None:
        def put_right() -> None:
            self._verify()
            self._recover(task_id)

        await self._in_thread("put right", put_right, task_id=task_id)

    async def _join(self, operation: Operation) -> Committed:
        await self._groups.join(operation)
        return Committed(operation.path, tuple(operation.warnings))

    def _run_group(self, operations: Sequence[Operation]) -> None:
        self._verify()
        run_group(self._layout, operations)

    def _verify(self) -> None:
        """Make sure that the lock is ours, and that what was synced so far is durable."""
        if self._lock is not None:
            with files.explained("look at the lock of", self.path):
                self._lock.verify()
        with files.explained("make durable what came to", self.path):
            self._layout.check_sync()

    def _is_unfinished(self, name: str) -> bool:
        if not trees.is_folder(name, dir_fd=self._layout.staging):
            return False
        with files.folder(name, dir_fd=self._layout.staging) as area:
            return is_unfinished(area)

    def _recover(self, task_id: int) -> None:
        if self._is_unfinished(str(task_id)):
            self.warnings += recover(self._layout, task_id)

    def _recover_all(self) -> None:
        for name in files.names(self._layout.staging):
            task_id = _task_of(name)
            if task_id is not None:
                try:
                    self._recover(task_id)
                except OSError as error:
                    # The task's own fetch meets it again; the others go on.
                    problem = files.explain(
                        error, "put right", self._layout.staging_path / name, task_id=task_id
                    )
                    self.warnings.append(str(problem))

    def _close(self) -> None:
        try:
            if self._lock is not None:
                self._lock.release()
        finally:
            self._layout.close()

    async def _in_thread(
        self,
        doing: str,
        call: Callable[..., T],
        *args: object,
        task_id: int | None = None,
    ) -> T:
        def explained() -> T:
            with files.explained(doing, self.path, task_id=task_id):
                return call(*args)

        return await in_limited_thread(self._limiter, explained)

    async def _in_chunks(
        self, call: Callable[[Sequence[Item]], T], items: Sequence[Item]
    ) -> list[T]:
        """Run a call over many things, some at a time, and in several threads if the disk waits.

        Where all is in memory, threads would only wait for each other: the interpreter runs one at
        a time, and handing over at each look at a file costs more than the look itself.
        """
        results: list[T] = []
        at_once = anyio.CapacityLimiter(1)

        def timed(chunk: Sequence[Item]) -> tuple[T, bool]:
            began, busy = time.perf_counter(), time.thread_time()
            result = call(chunk)
            busy = time.thread_time() - busy
            return result, time.perf_counter() - began > _DISK_WAITS * busy

        async def run(chunk: Sequence[Item]) -> None:
            async with at_once:
                result, waited = await self._in_thread("read", timed, chunk)
            results.append(result)
            if waited:
                at_once.total_tokens = _THREADS

        try:
            async with anyio.create_task_group() as group:
                for start in range(0, len(items), _CHUNK):
                    group.start_soon(run, items[start : start + _CHUNK])
        except* StoreError as errors:
            problem: BaseException = errors
            while isinstance(problem, BaseExceptionGroup):
                problem = problem.exceptions[0]
            raise problem from None
        return results


def check_space(free: int, needed: int, path: Path, *, task_id: int | None = None) -> None:
    """Compare what is needed with what is free, both in bytes.

    Raises:
        DiskFullError: More is needed.
    """
    if needed > free:
        whose = "" if task_id is None else f"task {task_id}: "
        raise DiskFullError(
            f"{whose}{number_of_bytes(needed)} are needed in {path}, and {number_of_bytes(free)} "
            "are free; free some space (what is whole stays), then run again",
            task_id=task_id,
            step="store",
        )


def _open(
    cls: type[MirrorStore], dest: Path, wanted: Destination, *, durable: bool, break_lock: bool
) -> MirrorStore:
    with files.explained("use", dest), contextlib.ExitStack() as opened:
        layout = open_layout(dest, durable=durable)
        opened.callback(layout.close)
        lock = acquire(layout.own, dest, break_lock=break_lock)
        opened.callback(lock.release)
        settle(layout)
        check_destination(layout, wanted)
        rules = names.probe(layout.staging, str(dest.absolute() / OWN_FOLDER))
        store = cls(layout, lock, rules)
        store._recover_all()
        opened.pop_all()
    return store


def _look(cls: type[MirrorStore], dest: Path, wanted: Destination) -> MirrorStore:
    with files.explained("look at", dest), contextlib.ExitStack() as opened:
        layout = find_layout(dest)
        opened.callback(layout.close)
        check_destination(layout, wanted, create=False)
        rules = NameRules()
        if layout.dest != NOT_THERE:
            rules = names.guess(layout.dest, str(dest.absolute()))
        opened.pop_all()
    return cls(layout, None, rules)


def _task_of(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdecimal() and str(int(name)) == name else None
