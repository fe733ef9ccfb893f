"""Archives that are kept as they came, in `.asynccvat/archives/`: `--keep-archive`.

In our own folder, so that no file of the user's is ever in the way. An archive that has its name
is whole. It is published right before its task's folder, in the place of an earlier one, which has
a second name until then and comes back where that fails for good. Where a task is to be fetched and
its archive not kept, it is removed: so it does not outlive what the folder holds, but for the
instant between. Whoever lost the destination's lock changes nothing here any more.
"""

from __future__ import annotations

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
    """The file that an archive is kept in while it comes.

    Attributes:
        path: Where it is, for messages.
        open_folder: Holds the folder open that it lies in, if the lock is ours.
    """

    path: Path
    open_folder: Callable[[], AbstractContextManager[int]]

    def create(self) -> int:
        """Make it, and return its handle.

        Raises:
            StoreLockedError: The lock was taken over by somebody else.
            OSError: It is there already, or as the system says.
        """
        with self.open_folder() as fd:
            return files.open_for_writing(self.path.name, dir_fd=fd)

    def remove(self) -> None:
        """Remove it.

        Raises:
            StoreLockedError: As `create`.
            OSError: As the system says.
        """
        with self.open_folder() as fd:
            files.unlink(self.path.name, dir_fd=fd)


class KeptArchives:
    """The kept archives of a destination."""

    def __init__(self, layout: Layout, verify_lock: Callable[[], None]) -> None:
        """Keep archives of a destination; nothing is made before the first one comes.

        Args:
            layout: The destination.
            verify_lock: Raises where its lock is not ours any more.
        """
        self.path = layout.path / OWN_FOLDER / _FOLDER
        self._layout = layout
        self._verify_lock = verify_lock
        self._threads = DiskThreads(self.path, 1)
        # Tasks whose new archive has its name, while their folder is not known to be in its place.
        self._published: set[int] = set()

    async def begin(self, task_id: int) -> UnfinishedArchive:
        """Make room for a task's archive, and say where it is to be written.

        Raises:
            StoreLockedError: The lock was taken over by somebody else.
            StoreError: The folder cannot be made or changed.
        """
        return await self._threads.run("make room in", self._begin, task_id)

    async def publish(self, task_id: int) -> None:
        """Give the archive that was written its name.

        Raises:
            StoreLockedError: The lock was taken over by somebody else.
            StoreError: It cannot be renamed or synced.
        """
        await self._threads.run("keep an archive in", self._publish, task_id)

    async def drop_earlier(self, task_id: int) -> None:
        """Let the earlier archive go: the folder of the one that was published is in its place.

        Raises:
            StoreLockedError: The lock was taken over by somebody else.
            StoreError: It cannot be removed.
        """
        await self._threads.run("remove from", self._drop_earlier, task_id)

    async def roll_back(self, task_id: int) -> None:
        """Let the earlier archive have its name again, if there was one: the new one is not to be.

        Raises:
            StoreLockedError: The lock was taken over by somebody else.
            StoreError: It cannot be done.
        """
        await self._threads.run("take an archive back in", self._roll_back, task_id)

    async def sweep(self) -> None:
        """Remove the earlier archives that killed runs left beside those that replaced them.

        Raises:
            StoreLockedError: The lock was taken over by somebody else.
            StoreError: One cannot be removed.
        """
        await self._threads.run("sweep", self._sweep)

    async def remove(self, task_ids: Collection[int]) -> None:
        """Remove the archives of tasks, where any are kept.

        Raises:
            StoreLockedError: The lock was taken over by somebody else.
            StoreError: One cannot be removed.
        """
        await self._threads.run("remove from", self._remove, task_ids)

    def _begin(self, task_id: int) -> UnfinishedArchive:
        self._published.discard(task_id)
        if files.lstat(_FOLDER, dir_fd=self._layout.own) is None:
            self._verify_lock()
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
            # Else a power cut may bring one back, beside the folder that comes next; also one that
            # a killed run had removed.
            self._layout.sync_folder(fd)

    @contextmanager
    def _open(self) -> Iterator[int]:
        """Hold the folder open; whatever is changed in it is changed through this."""
        self._verify_lock()
        with files.folder(_FOLDER, dir_fd=self._layout.own) as fd:
            yield fd


def archived_tasks(layout: Layout) -> frozenset[int]:
    """The tasks of which an archive is kept."""
    if files.lstat(_FOLDER, dir_fd=layout.own) is None:
        return frozenset()
    with files.folder(_FOLDER, dir_fd=layout.own) as fd:
        names = files.names(fd, ordered=False)
    stems = {name.removesuffix(".zip") for name in names if name.endswith(".zip")}
    return frozenset(int(stem) for stem in stems if stem.isascii() and stem.isdecimal())


def _keep_earlier(task_id: int, fd: int) -> None:
    """Give a task's archive a second name, where the file system can."""
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
