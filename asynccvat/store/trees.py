"""Trees of files: looking at them, clearing away what is ours in them, removing, syncing.

Every step goes through an open folder and none follows a link. When a tree is looked at or
cleared, and what is then done about it, is left to `changes`, `recovery` and `staging`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator

from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.receipts import MemberRecord
from asynccvat.fs import files

_NOT_A_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})
_NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def is_folder(name: str, *, dir_fd: int) -> bool:
    """Whether a folder itself, not a link to one, has this name."""
    status = files.lstat(name, dir_fd=dir_fd)
    return status is not None and stat.S_ISDIR(status.st_mode)


def folder_state(name: str, members: Iterable[MemberRecord], *, dir_fd: int) -> FolderState:
    """Compare a folder with what a receipt says, by one look at each member.

    Files that no record speaks of are not looked for.

    Returns:
        `MISSING` where the folder or a member is absent, or a link stands for the folder;
        `EDITED` where a member has another size, time or kind; `INTACT` otherwise.
    """
    try:
        with files.folder(name, dir_fd=dir_fd) as fd:
            return _members_state(members, fd)
    except OSError as error:
        if error.errno == errno.ENOENT or error.errno in _NOT_A_FOLDER:
            return FolderState.MISSING
        raise


def _members_state(members: Iterable[MemberRecord], fd: int) -> FolderState:
    state = FolderState.INTACT
    real_parents = {""}
    for member in members:
        parent = member.path.rpartition("/")[0]
        if parent not in real_parents:
            # A link on the way would show us files elsewhere.
            if not _all_folders(parent, real_parents, fd):
                return _missing_below(parent, fd)
            real_parents.add(parent)
        try:
            status = files.lstat(member.path, dir_fd=fd)
        except NotADirectoryError:  # a parent was replaced just now
            status = None
        if status is None:
            return FolderState.MISSING
        if not is_as_recorded(member, status):
            state = FolderState.EDITED
    return state


def _all_folders(path: str, known: set[str], fd: int) -> bool:
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        parent = "/".join(parts[:depth])
        if parent not in known:
            if not is_folder(parent, dir_fd=fd):
                return False
            known.add(parent)
    return True


def _missing_below(path: str, fd: int) -> FolderState:
    """Where a parent is no folder: absent, or replaced by something of the user's."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        status = files.lstat("/".join(parts[:depth]), dir_fd=fd)
        if status is None:
            return FolderState.MISSING
        if not stat.S_ISDIR(status.st_mode):
            return FolderState.EDITED
    return FolderState.MISSING


def is_as_recorded(member: MemberRecord, status: os.stat_result) -> bool:
    """Whether a file still is as its receipt says that we made it."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_size == member.size
        and status.st_mtime_ns == member.mtime_ns
    )


def first_changed(name: str, members: Iterable[MemberRecord], *, dir_fd: int) -> str | None:
    """Find a member of a staged tree that is no longer what was checked; None where all are.

    A member that was taken over has a second name, in the folder that is being replaced: edited
    there in place, it is edited here as well. The time counts for such only: some network file
    systems still change it after a file was written. A link that stands for a folder counts as a
    change: what it leads to can change at any time.
    """
    real_parents = {""}
    with files.folder(name, dir_fd=dir_fd) as fd:
        for member in members:
            parent = member.path.rpartition("/")[0]
            if parent not in real_parents and not _all_folders(parent, real_parents, fd):
                return member.path
            status = files.lstat(member.path, dir_fd=fd)
            if status is None or not stat.S_ISREG(status.st_mode) or status.st_size != member.size:
                return member.path
            if status.st_nlink > 1 and status.st_mtime_ns != member.mtime_ns:
                return member.path
    return None


def clear(name: str, members: Iterable[MemberRecord], *, dir_fd: int) -> bool:
    """Unlink what still is as recorded, and the folders that are empty then.

    Returns:
        Whether something else is left: edited files, files of others, links.
    """
    status = files.lstat(name, dir_fd=dir_fd)
    if status is None:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return True
    records = {member.path: member for member in members}
    with files.folder(name, dir_fd=dir_fd) as fd:
        left = _clear_below(fd, "", records)
    return left or not remove_if_empty(name, dir_fd=dir_fd)


def _clear_below(fd: int, prefix: str, records: dict[str, MemberRecord]) -> bool:
    left = False
    for entry in files.scan(fd):
        path = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            with files.folder(entry.name, dir_fd=fd) as deeper:
                left_below = _clear_below(deeper, path + "/", records)
            if left_below or not remove_if_empty(entry.name, dir_fd=fd):
                left = True
            continue
        record = records.get(path)
        # Looked at right before it goes: the listing of the folder may be old by now.
        status = None if record is None else files.lstat(entry.name, dir_fd=fd)
        if record is not None and status is not None and is_as_recorded(record, status):
            files.unlink(entry.name, dir_fd=fd)
        else:
            left = True
    return left


def remove_if_empty(name: str, *, dir_fd: int) -> bool:
    """Remove a folder, and tell whether it was empty."""
    try:
        files.rmdir(name, dir_fd=dir_fd)
    except OSError as error:
        if not is_not_empty(error):
            raise
        return False  # somebody put a file there while we looked
    return True


def is_not_empty(error: OSError) -> bool:
    """Whether an error says that a folder still holds something."""
    return error.errno in _NOT_EMPTY


def remove(name: str, *, dir_fd: int) -> None:
    """Remove a tree of our own staging, whatever it holds; links go, their targets stay."""
    status = files.lstat(name, dir_fd=dir_fd)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        files.unlink(name, dir_fd=dir_fd)
        return
    with files.folder(name, dir_fd=dir_fd) as fd:
        for entry in files.scan(fd):
            remove(entry.name, dir_fd=fd)
    files.rmdir(name, dir_fd=dir_fd)


def regular_files(name: str, *, dir_fd: int) -> Iterator[tuple[str, int]]:
    """Yield the path, with `/`, and the size in bytes of each file of a tree."""
    with files.folder(name, dir_fd=dir_fd) as fd:
        yield from _regular_files(fd, "")


def _regular_files(fd: int, prefix: str) -> Iterator[tuple[str, int]]:
    for entry in files.scan(fd):
        if entry.is_dir(follow_symlinks=False):
            with files.folder(entry.name, dir_fd=fd) as deeper:
                yield from _regular_files(deeper, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False):
            yield prefix + entry.name, entry.stat(follow_symlinks=False).st_size


def holds_files(name: str, *, dir_fd: int) -> bool:
    """Whether anything but folders lies in a folder, or below it."""
    left = [name]
    while left:
        path = left.pop()
        with files.folder(path, dir_fd=dir_fd) as fd:
            for entry in files.scan(fd):
                if not entry.is_dir(follow_symlinks=False):
                    return True
                left.append(f"{path}/{entry.name}")
    return False


def size(name: str, *, dir_fd: int) -> int:
    """Sum of the sizes of a tree's files, in bytes; 0 where there is no tree."""
    if not is_folder(name, dir_fd=dir_fd):
        return 0
    return sum(length for _, length in regular_files(name, dir_fd=dir_fd))


def sync(name: str, *, dir_fd: int, fsync: Callable[[int], None]) -> None:
    """Make a tree durable: its files, its folders, itself; not its name in the folder above."""
    with files.folder(name, dir_fd=dir_fd) as fd:
        for entry in files.scan(fd):
            if entry.is_dir(follow_symlinks=False):
                sync(entry.name, dir_fd=fd, fsync=fsync)
            elif entry.is_file(follow_symlinks=False):
                sync_file(entry.name, dir_fd=fd, fsync=fsync)
        fsync(fd)


def sync_file(name: str, *, dir_fd: int, fsync: Callable[[int], None]) -> None:
    """Make a file's content durable.

    A write error that nobody was told of yet is told to the first fsync of any handle.
    """
    fd = files.open_for_reading(name, dir_fd=dir_fd)
    try:
        fsync(fd)
    finally:
        os.close(fd)
