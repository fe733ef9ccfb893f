"""A hidden folder for files that do not have their place yet.

The process that writes to it holds a lock on it, which the system releases even after SIGKILL. So
the next process can tell a folder in use from one that was left, and removes the latter.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asynccvat.fs import disk_errors, files
from asynccvat.store.lock import FLOCK_UNSUPPORTED

if sys.platform != "win32":
    import fcntl

_RANDOM = r"[a-z0-9_]{8}"
"""What `tempfile` puts after a prefix."""


@dataclass(frozen=True, slots=True)
class ScratchFolder:
    """A hidden folder in use.

    Attributes:
        path: Where it is.
        fd: The open folder, which holds the lock.
    """

    path: Path
    fd: int


@contextlib.contextmanager
def open_scratch_folder(parent: Path, prefix: str) -> Iterator[ScratchFolder]:
    """Make a hidden folder, and remove those that killed processes left. Blocks.

    Args:
        parent: The folder that holds it.
        prefix: How its name begins.

    Raises:
        StoreError: It cannot be made or removed, or one that was left cannot be removed.
    """
    with disk_errors.explained("write", parent):
        _remove_left(parent, prefix)
        scratch = _make(parent, prefix)
    try:
        yield scratch
    finally:
        try:
            with disk_errors.explained("remove", scratch.path):
                shutil.rmtree(scratch.path)
        finally:
            os.close(scratch.fd)


def _make(parent: Path, prefix: str) -> ScratchFolder:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        fd = files.open_directory(path)
        # Before it was locked, another process may have taken it for one that was left.
        if _lock(fd) is not False and os.fstat(fd).st_nlink:
            return ScratchFolder(path, fd)
        os.close(fd)


def _remove_left(parent: Path, prefix: str) -> None:
    """Remove the folders whose locks nothing holds."""
    name = re.compile(re.escape(prefix) + _RANDOM)
    with os.scandir(parent) as entries:
        left = [
            Path(entry.path)
            for entry in entries
            if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    for path in left:
        try:
            fd = files.open_directory(path)
        except (FileNotFoundError, PermissionError):
            continue  # another process removed it, or it is another user's
        try:
            if _lock(fd):
                # Another process that ends may remove it, too.
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(path)
        finally:
            os.close(fd)


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[bool]:
    """Lock a folder for this process. The system releases it even after SIGKILL. Blocks.

    Yields:
        False if another process, or another run, holds it. True where the file system has no locks.

    Raises:
        StoreError: The folder cannot be opened.
    """
    with disk_errors.explained("open", path):
        fd = files.open_directory(path)
    try:
        yield _lock(fd) is not False
    finally:
        os.close(fd)


def _lock(fd: int) -> bool | None:
    """Lock an open folder.

    Returns:
        Whether it is locked now; None if the file system has no such locks.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in FLOCK_UNSUPPORTED:
            return None
        raise
    return True
