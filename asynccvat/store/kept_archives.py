"""Keep archives unchanged in `.asynccvat/archives/`: `--keep-archive`.

They lie in asynccvat's own folder, where no file of the user is in the way. An archive under its
final name is whole.

- It is published right before its task's folder, and replaces the earlier archive.
- The earlier archive has a second name until the folder is committed. It is restored if the commit
  fails.
- If a task is fetched and its archive is not to be kept, the earlier archive is removed. So, except
  for a moment, no archive differs from its folder.

Each change checks first that the destination's lock is still ours.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.fs import disk_errors, files
from asynccvat.store.disk_threads import DiskThreads
from asynccvat.store.layout import Layout

P = ParamSpec("P")
T = TypeVar("T")

_FOLDER = "archives"
_EARLIER = ".before"


@dataclass(frozen=True, slots=True)
class UnfinishedArchive:
    """The file that an archive is written to while it is downloaded.

    Attributes:
        path: Its path, for messages.
        open_folder: Opens the folder that holds it, if the lock is ours.
    """

    path: Path
    open_folder: Callable[[], AbstractContextManager[int]]

    def create(self) -> int:
        """Create the file, and return its handle.

        Raises:
            StoreLockedError: Another process took over the lock.
            OSError: It exists, or as the system says.
        """
        with self.open_folder() as fd:
            return files.open_for_writing(self.path.name, dir_fd=fd)

    def remove(self) -> None:
        """Remove the file.

        Raises:
            StoreLockedError: As `create`.
            OSError: As the system says.
        """
        with self.open_folder() as fd:
            files.unlink(self.path.name, dir_fd=fd)


class KeptArchives:
    """The kept archives of a destination."""

    def __init__(self, layout: Layout, verify_lock: Callable[[], None]) -> None:
        """Prepare to keep archives. The first archive creates the folder.

        Args:
            layout: The destination.
            verify_lock: Raises if the lock is no longer ours.
        """
        self.path = layout.path / OWN_FOLDER / _FOLDER
        self._layout = layout
        self._verify_lock = verify_lock
        self._threads = DiskThreads(self.path, 1)
        # Tasks whose new archive has its final name, but whose folder is not committed yet.
        self._published: set[int] = set()

    async def begin(self, task_id: int) -> UnfinishedArchive:
        """Prepare the file that a task's archive is written to.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: The folder cannot be created or changed.
        """
        return await self._threads.run("prepare an archive in", self._begin, task_id)

    async def publish(self, task_id: int) -> None:
        """Give the archive that was written its final name.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: It cannot be renamed or synced.
        """
        await self._threads.run("keep an archive in", self._publish, task_id)

    async def drop_earlier(self, task_id: int) -> None:
        """Remove the earlier archive, now that the folder of the new one is committed.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: It cannot be removed.
        """
        await self._threads.run("remove from", self._drop_earlier, task_id)

    async def roll_back(self, task_id: int) -> None:
        """Remove the new archive, and restore the earlier one if there was one.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: The archive cannot be restored.
        """
        await self._threads.run("restore the earlier archive in", self._roll_back, task_id)

    async def sweep(self) -> None:
        """Remove earlier archives that killed runs left behind.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: One cannot be removed.
        """
        await self._threads.run("sweep", self._sweep)

    async def remove(self, task_ids: Collection[int]) -> None:
        """Remove the archives of tasks that have one.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: One cannot be removed.
        """
        await self._threads.run("remove from", self._remove, task_ids)

    def _begin(self, task_id: int) -> UnfinishedArchive:
        self._published.discard(task_id)
        if files.lstat(_FOLDER, dir_fd=self._layout.own) is None:
            self._verify_lock()
            # Another task may begin its archive at the same time.
            with contextlib.suppress(FileExistsError):
                files.mkdir(_FOLDER, dir_fd=self._layout.own)
            self._layout.sync_folder(self._layout.own)
        with self._open() as fd:
            _unlink((_unfinished(task_id), _earlier(task_id)), fd)
        return UnfinishedArchive(self.path / _unfinished(task_id), self._open)

    def _publish(self, task_id: int) -> None:
        with self._open() as fd:
            archive = files.open_for_reading(_unfinished(task_id), dir_fd=fd)
            try:
                self._layout.sync_folder(archive)
            finally:
                os.close(archive)
            if files.lstat(_name(task_id), dir_fd=fd) is not None:
                _keep_earlier(task_id, fd)
            files.rename(_unfinished(task_id), _name(task_id), dir_fd=fd, new_dir_fd=fd)
            self._published.add(task_id)
            self._layout.sync_folder(fd)

    def _drop_earlier(self, task_id: int) -> None:
        self._published.discard(task_id)
        with self._open() as fd:
            _unlink((_earlier(task_id),), fd)

    def _roll_back(self, task_id: int) -> None:
        name, earlier = _name(task_id), _earlier(task_id)
        with self._open() as fd:
            if task_id not in self._published:
                _unlink((_unfinished(task_id), earlier), fd)
            elif files.lstat(earlier, dir_fd=fd) is not None:
                files.rename(earlier, name, dir_fd=fd, new_dir_fd=fd)
            else:
                _unlink((name,), fd)
            self._published.discard(task_id)
            self._layout.sync_folder(fd)

    def _sweep(self) -> None:
        if files.lstat(_FOLDER, dir_fd=self._layout.own) is None:
            return
        with self._open() as fd:
            for name in files.names(fd, ordered=False):
                if name.endswith(_EARLIER):
                    files.unlink(name, dir_fd=fd)

    def _remove(self, task_ids: Collection[int]) -> None:
        if files.lstat(_FOLDER, dir_fd=self._layout.own) is None:
            return
        with self._open() as fd:
            for task_id in task_ids:
                _unlink((_name(task_id), _unfinished(task_id), _earlier(task_id)), fd)
            # Without a sync, a power cut may bring an archive back, next to the new folder.
            # So may one that a killed run had removed, so sync even if nothing was removed now.
            self._layout.sync_folder(fd)

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Open the folder; every change in it goes through this."""
        self._verify_lock()
        with files.folder(_FOLDER, dir_fd=self._layout.own) as fd:
            yield fd


def archived_tasks(layout: Layout) -> frozenset[int]:
    """Return the tasks whose archives are kept."""
    if files.lstat(_FOLDER, dir_fd=layout.own) is None:
        return frozenset()
    with files.folder(_FOLDER, dir_fd=layout.own) as fd:
        names = files.names(fd, ordered=False)
    stems = {name.removesuffix(".zip") for name in names if name.endswith(".zip")}
    return frozenset(int(stem) for stem in stems if stem.isascii() and stem.isdecimal())


def _keep_earlier(task_id: int, fd: int) -> None:
    """Give a task's archive a second name, if the file system supports links."""
    try:
        files.link(_name(task_id), _earlier(task_id), dir_fd=fd, new_dir_fd=fd)
    except OSError as error:
        if not disk_errors.is_link_refused(error):
            raise


def _unlink(names: Iterable[str], fd: int) -> None:
    for name in names:
        if files.lstat(name, dir_fd=fd) is not None:
            files.unlink(name, dir_fd=fd)


def _name(task_id: int) -> str:
    return f"{task_id}.zip"


def _unfinished(task_id: int) -> str:
    return f"{task_id}.zip.part"


def _earlier(task_id: int) -> str:
    return f"{task_id}.zip{_EARLIER}"
