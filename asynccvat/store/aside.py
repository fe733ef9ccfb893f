"""A folder that a download replaces: put aside whole, then cleared of what the new one holds, too.

No receipt says what in it is whose. So nothing is unlinked but files whose every byte is in the
new folder under the same path; whatever else there was stays beside it. Killed in between, the old
folder is there whole under its other name.
"""

from __future__ import annotations

import itertools
import os

from asynccvat import files
from asynccvat.core.receipts import MemberRecord
from asynccvat.store import trees

_CHUNK = 1 << 20


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
    """Unlink what a folder holds of another, byte for byte; returns whether anything is left."""
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
    status = files.lstat(path, dir_fd=new)
    if status is None:
        return None
    one = files.open_for_reading(path, dir_fd=old)
    try:
        before = os.fstat(one)
        if before.st_size != status.st_size:
            return None
        other = files.open_for_reading(path, dir_fd=new)
        try:
            while True:
                chunk = os.read(one, _CHUNK)
                if chunk != os.read(other, _CHUNK):
                    return None
                if not chunk:
                    return MemberRecord(path, before.st_size, 0, before.st_mtime_ns)
        finally:
            os.close(other)
    finally:
        os.close(one)
