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
    """Open a destination's folders, and create those that are missing.

    Raises:
        OSError: As the system says, also if a link has the name of one of our folders.
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
        # A folder that cannot be read was not created for this destination.
        with contextlib.suppress(PermissionError):
            fd = files.open_directory(folder)
            try:
                if os.fstat(fd).st_dev != device:
                    return
                files.fsync(fd)
            finally:
                os.close(fd)


def make_folders(path: Path, *, durable: bool) -> None:
    """Create a folder that the user named, and missing folders above it.

    Raises:
        StoreError: A file has its name, or it cannot be created.
        OSError: As the system says.
    """
    there = path.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise StoreError(f"{there} is a file, not a folder. Name another folder.", step="store")
    is_new = there != path.absolute()
    try:
        files.make_directories(path)
    except FileNotFoundError as error:
        # /proc answers so to any attempt to create something; nothing has disappeared.
        raise StoreError(
            f"{path} cannot be created in {there}. Choose another folder.", step="store"
        ) from error
    if durable and is_new:
        sync_above(path)


def _folder(name: str, dir_fd: int, *, durable: bool) -> int:
    if files.lstat(name, dir_fd=dir_fd) is None:
        # Another process may create it at the same time, as the lock is not taken yet.
        with contextlib.suppress(FileExistsError):
            files.mkdir(name, dir_fd=dir_fd)
        if durable:
            files.fsync(dir_fd)
    return files.open_folder(name, dir_fd=dir_fd)
