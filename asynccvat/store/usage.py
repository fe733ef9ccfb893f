"""Measure the room that a destination takes, by what it is for. Blocks.

A file with several names is counted once, under the first use that comes. So the sum is what the
system's own `du` shows, except for the folders themselves.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from asynccvat.core.inventory.kept import by_kept_name
from asynccvat.core.inventory.usage import OF_OWN_FOLDERS, RoomOwner, Use, UsedRoom, owner_of
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.records.backups import target_of
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.targets import TargetKind
from asynccvat.fs import files
from asynccvat.store import trees
from asynccvat.store.identity import backup_folders
from asynccvat.store.layout import Layout

_BLOCK = 512  # the unit of st_blocks


class _Counter:
    """Adds up files, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Use, RoomOwner | None], list[int]] = defaultdict(lambda: [0, 0, 0])
        self._seen: set[tuple[int, int]] = set()

    def add(self, name: str, dir_fd: int, use: Use, owner: RoomOwner | None = None) -> None:
        """Add a file, or all files of a folder. A file that disappears is not counted."""
        with contextlib.suppress(FileNotFoundError):
            status = files.lstat(name, dir_fd=dir_fd)
            if status is None:
                return
            if not stat.S_ISDIR(status.st_mode):
                self._add_file(status, use, owner)
                return
            with files.folder(name, dir_fd=dir_fd) as fd:
                for one in files.names(fd, ordered=False):
                    self.add(one, fd, use, owner)

    def _add_file(self, status: os.stat_result, use: Use, owner: RoomOwner | None) -> None:
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            if key in self._seen:
                return
            self._seen.add(key)
        total = self._found[use, owner]
        total[0] += 1
        total[1] += status.st_size
        total[2] += status.st_blocks * _BLOCK

    def rooms(self) -> list[UsedRoom]:
        """Return what was added."""
        return [
            UsedRoom(use=use, owner=owner, files=count, bytes=size, allocated=allocated)
            for (use, owner), (count, size, allocated) in self._found.items()
        ]


def measure_mirror(layout: Layout, heads: Mapping[int, ReceiptHead]) -> list[UsedRoom]:
    """Measure the files of a mirror, by use and target.

    Args:
        layout: The mirror.
        heads: The receipts, by id.
    """
    counter = _Counter()
    owners = {head.folder: RoomOwner(head.target, head.task_id) for head in heads.values()}
    _add_folders(counter, layout, owners)
    flat = by_kept_name(heads)
    target = next((head.target for head in heads.values()), TargetKind.TASK)
    for name in files.names(layout.own):
        use = OF_OWN_FOLDERS.get(name)
        if use is None or not trees.is_folder(name, dir_fd=layout.own):
            counter.add(name, layout.own, Use.RECORDS)
            continue
        with files.folder(name, dir_fd=layout.own) as fd:
            for one in files.names(fd):
                counter.add(one, fd, use, owner_of(use, one, target, flat))
    return counter.rooms()


def measure_backups(layout: Layout) -> list[UsedRoom]:
    """Measure the files of a destination of backups, by use and target."""
    counter = _Counter()
    owners = {
        name: RoomOwner(*found) for name in backup_folders(layout) if (found := target_of(name))
    }
    _add_folders(counter, layout, owners)
    for name in files.names(layout.own):
        counter.add(name, layout.own, OF_OWN_FOLDERS.get(name, Use.RECORDS))
    return counter.rooms()


def _add_folders(counter: _Counter, layout: Layout, owners: Mapping[str, RoomOwner]) -> None:
    """Add the files of a destination outside of `.asynccvat`.

    Args:
        counter: What it is added to.
        layout: The destination.
        owners: What each folder belongs to, by its path.
    """
    above = {str(parent) for folder in owners for parent in PurePosixPath(folder).parents}

    def add(fd: int, prefix: str) -> None:
        for name in files.names(fd):
            path = prefix + name
            if path == OWN_FOLDER:
                continue
            if path in owners:
                counter.add(name, fd, Use.CURRENT, owners[path])
            elif path in above and trees.is_folder(name, dir_fd=fd):
                with files.folder(name, dir_fd=fd) as inner:
                    add(inner, f"{path}/")
            else:
                counter.add(name, fd, Use.OTHER)

    add(layout.dest, "")
