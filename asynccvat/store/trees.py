"""Trees of files: compare them with receipts, clear them of our files, remove and sync them.

Every step goes through an open folder, and none follows a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator

from asynccvat.core.plans.mirror import FolderState
from asynccvat.core.records.receipts import MemberRecord
from asynccvat.fs import files

ChangedMember = tuple[str, FolderState]
"""The path of a member that is not as its receipt says, and whether it is edited or missing."""

_NOT_A_FOLDER = frozenset({errno.ENOTDIR, errno.ELOOP})
_NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST})


def is_folder(name: str, *, dir_fd: int) -> bool:
    """Whether a folder, and not a link to one, has this name."""
    status = files.lstat(name, dir_fd=dir_fd)
    return status is not None and stat.S_ISDIR(status.st_mode)


@contextlib.contextmanager
def made(path: str, *, dir_fd: int) -> Iterator[int]:
    """Open a folder, and make it and those above it if they are missing."""
    with contextlib.ExitStack() as opened:
        fd = dir_fd
        for name in path.split("/"):
            if files.lstat(name, dir_fd=fd) is None:
                # Another thread may make it at the same time.
                with contextlib.suppress(FileExistsError):
                    files.mkdir(name, dir_fd=fd)
            fd = opened.enter_context(files.folder(name, dir_fd=fd))
        yield fd


def folder_state(name: str, members: Iterable[MemberRecord], *, dir_fd: int) -> FolderState:
    """Compare a folder with its receipt, by the size and time of each member.

    Files that are no members are ignored.

    Returns:
        `MISSING` if the folder or a member is absent, or the folder is a link; `EDITED` if a
        member has another size or time, or is no regular file; `INTACT` otherwise.
    """
    return state_of(changed_members(name, members, dir_fd=dir_fd))


def state_of(changed: Iterable[ChangedMember]) -> FolderState:
    """Return the state of a folder whose other members are as recorded."""
    state = FolderState.INTACT
    for _, found in changed:
        if found is FolderState.MISSING:
            return found
        state = found
    return state


def changed_members(
    name: str, members: Iterable[MemberRecord], *, dir_fd: int
) -> Iterator[ChangedMember]:
    """Compare a folder with its receipt, by the size and time of each member.

    Yields:
        The path of each member that is not as recorded, and whether it is edited or missing. The
        path is empty if the folder itself is absent, or is a link.
    """
    try:
        with files.folder(name, dir_fd=dir_fd) as fd:
            yield from _changed_members(members, fd)
    except OSError as error:
        if error.errno != errno.ENOENT and error.errno not in _NOT_A_FOLDER:
            raise
        yield "", FolderState.MISSING


def _changed_members(members: Iterable[MemberRecord], fd: int) -> Iterator[ChangedMember]:
    real_parents = {""}
    for member in members:
        parent = member.path.rpartition("/")[0]
        if parent not in real_parents:
            # A link in the path would lead to files elsewhere.
            if not _all_folders(parent, real_parents, fd):
                yield member.path, _missing_below(parent, fd)
                continue
            real_parents.add(parent)
        try:
            status = files.lstat(member.path, dir_fd=fd)
        except NotADirectoryError:  # a parent was replaced just now
            status = None
        if status is None:
            yield member.path, FolderState.MISSING
        elif not is_as_recorded(member, status):
            yield member.path, FolderState.EDITED


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
    """Tell whether a parent folder is absent, or was replaced by something of the user's."""
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        status = files.lstat("/".join(parts[:depth]), dir_fd=fd)
        if status is None:
            return FolderState.MISSING
        if not stat.S_ISDIR(status.st_mode):
            return FolderState.EDITED
    return FolderState.MISSING


def is_as_recorded(member: MemberRecord, status: os.stat_result) -> bool:
    """Whether a file still has the size and time of its receipt."""
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_size == member.size
        and status.st_mtime_ns == member.mtime_ns
    )


def first_changed(name: str, members: Iterable[MemberRecord], *, dir_fd: int) -> str | None:
    """Find a member of a staged tree that has changed since it was checked; None if none has.

    A reused member is linked: it has a second name in the folder that is being replaced, and an
    edit there changes it here, too. Only for such members the time counts, as some network file
    systems still change the time after a file was written. A link in place of a folder counts as a
    change, as its target can change at any time.
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
    """Remove files that are still as recorded, and folders that are empty then.

    Returns:
        Whether something else is left: edited or added files, or links.
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
        # Checked right before the removal, as the listing of the folder may be outdated.
        status = None if record is None else files.lstat(entry.name, dir_fd=fd)
        if record is not None and status is not None and is_as_recorded(record, status):
            files.unlink(entry.name, dir_fd=fd)
        else:
            left = True
    return left


def remove_if_empty(name: str, *, dir_fd: int) -> bool:
    """Remove a folder if it is empty, and return whether it was."""
    try:
        files.rmdir(name, dir_fd=dir_fd)
    except OSError as error:
        if not is_not_empty(error):
            raise
        return False  # another program may have put a file there just now
    return True


def is_not_empty(error: OSError) -> bool:
    """Whether an error says that a folder still holds something."""
    return error.errno in _NOT_EMPTY


def remove(name: str, *, dir_fd: int) -> None:
    """Remove a tree of our own staging with all that it holds. Targets of links stay."""
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
    """Whether a folder holds anything except folders, at any depth."""
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
    """Return the sum of the sizes of a tree's files, in bytes; 0 if there is no tree."""
    if not is_folder(name, dir_fd=dir_fd):
        return 0
    return sum(length for _, length in regular_files(name, dir_fd=dir_fd))


def sync(name: str, *, dir_fd: int, fsync: Callable[[int], None]) -> None:
    """Sync a tree with all files and folders in it, but not its name in the folder above."""
    with files.folder(name, dir_fd=dir_fd) as fd:
        for entry in files.scan(fd):
            if entry.is_dir(follow_symlinks=False):
                sync(entry.name, dir_fd=fd, fsync=fsync)
            elif entry.is_file(follow_symlinks=False):
                sync_file(entry.name, dir_fd=fd, fsync=fsync)
        fsync(fd)


def sync_file(name: str, *, dir_fd: int, fsync: Callable[[int], None]) -> None:
    """Sync a file's content.

    The handle that wrote it is closed by now. The kernel reports a write error that no call has
    reported yet to the first fsync of any handle.
    """
    fd = files.open_for_reading(name, dir_fd=dir_fd)
    try:
        fsync(fd)
    finally:
        os.close(fd)
