"""LooseFolder: the folder of one downloaded task, outside of any mirror.

The folder is whole or absent. Until the end, the staging lies in a hidden folder next to it. There
are no receipts, so a folder that holds something is replaced only on request, and then quarantined;
see `quarantine`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from asynccvat.aio.threads import in_thread
from asynccvat.core.paths import OWN_FOLDER, NameRules
from asynccvat.core.records.receipts import Receipt
from asynccvat.errors import ConfigError, ForeignFolderError, StoreLockedError
from asynccvat.fs import disk_errors, files, system_calls
from asynccvat.store import name_probe, trees
from asynccvat.store.commits.changes import Committed, check_unchanged
from asynccvat.store.commits.group_run import SYNCFS_FROM
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.layout import TREE
from asynccvat.store.lock import EXCLUSIVE_NAME, LOCK_NAME, Lock, acquire
from asynccvat.store.opening import make_folders, remove_created, sync_above
from asynccvat.store.quarantine import clear_copies, quarantine
from asynccvat.store.staging import KEEP_ABOVE, Staging, discard, stage_in, staged_trees, sync_tree

T = TypeVar("T")

_AREA = "staging"


@dataclass
class _OpenFolders:
    path: Path
    hidden_name: str
    parent: int
    hidden: int
    lock: Lock


class LooseFolder:
    """A folder to be filled, under a lock in its hidden sibling: a `TaskStore`.

    Attributes:
        path: The folder, as the user named it.
        rules: What names its file system can hold.
    """

    def __init__(
        self, path: Path, places: _OpenFolders, rules: NameRules, *, durable: bool, replace: bool
    ) -> None:
        self.path = path
        self.rules = rules
        self._opened = places
        self._durable = durable
        self._replace = replace
        self._threads = DiskThreads(path, 1)
        self._kept = False

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, path: Path | str, *, durable: bool = True, replace: bool = False
    ) -> AsyncIterator[LooseFolder]:
        """Lock a folder to be filled, and create missing folders above it.

        Args:
            path: The folder; it may exist if it is empty.
            durable: Sync to disk before the folder counts as done.
            replace: It may hold files. They are quarantined, except those that the new folder
                holds, too.

        Raises:
            ConfigError: The path cannot be that of a task's folder, or this is Windows.
            ForeignFolderError: The folder is not empty.
            StoreLockedError: Another process is downloading to it.
            StoreError: It cannot be read or written.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "downloading to folders needs Linux or macOS. On Windows, run it under WSL "
                "(the Windows Subsystem for Linux)."
            )
        folders: list[LooseFolder] = []

        def opening() -> None:
            folders.append(_open(cls, Path(path), durable=durable, replace=replace))

        try:
            await in_thread(opening)
            yield folders[0]
        finally:
            for folder in folders:
                await folder._threads.run("clear", folder._close)  # noqa: SLF001 - our own

    @staticmethod
    async def contents(path: Path) -> tuple[str, ...]:
        """Return the paths of the files in a folder; none if it does not exist.

        Raises:
            StoreError: It is no folder, or cannot be read.
        """

        def look() -> tuple[str, ...]:
            if not os.path.lexists(path):
                return ()  # also if a folder above it is a file, which `check_parent` finds
            with disk_errors.explained("read", path), contextlib.suppress(FileNotFoundError):
                fd = files.open_directory(path)
                try:
                    return tuple(name for name, _ in trees.regular_files("", dir_fd=fd))
                finally:
                    os.close(fd)
            return ()

        return await in_thread(look)

    @staticmethod
    async def check_parent(path: Path, *, durable: bool = True) -> tuple[Path, ...]:
        """Create the folder above a path if it is missing, and check that it can be written to.

        Returns:
            The folders that were missing.

        Raises:
            StoreError: It cannot be created or written to.
        """

        def check() -> tuple[Path, ...]:
            parent = path.absolute().parent
            with disk_errors.explained("write to", parent):
                created = make_folders(parent, durable=False)
                if durable:
                    sync_above(parent)
                if not os.access(parent, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return created

        return await in_thread(check)

    @staticmethod
    async def remove_created(folders: Iterable[Path]) -> None:
        """Remove those of the folders that `check_parent` created and that are empty."""
        await in_thread(remove_created, folders)

    @staticmethod
    async def clear_leftovers(path: Path) -> None:
        """Remove the hidden folder of a download that was killed after its commit.

        The hidden folder of a download that is running is left alone.

        Raises:
            StoreError: It cannot be removed.
        """

        def clear() -> None:
            with disk_errors.explained("remove the leftovers of a killed download next to", path):
                _clear_leftovers(path.absolute())

        await in_thread(clear)

    async def stage(self, task_id: int) -> Staging:
        """Make a fresh tree to fill, and find files of a killed download to reuse.

        Raises:
            StoreError: It cannot be made.
        """
        return await self._threads.run("stage in", self._stage, task_id, task_id=task_id)

    def _stage(self, task_id: int) -> Staging:
        base = self._opened.path.parent / self._opened.hidden_name
        return stage_in(self._opened.hidden, _AREA, base, task_id=task_id)

    async def commit(
        self,
        staging: Staging,
        receipt: Receipt,
        *,
        adopt: bool = False,  # noqa: ARG002 - of the protocol; there is nothing to adopt here
    ) -> Committed:
        """Give the staged tree its final name.

        A cancelled commit is either done whole, or not done at all.

        Raises:
            ForeignFolderError: Another program has put files into the folder.
            StoreError: The commit failed, and nothing has changed.
        """
        return await self._threads.run(
            "commit to", self._commit, staging, receipt, task_id=staging.task_id
        )

    def _commit(self, staging: Staging, receipt: Receipt) -> Committed:
        places, name = self._opened, self._opened.path.name
        places.lock.verify()
        quarantined = None
        with files.folder(_AREA, dir_fd=places.hidden) as area:
            if self._durable:
                _sync_tree(area, len(receipt.members))
            check_unchanged(area, receipt)
            if self._replace:
                quarantined = quarantine(name, dir_fd=places.parent)
            _refuse_filled(places.parent, places.path)
            try:
                files.rename(TREE, name, dir_fd=area, new_dir_fd=places.parent)
            except OSError as error:
                if trees.is_not_empty(error):
                    raise _filled(self.path) from error
                if quarantined is not None:
                    files.rename(quarantined, name, dir_fd=places.parent, new_dir_fd=places.parent)
                raise
            staging.ended = True
            if self._durable:
                # The rename changed both folders; syncing one need not make the other durable.
                for fd in (places.parent, area):
                    files.fsync(fd)
        return Committed(self.path, () if quarantined is None else self._clear(quarantined))

    def _clear(self, quarantined: str) -> tuple[str, ...]:
        """Remove files of the replaced folder that the new one holds, too.

        The new folder is committed, so an error is only a warning.

        Returns:
            Warnings: where the rest of the replaced folder is.
        """
        places, place = self._opened, self.path.with_name(quarantined)
        try:
            left = clear_copies(quarantined, places.path.name, dir_fd=places.parent)
        except OSError as error:
            problem = disk_errors.explain(error, "clear", place)
            most = f"its earlier files are in {str(place)!r}"
            return (f"{most}, except those that were removed: {problem}",)
        return (f"earlier files that it no longer holds are in {str(place)!r}",) if left else ()

    async def abandon(self, staging: Staging, *, keep: bool) -> None:
        """Give a staged tree up. After a commit this does nothing.

        Args:
            staging: The tree.
            keep: Leave it for the next download to reuse, if it holds more than 16 MiB.

        Raises:
            StoreError: It cannot be cleared.
        """
        if not staging.ended:
            staging.ended = True
            await self._threads.run("clear", self._abandon, keep)

    def _abandon(self, keep: bool) -> None:
        keep_above = KEEP_ABOVE if keep else None
        self._kept = not discard(self._opened.hidden, _AREA, keep_above=keep_above)

    def _close(self) -> None:
        places = self._opened
        try:
            try:
                if not self._kept:
                    discard(places.hidden, _AREA, keep_above=None)
            finally:
                places.lock.release(remove=not self._kept)
            # If another process has started by now, the hidden folder is not empty, and stays.
            trees.remove_if_empty(places.hidden_name, dir_fd=places.parent)
        finally:
            _close_folders(places)


def _open(cls: type[LooseFolder], path: Path, *, durable: bool, replace: bool) -> LooseFolder:
    named, path = path, path.absolute()
    if path.name in ("", "..") or path.name.startswith(OWN_FOLDER):
        raise ConfigError(f"{str(path)!r} cannot be the folder of a task. Name another folder.")
    with disk_errors.explained("use", path), contextlib.ExitStack() as opened:
        make_folders(path.parent, durable=durable)
        parent = files.open_directory(path.parent)
        opened.callback(os.close, parent)
        if not (replace and trees.is_folder(path.name, dir_fd=parent)):
            _refuse_filled(parent, path)
        hidden_name = _hidden_name(path)
        if files.lstat(hidden_name, dir_fd=parent) is None:
            # Another process may create it at the same time, as the lock is not taken yet.
            with contextlib.suppress(FileExistsError):
                files.mkdir(hidden_name, dir_fd=parent)
        hidden = files.open_folder(hidden_name, dir_fd=parent)
        opened.callback(os.close, hidden)
        lock = acquire(hidden, path)
        opened.callback(trees.remove_if_empty, hidden_name, dir_fd=parent)
        opened.callback(lock.release, remove=True)
        for name in files.names(hidden):
            if name not in (LOCK_NAME, EXCLUSIVE_NAME, _AREA):
                trees.remove(name, dir_fd=hidden)  # left by a download that was killed at the start
        rules = name_probe.probe(hidden, str(path.parent / hidden_name))
        places = _OpenFolders(path, hidden_name, parent, hidden, lock)
        folder = cls(named, places, rules, durable=durable, replace=replace)
        opened.pop_all()
    return folder


def _clear_leftovers(path: Path) -> None:
    with contextlib.ExitStack() as opened:
        parent = files.open_directory(path.parent)
        opened.callback(os.close, parent)
        name = _hidden_name(path)
        if not trees.is_folder(name, dir_fd=parent):
            return
        hidden = files.open_folder(name, dir_fd=parent)
        opened.callback(os.close, hidden)
        try:
            lock = acquire(hidden, path)
        except StoreLockedError:
            return
        try:
            discard(hidden, _AREA, keep_above=None)
        finally:
            lock.release(remove=True)
        trees.remove_if_empty(name, dir_fd=parent)


def _hidden_name(path: Path) -> str:
    return f".{path.name}{OWN_FOLDER}"


def _refuse_filled(parent: int, path: Path) -> None:
    status = files.lstat(path.name, dir_fd=parent)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        raise _filled(path)
    with files.folder(path.name, dir_fd=parent) as fd:
        if files.names(fd):
            raise _filled(path)


def _filled(path: Path) -> ForeignFolderError:
    return ForeignFolderError(
        f"{str(path)!r} holds something already, and a download replaces nothing. "
        "Move it away, or name another folder.",
        step="commit",
    )


def _sync_tree(area: int, members: int) -> None:
    try:
        if members >= SYNCFS_FROM and system_calls.can_sync_filesystem(area):
            files.sync_filesystem(area)
        else:
            sync_tree(area, fsync=files.fsync)
    except OSError:
        # Their content may not be on disk, and a second sync may not tell. So nothing of them may
        # be reused.
        for name in staged_trees(area):
            trees.remove(name, dir_fd=area)
        raise


def _close_folders(places: _OpenFolders) -> None:
    os.close(places.hidden)
    os.close(places.parent)
