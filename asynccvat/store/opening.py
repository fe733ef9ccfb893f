"""Open the folders of a destination, and make those that are missing.

`layout` holds the open folders. `identity` checks the server that the destination mirrors.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.errors import StoreError
from asynccvat.fs import files, system_calls
from asynccvat.store import trees
from asynccvat.store.layout import NOT_THERE, Layout, is_same, write_file
from asynccvat.store.lock import LOCK_NAME, Lock, acquire
from asynccvat.store.placement import check_links, check_place

_SUBFOLDERS = ("staging", "receipts", "kept")
GITIGNORE = ".gitignore"
# Each takes another run that fails at its start, at the very moment.
_MOST_REMOVALS = 20


def open_layout(path: Path, *, durable: bool) -> Layout:
    """Open a destination's folders, and create those that are missing.

    Raises:
        ConfigError: No destination may be there; see `placement`.
        OSError: As the system says, also if a link has the name of one of our folders.
    """
    check_place(path)
    created = make_folders(path, durable=False)
    with contextlib.ExitStack() as opened:

        def held(fd: int) -> int:
            opened.callback(os.close, fd)
            return fd

        dest = held(files.open_directory(path))
        is_new = files.lstat(OWN_FOLDER, dir_fd=dest) is None
        if durable and is_new:
            sync_above(path)
        own = held(_folder(OWN_FOLDER, dest, durable=durable))
        staging, receipts, kept = (
            held(_folder(name, own, durable=durable)) for name in _SUBFOLDERS
        )
        opened.pop_all()
    return Layout(
        path,
        dest,
        own,
        staging,
        receipts,
        kept,
        durable=durable,
        is_new=is_new,
        created=created,
        can_sync_filesystem=durable and system_calls.can_sync_filesystem(own),
    )


def open_locked(dest: Path, *, durable: bool, break_lock: bool) -> tuple[Layout, Lock]:
    """Open the folders of a destination, and take its lock.

    Raises:
        ConfigError: As `open_layout`.
        StoreLockedError: Another process is writing to it.
        OSError: As `open_layout`.
    """
    while True:
        with contextlib.ExitStack() as opened:
            layout = _open_again(dest, durable=durable)
            opened.callback(layout.close)
            try:
                lock = acquire(layout.own, dest, break_lock=break_lock)
            except FileNotFoundError:
                if is_in_place(layout):
                    raise
                continue
            opened.callback(lock.release)
            if is_in_place(layout):
                _write_gitignore(layout.own)
                opened.pop_all()
                return layout, lock


def is_in_place(layout: Layout) -> bool:
    """Whether the folders that were opened still have their names.

    A run that failed before it began removes the folders that it made. It may do so between the
    moments at which another process opens them and takes the lock.
    """
    opened = [(OWN_FOLDER, layout.dest, layout.own)]
    subfolders = (layout.staging, layout.receipts, layout.kept)
    opened += [(name, layout.own, fd) for name, fd in zip(_SUBFOLDERS, subfolders, strict=True)]
    return all(
        is_same(os.fstat(fd), files.lstat(name, dir_fd=parent)) for name, parent, fd in opened
    )


def remove_new(layout: Layout) -> None:
    """Remove the folders that `open_layout` made, if they hold nothing of a mirror.

    The lock's file goes last: until then no other process can begin here.

    Raises:
        OSError: As the system says.
    """
    if any(map(files.names, (layout.staging, layout.receipts, layout.kept))):
        return
    for name in sorted(files.names(layout.own), key=lambda name: name.startswith(LOCK_NAME)):
        trees.remove(name, dir_fd=layout.own)
    if trees.remove_if_empty(OWN_FOLDER, dir_fd=layout.dest):
        remove_created(layout.created)


def remove_created(folders: Iterable[Path]) -> None:
    """Remove those of the folders that are empty, innermost first."""
    for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        # Another program may have put something there, and that is why it stays.
        with contextlib.suppress(OSError):
            fd = files.open_directory(folder.parent)
            try:
                files.rmdir(folder.name, dir_fd=fd)
            finally:
                os.close(fd)


def find_layout(path: Path) -> Layout:
    """Open those of a destination's folders that exist, and change nothing.

    Raises:
        OSError: As `open_layout`, except for missing folders.
    """
    layout = Layout(path, NOT_THERE, NOT_THERE, NOT_THERE, NOT_THERE, NOT_THERE, durable=False)
    try:
        with contextlib.suppress(FileNotFoundError):
            layout.dest = files.open_directory(path)
            layout.own = files.open_folder(OWN_FOLDER, dir_fd=layout.dest)
            layout.receipts = files.open_folder("receipts", dir_fd=layout.own)
    except BaseException:
        layout.close()
        raise
    return layout


def sync_leftovers(layout: Layout) -> None:
    """Sync what interrupted runs left in staging, before recovery relies on it.

    Such a run may have been killed before it synced a rename that we see, and a power cut can still
    undo that rename. Clearing what was replaced would then lose both versions.

    Raises:
        OSError: As the system says.
    """
    areas = files.names(layout.staging) if layout.durable else []
    if not areas:
        return
    if layout.can_sync_filesystem:
        layout.sync_filesystem()
        return
    for name in areas:
        if trees.is_folder(name, dir_fd=layout.staging):
            with files.folder(name, dir_fd=layout.staging) as area:
                layout.fsync(area)
    for fd in (layout.staging, layout.receipts, layout.kept, layout.own, layout.dest):
        layout.fsync(fd)


def sync_above(path: Path) -> None:
    """Sync the names of a folder and of the folders above it, up to the mount point.

    Their existence does not mean that they are durable: the user, or a run that was killed, may
    have created them just now.

    Raises:
        OSError: As the system says.
    """
    path = path.resolve()
    device = path.stat().st_dev
    for folder in path.parents:
        try:
            fd = files.open_directory(folder)
        except PermissionError:
            continue  # a folder that cannot be read was not created for this destination
        try:
            if os.fstat(fd).st_dev != device:
                return
            files.fsync(fd)
        finally:
            os.close(fd)


def make_folders(path: Path, *, durable: bool) -> tuple[Path, ...]:
    """Create a folder that the user named, and missing folders above it.

    Returns:
        The folders that were missing.

    Raises:
        ConfigError: A link on its path leads nowhere.
        StoreError: A file has its name, or it cannot be created.
        OSError: As the system says.
    """
    check_links(path)
    there = path.absolute()
    missing = []
    while not there.exists():
        missing.append(there)
        there = there.parent
    if not there.is_dir():
        raise StoreError(f"{there} is a file, not a folder. Name another folder.", step="store")
    is_new = there != path.absolute()
    try:
        files.make_directories(path)
    except FileNotFoundError as error:
        # /proc answers so to any attempt to create something; nothing has disappeared.
        raise StoreError(
            f"{str(path)!r} cannot be created in {str(there)!r}. Choose another folder.",
            step="store",
        ) from error
    if durable and is_new:
        sync_above(path)
    return tuple(missing)


def _folder(name: str, dir_fd: int, *, durable: bool) -> int:
    if files.lstat(name, dir_fd=dir_fd) is None:
        # Another process may create it at the same time, as the lock is not taken yet.
        with contextlib.suppress(FileExistsError):
            files.mkdir(name, dir_fd=dir_fd)
        if durable:
            files.fsync(dir_fd)
    return files.open_folder(name, dir_fd=dir_fd)


def _open_again(path: Path, *, durable: bool) -> Layout:
    """Open a destination's folders, also while a run that failed removes them."""
    for _ in range(_MOST_REMOVALS):
        with contextlib.suppress(FileNotFoundError):
            return open_layout(path, durable=durable)
    return open_layout(path, durable=durable)


def _write_gitignore(own: int) -> None:
    """Let git ignore `.asynccvat`. The caller holds the lock.

    Several processes that write the file at once would remove each other's drafts.
    """
    if files.lstat(GITIGNORE, dir_fd=own) is None:
        write_file(GITIGNORE, b"*\n", dir_fd=own, durable=False)
