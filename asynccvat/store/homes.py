"""The folders that hold the folders of targets: open them, make them, remove empty ones.

A target's folder may lie below others, such as `Street/train/task147` or `task147/job355`. No link
is followed on the way. `store.layout` has the folders of a destination itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from asynccvat.core.folder_layouts import above
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.errors import ForeignFolderError
from asynccvat.fs import files
from asynccvat.store.layout import Layout

_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST)


def parents_of(folder: str) -> tuple[str, ...]:
    """Return the folders of the destination that a target's folder lies in, the innermost first."""
    return tuple(above(folder))


@contextlib.contextmanager
def home(folder: str, *, dir_fd: int) -> Iterator[tuple[int, str]]:
    """Open the folder that a folder lies in; yield its handle, and the name there.

    Args:
        folder: A path relative to an open folder.
        dir_fd: That one.

    Raises:
        OSError: It is missing, or a link stands on the way.
    """
    parent, _, name = folder.rpartition("/")
    if not parent:
        yield dir_fd, name
        return
    with files.folder(parent, dir_fd=dir_fd) as fd:
        yield fd, name


def status_of(folder: str, *, dir_fd: int) -> os.stat_result | None:
    """Return the status of a folder by its path below an open one; None if it is not there."""
    try:
        with home(folder, dir_fd=dir_fd) as (fd, name):
            return files.lstat(name, dir_fd=fd)
    except OSError as error:
        if error.errno not in _NO_FOLDER:
            raise
        return None


@contextlib.contextmanager
def made(layout: Layout, folder: str) -> Iterator[tuple[int, str]]:
    """As `home`, and make the folders on the way, durably, unless they are there.

    Until the caller has put something into it, no other thread removes it as empty.

    Raises:
        ForeignFolderError: Something else is on the way, or the folder of another target.
    """
    with layout.parents_lock, contextlib.ExitStack() as opened:
        fd = layout.dest
        *parents, name = folder.split("/")
        for depth, parent in enumerate(parents, start=1):
            path = "/".join(parents[:depth])
            status = files.lstat(parent, dir_fd=fd)
            if status is None:
                files.mkdir(parent, dir_fd=fd)
                layout.sync_folder(fd)
            elif not stat.S_ISDIR(status.st_mode):
                raise _in_the_way(layout, folder, path, "is no folder. Move it away.")
            elif layout.claimed_by(path) is not None:
                why = "belongs to another one. Run again when that has moved."
                raise _in_the_way(layout, folder, path, why)
            fd = opened.enter_context(files.folder(parent, dir_fd=fd))
            if files.lstat(OWN_FOLDER, dir_fd=fd) is not None:
                why = "is another destination. Move it away."
                raise _in_the_way(layout, folder, path, why)
        yield fd, name


def _in_the_way(layout: Layout, folder: str, other: str, why: str) -> ForeignFolderError:
    return ForeignFolderError(
        f"cannot write to {str(layout.path / folder)!r}: {str(layout.path / other)!r} {why}",
        step="commit",
    )


def sync_home(layout: Layout, folder: str) -> None:
    """Sync the folder in which a target's folder lies, or the next one above that is there."""
    for path in (folder, *parents_of(folder)):
        try:
            with home(path, dir_fd=layout.dest) as (fd, _):
                layout.sync_folder(fd)
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
        else:
            return


def remove_empty_parents(layout: Layout, folder: str) -> None:
    """Remove the folders that a target's folder was in, as far as nothing else is in them."""
    with layout.parents_lock:
        for parent in parents_of(folder):
            try:
                with home(parent, dir_fd=layout.dest) as (fd, name):
                    files.rmdir(name, dir_fd=fd)
            except OSError as error:
                if error.errno in _NOT_EMPTY:
                    return
                if error.errno not in _NO_FOLDER:
                    raise
