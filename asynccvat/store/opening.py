"""Open the folders of a destination, and make those that are missing.

`layout` holds the open folders. `identity` checks the server that the destination mirrors.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.errors import StoreError
from asynccvat.fs import files, system_calls
from asynccvat.store import trees
from asynccvat.store.layout import NOT_THERE, Layout


def open_layout(path: Path, *, durable: bool) -> Layout:
    """Open a destination's folders, making those that are not there.

    Raises:
        OSError: As the system says, also where a link stands for one of our folders.
    """
    make_folders(path, durable=False)
    with contextlib.ExitStack() as opened:

        def held(fd: int) -> int:
            opened.callback(os.close, fd)
            return fd

        dest = held(files.open_directory(path))
        if durable and files.lstat(OWN_FOLDER, dir_fd=dest) is None:
            sync_above(path)
        own = held(_folder(OWN_FOLDER, dest, durable=durable))
        staging, receipts, kept = (
            held(_folder(name, own, durable=durable)) for name in ("staging", "receipts", "kept")
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
        can_sync_filesystem=durable and system_calls.can_sync_filesystem(own),
    )


def find_layout(path: Path) -> Layout:
    """Open what is there of a destination's folders, and change nothing.

    Raises:
        OSError: As `open_layout`, but for what is not there.
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
    """Make durable what a killed run left half done, before anything is built on it.

    It may have been killed before it synced what we see: to clear away what was replaced would be
    to rely on a rename that a power cut can still undo.

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
    """Make the names of a folder and of those above it durable, up to where it is mounted.

    That they are there does not tell it: the user, or a run that was killed, may have made them
    just now.

    Raises:
        OSError: As the system says.
    """
    path = path.resolve()
    device = path.stat().st_dev
    for folder in path.parents:
        # One that may not be read is not one that was made for us.
        with contextlib.suppress(PermissionError):
            fd = files.open_directory(folder)
            try:
                if os.fstat(fd).st_dev != device:
                    return
                files.fsync(fd)
            finally:
                os.close(fd)


def make_folders(path: Path, *, durable: bool) -> None:
    """Make a folder that the user named and those above it, where they are not there yet.

    Raises:
        StoreError: A file stands there, or nothing can be made there.
        OSError: As the system says.
    """
    there = path.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise StoreError(f"{there} is a file, not a folder: name another one", step="store")
    is_new = there != path.absolute()
    try:
        files.make_directories(path)
    except FileNotFoundError as error:
        # So answers /proc, which lets nobody make anything; nothing has vanished.
        raise StoreError(
            f"{path} cannot be created in {there}: choose another folder", step="store"
        ) from error
    if durable and is_new:
        sync_above(path)


def _folder(name: str, dir_fd: int, *, durable: bool) -> int:
    if files.lstat(name, dir_fd=dir_fd) is None:
        # Another process may make it at the same time; the lock is yet to be taken.
        with contextlib.suppress(FileExistsError):
            files.mkdir(name, dir_fd=dir_fd)
        if durable:
            files.fsync(dir_fd)
    return files.open_folder(name, dir_fd=dir_fd)
