"""LooseFolder: one folder for one task, outside of any mirror, whole or absent.

What is under way lies in a hidden folder beside the target and is gone at the end. There are no
receipts, so what is there is replaced only where that is asked for, and then put aside.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from asynccvat.aio.threads import in_thread
from asynccvat.core.paths import OWN_FOLDER, NameRules
from asynccvat.core.receipts import Receipt
from asynccvat.errors import ConfigError, ForeignFolderError, StoreLockedError
from asynccvat.fs import disk_errors, files, system_calls
from asynccvat.store import name_probe, trees
from asynccvat.store.commits.changes import Committed, check_unchanged
from asynccvat.store.commits.group_run import SYNCFS_FROM
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.layout import TREE
from asynccvat.store.lock import EXCLUSIVE_NAME, LOCK_NAME, Lock, acquire
from asynccvat.store.opening import make_folders, sync_above
from asynccvat.store.quarantine import clear_copies, quarantine
from asynccvat.store.staging import KEEP_ABOVE, Staging, discard, stage_in, staged_trees

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
    """A folder to be filled, held by a lock in its hidden sibling.

    It has the part of `MirrorStore` that a transfer needs: `rules`, `stage`, `commit`, `abandon`.

    Attributes:
        path: The folder, as it was named.
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
        """Hold a place for a folder, making the folders above it where they are not there.

        Args:
            path: The folder to be; it may exist if it is empty.
            durable: Sync to disk before it counts as done.
            replace: It may hold something, which is put aside but for what comes again.

        Raises:
            ConfigError: The path cannot be that of a folder, or this is Windows.
            ForeignFolderError: The folder holds something.
            StoreLockedError: Somebody else is downloading to it.
            StoreError: It cannot be read or written.
        """
        if sys.platform == "win32":
            raise ConfigError(
                "downloading to folders needs Linux or macOS: on Windows, run it under WSL "
                "(the Windows Subsystem for Linux)"
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
        """The paths of the files that a folder holds; none where it is not there.

        Raises:
            StoreError: It is no folder, or cannot be read.
        """

        def look() -> tuple[str, ...]:
            if not os.path.lexists(path):
                return ()  # also where a file stands above it, which `check_parent` finds
            with disk_errors.explained("look at", path), contextlib.suppress(FileNotFoundError):
                fd = files.open_directory(path)
                try:
                    return tuple(name for name, _ in trees.regular_files("", dir_fd=fd))
                finally:
                    os.close(fd)
            return ()

        return await in_thread(look)

    @staticmethod
    async def check_parent(path: Path, *, durable: bool = True) -> None:
        """Make the folder above a path, if need be, and see whether it can be written to.

        Raises:
            StoreError: It cannot be made, or not be written to.
        """

        def check() -> None:
            parent = path.absolute().parent
            with disk_errors.explained("write to", parent):
                make_folders(parent, durable=False)
                if durable:
                    sync_above(parent)
                if not os.access(parent, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        await in_thread(check)

    @staticmethod
    async def clear_leftovers(path: Path) -> None:
        """Remove what a download left beside a folder that was killed when that was whole.

        Somebody else who downloads to it meanwhile is left alone.

        Raises:
            StoreError: It cannot be removed.
        """

        def clear() -> None:
            with disk_errors.explained("clear what a killed download left beside", path):
                _clear_leftovers(path.absolute())

        await in_thread(clear)

    async def stage(self, task_id: int) -> Staging:
        """Make a fresh tree to fill, and find what a killed download left to be taken over.

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
        adopt: bool = False,  # noqa: ARG002 - as MirrorStore has it; there is nothing to adopt
    ) -> Committed:
        """Put the staged tree in its place. Cancelled, it was either done whole or not at all.

        Raises:
            ForeignFolderError: Meanwhile the folder was filled by somebody else.
            StoreError: It could not be done, and nothing has changed.
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
                # Nobody promises that one of them tells of a rename between the two.
                for fd in (places.parent, area):
                    files.fsync(fd)
        return Committed(self.path, () if quarantined is None else self._clear(quarantined))

    def _clear(self, quarantined: str) -> tuple[str, ...]:
        """Clear what was replaced of what came again; returns where the rest is, as a warning.

        The new folder is in its place: what cannot be compared or cleared of the old one stays.
        """
        places, put = self._opened, self.path.with_name(quarantined)
        try:
            left = clear_copies(quarantined, places.path.name, dir_fd=places.parent)
        except OSError as error:
            problem = disk_errors.explain(error, "clear", put)
            return (f"what it held before is in {put}, as far as it was not cleared: {problem}",)
        return (f"what it held before and does not hold now is in {put}",) if left else ()

    async def abandon(self, staging: Staging, *, keep: bool) -> None:
        """End a staging that is not to be committed. After a commit it does nothing.

        Args:
            staging: The tree.
            keep: Leave it to the next download, if it holds more than 16 MiB.

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
            # Another process may have come in between; the folder is its own then.
            trees.remove_if_empty(places.hidden_name, dir_fd=places.parent)
        finally:
            _close_folders(places)


def _open(cls: type[LooseFolder], path: Path, *, durable: bool, replace: bool) -> LooseFolder:
    named, path = path, path.absolute()
    if path.name in ("", "..") or path.name.startswith(OWN_FOLDER):
        raise ConfigError(f"{path} cannot be the folder of a task: name another one")
    with disk_errors.explained("use", path), contextlib.ExitStack() as opened:
        make_folders(path.parent, durable=durable)
        parent = files.open_directory(path.parent)
        opened.callback(os.close, parent)
        if not (replace and trees.is_folder(path.name, dir_fd=parent)):
            _refuse_filled(parent, path)
        hidden_name = _hidden_name(path)
        if files.lstat(hidden_name, dir_fd=parent) is None:
            # Another process may make it at the same time; the lock is yet to be taken.
            with contextlib.suppress(FileExistsError):
                files.mkdir(hidden_name, dir_fd=parent)
        hidden = files.open_folder(hidden_name, dir_fd=parent)
        opened.callback(os.close, hidden)
        lock = acquire(hidden, path)
        opened.callback(trees.remove_if_empty, hidden_name, dir_fd=parent)
        opened.callback(lock.release, remove=True)
        for name in files.names(hidden):
            if name not in (LOCK_NAME, EXCLUSIVE_NAME, _AREA):
                trees.remove(name, dir_fd=hidden)  # of a download that was killed at the start
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
        f"{path} holds something already, and a download replaces nothing: "
        "move it away, or name another folder",
        step="commit",
    )


def _sync_tree(area: int, members: int) -> None:
    try:
        if members >= SYNCFS_FROM and system_calls.can_sync_filesystem(area):
            files.sync_filesystem(area)
        else:
            trees.sync(TREE, dir_fd=area, fsync=files.fsync)
    except OSError:
        # What they hold may be on disk or not, and a second sync might not tell: nothing may be
        # taken over from them.
        for name in staged_trees(area):
            trees.remove(name, dir_fd=area)
        raise


def _close_folders(places: _OpenFolders) -> None:
    os.close(places.hidden)
    os.close(places.parent)
