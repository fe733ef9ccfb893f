"""List, restore and purge what a mirror has put aside in `.asynccvat`.

Listing needs no lock. Restoring and purging check before each change that the lock is ours. A
restored file is renamed, never copied: what is in its place is put aside first, so a kill in
between loses neither.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from msgspec.structs import replace

from asynccvat.core.inventory import kept
from asynccvat.core.inventory.kept import KeptItem, KeptKind
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.errors import StoreError
from asynccvat.fs import files
from asynccvat.store import trees
from asynccvat.store.layout import NOT_THERE, Layout
from asynccvat.store.own_files import OwnFiles


class PutAside(OwnFiles):
    """What a mirror has put aside."""

    async def items(self, heads: Mapping[int, ReceiptHead]) -> tuple[KeptItem, ...]:
        """List everything, by kind and name.

        Args:
            heads: The receipts, by id.

        Raises:
            StoreError: It cannot be read.
        """
        return await self._threads.run("read", list_items, self._layout, heads)

    async def purge(self, item: KeptItem) -> None:
        """Remove an item for good.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: It cannot be removed.
        """

        def purge() -> None:
            self._verify_lock()
            place, _, name = item.name.rpartition("/")
            with files.folder(place, dir_fd=self._layout.own) as fd:
                trees.remove(name, dir_fd=fd)
                self._layout.sync_folder(fd)
            if item.kind is KeptKind.HISTORY:
                outer, _, task = place.rpartition("/")
                with files.folder(outer, dir_fd=self._layout.own) as fd:
                    trees.remove_if_empty(task, dir_fd=fd)

        await self._threads.run("purge", purge, task_id=item.target_id)

    async def restore(self, item: KeptItem, folder: str) -> str | None:
        """Move the files of an item back into a folder.

        Args:
            item: An item of the quarantine or the history.
            folder: The folder that it came from.

        Returns:
            The name of a new item, which holds the files that were in the way; None if none were.

        Raises:
            StoreLockedError: Another process took over the lock.
            StoreError: A file cannot be moved.
        """

        def restore() -> str | None:
            head = None if item.target_id is None else self._layout.head_or_none(item.target_id)
            stem = folder.replace("/", "-") if head is None else kept.kept_stem(head)
            aside = _Restoring(self._layout, folder, stem, self._verify_lock).restore(item)
            return None if aside is None else f"{KeptKind.QUARANTINE}/{aside}"

        return await self._threads.run("restore into", restore, task_id=item.target_id)


def list_items(layout: Layout, heads: Mapping[int, ReceiptHead]) -> tuple[KeptItem, ...]:
    """List everything that a mirror has put aside, by kind and name. Blocks."""
    found = []
    for item, name, fd in _unmeasured(layout, heads):
        # A run may remove it at the same time.
        with contextlib.suppress(FileNotFoundError):
            found.append(_measured(item, name, fd))
    return tuple(found)


def _unmeasured(
    layout: Layout, heads: Mapping[int, ReceiptHead]
) -> Iterator[tuple[KeptItem, str, int]]:
    """Yield each item without its size, with its name in an open folder and the folder's handle."""
    flat = kept.by_kept_name(heads)
    for name, fd in _entries(KeptKind.QUARANTINE, layout.own):
        yield kept.quarantined(name, flat), name, fd
    for name, fd in _entries(KeptKind.REPLACED, layout.own):
        if (state := kept.replaced(name)) is not None:
            yield state, name, fd
    for task, versions in _entries(KeptKind.HISTORY, layout.own):
        for name, fd in _entries(task, versions):
            yield kept.version(task, name, heads), name, fd
    for name, fd in _entries(KeptKind.ARCHIVE, layout.own):
        if (archive := kept.archive(name)) is not None:
            yield archive, name, fd


def _entries(name: str, dir_fd: int) -> Iterator[tuple[str, int]]:
    """Yield the names in a folder, each with the folder's handle; nothing if there is none."""
    if dir_fd == NOT_THERE or not trees.is_folder(name, dir_fd=dir_fd):
        return
    with files.folder(name, dir_fd=dir_fd) as fd:
        for one in files.names(fd):
            yield one, fd


def _measured(item: KeptItem, name: str, dir_fd: int) -> KeptItem:
    """Add the number and size of an item's files, and its date if its name does not tell it."""
    status = files.lstat(name, dir_fd=dir_fd)
    if status is None:
        raise FileNotFoundError(name)
    sizes = [status.st_size]
    if stat.S_ISDIR(status.st_mode):
        sizes = [size for _, size in trees.regular_files(name, dir_fd=dir_fd)]
    at = item.at or _date(status.st_mtime)
    return replace(item, at=at, files=len(sizes), bytes=sum(sizes))


def _date(mtime: float) -> str | None:
    """Return a file's time as ISO 8601, None if no calendar has it."""
    try:
        return kept.iso(datetime.fromtimestamp(mtime, UTC))
    except (ValueError, OverflowError, OSError):
        return None


class _Restoring:
    """Moves the files of one item back into a folder of the mirror."""

    def __init__(
        self, layout: Layout, folder: str, stem: str, verify_lock: Callable[[], None]
    ) -> None:
        self._layout = layout
        self._folder = folder
        self._stem = stem
        self._verify_lock = verify_lock
        self._aside: str | None = None

    def restore(self, item: KeptItem) -> str | None:
        """Move them. Returns the name under which files that were in the way are put aside."""
        place, _, name = item.name.rpartition("/")
        with (
            files.folder(place, dir_fd=self._layout.own) as source,
            files.folder(self._folder, dir_fd=self._layout.dest) as target,
        ):
            if not trees.is_folder(name, dir_fd=source):
                raise StoreError(
                    f"cannot restore {item.name!r}: it is no folder. Copy it from "
                    f"{str(self._layout.path / OWN_FOLDER / item.name)!r}."
                )
            with files.folder(name, dir_fd=source) as inner:
                self._merge(inner, target, "")
            trees.remove_if_empty(name, dir_fd=source)
            self._layout.sync_folder(source)
        return self._aside

    def _merge(self, source: int, target: int, below: str) -> None:
        """Move what one open folder holds into another one."""
        for entry in files.scan(source):
            there = files.lstat(entry.name, dir_fd=target)
            if there is not None:
                if entry.is_dir(follow_symlinks=False) and stat.S_ISDIR(there.st_mode):
                    with (
                        files.folder(entry.name, dir_fd=source) as inner,
                        files.folder(entry.name, dir_fd=target) as outer,
                    ):
                        self._merge(inner, outer, f"{below}{entry.name}/")
                    trees.remove_if_empty(entry.name, dir_fd=source)
                    continue
                self._put_aside(entry.name, target, below)
            self._verify_lock()
            files.rename(entry.name, entry.name, dir_fd=source, new_dir_fd=target)
        # The new name first: a power cut in between may leave both, never neither.
        self._layout.sync_folder(target)
        self._layout.sync_folder(source)

    def _put_aside(self, name: str, target: int, below: str) -> None:
        """Move a file or folder that is in the way into a new entry of the quarantine."""
        if self._aside is None:
            self._aside = self._layout.free_kept_name(self._stem)
        self._verify_lock()
        with trees.made(f"{self._aside}/{below}".rstrip("/"), dir_fd=self._layout.kept) as aside:
            files.rename(name, name, dir_fd=target, new_dir_fd=aside)
            self._layout.sync_folder(aside)
        self._layout.sync_folder(self._layout.kept)
