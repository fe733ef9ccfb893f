"""A folder that a download replaces: put aside whole, then cleared of what the new one holds, too.

No receipt says what in it is whose. So nothing is unlinked but files whose every byte is in the
new folder under the same path; whatever else there was stays beside it. Killed in between, the old
folder is there whole under its other name.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator

from asynccvat.core.receipts import MemberRecord
from asynccvat.fs import files
from asynccvat.store import trees

_CHUNK = 1 << 20
# Nothing is there, a file or a link stands on the way, or what is there is a folder or a link.
_NO_SUCH_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL})


def put_aside(name: str, *, dir_fd: int) -> str | None:
    """Give a folder that holds something another name; returns that, None where there is none."""
    if not trees.is_folder(name, dir_fd=dir_fd):
        return None
    with files.folder(name, dir_fd=dir_fd) as fd:
        if not files.names(fd):
            return None
    names = (f"{name}.old-{number}" for number in itertools.count(1))
    aside = next(other for other in names if files.lstat(other, dir_fd=dir_fd) is None)
    files.rename(name, aside, dir_fd=dir_fd, new_dir_fd=dir_fd)
    return aside


def clear_copies(aside: str, name: str, *, dir_fd: int) -> bool:
    """Unlink what a folder holds of another, byte for byte; returns whether anything is left.

    Raises:
        OSError: As the system says. What is not unlinked by then stays.
    """
    with (
        files.folder(aside, dir_fd=dir_fd) as old,
        files.folder(name, dir_fd=dir_fd) as new,
    ):
        copies = [
            record
            for path, _ in trees.regular_files("", dir_fd=old)
            if (record := _copy(path, old, new)) is not None
        ]
    return trees.clear(aside, copies, dir_fd=dir_fd)


def _copy(path: str, old: int, new: int) -> MemberRecord | None:
    """What a file is, if another folder holds the same; None otherwise."""
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
    """Hold a file open that lies some levels below a folder; no link is followed on the way."""
    parent, _, name = path.rpartition("/")
    with files.folder(parent, dir_fd=folder) as fd:
        file, status = files.open_and_look(name, dir_fd=fd)
    try:
        yield file, status
    finally:
        os.close(file)
