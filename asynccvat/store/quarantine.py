"""Quarantine a folder that a download replaces.

First the whole folder gets another name. Then every file is removed that the new folder holds
under the same path, byte for byte. Everything else stays in the quarantined folder, as no receipt
says whose it is. After a kill in between, the old folder is whole under its other name.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator

from asynccvat.core.records.receipts import MemberRecord
from asynccvat.fs import files
from asynccvat.store import trees

_CHUNK = 1 << 20
# No such file: nothing is there, a link or a file stands for a folder, or it is a folder or link.
_NO_SUCH_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL})


def quarantine(name: str, *, dir_fd: int) -> str | None:
    """Give a folder that holds something another name.

    Returns:
        The other name; None if there is no such folder, or if it is empty.
    """
    if not trees.is_folder(name, dir_fd=dir_fd):
        return None
    with files.folder(name, dir_fd=dir_fd) as fd:
        if not files.names(fd):
            return None
    names = (f"{name}.old-{number}" for number in itertools.count(1))
    quarantined = next(other for other in names if files.lstat(other, dir_fd=dir_fd) is None)
    files.rename(name, quarantined, dir_fd=dir_fd, new_dir_fd=dir_fd)
    return quarantined


def clear_copies(quarantined: str, name: str, *, dir_fd: int) -> bool:
    """Remove files of a quarantined folder that the new one holds, too, byte for byte.

    Returns:
        Whether anything is left.

    Raises:
        OSError: As the system says. Files that were not removed by then stay.
    """
    with (
        files.folder(quarantined, dir_fd=dir_fd) as old,
        files.folder(name, dir_fd=dir_fd) as new,
    ):
        copies = [
            record
            for path, _ in trees.regular_files("", dir_fd=old)
            if (record := _copy(path, old, new)) is not None
        ]
    return trees.clear(quarantined, copies, dir_fd=dir_fd)


def _copy(path: str, old: int, new: int) -> MemberRecord | None:
    """Describe a file if the new folder holds the same one; None otherwise."""
    with contextlib.ExitStack() as opened:
        one, before = opened.enter_context(_opened(path, old))
        try:
            other, now = opened.enter_context(_opened(path, new))
        except OSError as error:
            if error.errno in _NO_SUCH_FILE:
                return None
            raise
        if before.st_size != now.st_size:
            return None
        while chunk := os.read(one, _CHUNK):
            if chunk != os.read(other, _CHUNK):
                return None
        return MemberRecord(path, before.st_size, 0, before.st_mtime_ns)


@contextlib.contextmanager
def _opened(path: str, folder: int) -> Iterator[tuple[int, os.stat_result]]:
    """Open a file some levels below a folder, following no link on the way."""
    parent, _, name = path.rpartition("/")
    with files.folder(parent, dir_fd=folder) as fd:
        file, status = files.open_and_look(name, dir_fd=fd)
    try:
        yield file, status
    finally:
        os.close(file)
