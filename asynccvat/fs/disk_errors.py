"""The system's errors in words: what failed, for which task or file, and what to do."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import PurePath

from asynccvat.errors import DiskFullError, DriveError, StoreError

NO_INODES = "no free inodes: the file system can hold no more files"
"""The text that `files` sets in an `ENOSPC` if bytes are free, but no inodes."""

_ELSEWHERE = "choose another destination"
"""What to do about a place that cannot be used. `name_elsewhere` names an option instead."""

_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_OF_THE_DRIVE = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV, errno.EROFS})
_REMEDIES = {
    errno.EACCES: f"Give this user the right to write there, or {_ELSEWHERE}.",
    errno.EPERM: f"Give this user the right to write there, or {_ELSEWHERE}.",
    errno.EROFS: f"Mount the file system for writing, or {_ELSEWHERE}.",
    errno.EMFILE: "Raise the limit with `ulimit -n`, or lower --transfers.",
    errno.ENFILE: "Lower --transfers: the whole system is out of file handles.",
    errno.EIO: "The drive failed. Check it before anything else.",
    errno.ENXIO: "The drive is gone. Attach it and check it, then run again.",
    errno.ENODEV: "The drive is gone. Attach it and check it, then run again.",
    getattr(errno, "ESTALE", -1): "Its file server lost it. Mount it again, then run again.",
    errno.ELOOP: "Move it away: it is a symbolic link, and asynccvat follows none there.",
    errno.ENOTDIR: "Move it away: it is a file or a link, not a folder.",
    errno.EEXIST: "Move away what has that name already.",
    errno.ENAMETOOLONG: "Choose another destination: the file system allows no name so long.",
    errno.ENOENT: "Let no other program change the destination, and run again.",
    errno.EBUSY: "Unmount it if it is a mount point, or choose another folder.",
    errno.EXDEV: "Keep a destination on a single file system.",
}

_UNSUPPORTED = frozenset(
    number
    for name in ("EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "ENOTTY")
    if (number := getattr(errno, name, None)) is not None
)

_NAME_REFUSED = frozenset(
    number
    for name in ("EINVAL", "ENAMETOOLONG", "EILSEQ", "ENOENT", "EEXIST")
    if (number := getattr(errno, name, None)) is not None
)

# Linux reports EPERM for a file system without hard links, and for a protected file.
_LINK_REFUSED = frozenset({errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EACCES})


def explain(
    error: OSError,
    doing: str,
    path: PurePath | str,
    *,
    task_id: int | None = None,
    is_path: bool = True,
) -> StoreError:
    """Turn an error of the system into one that says what to do.

    Args:
        error: The system's error.
        doing: What failed, as it follows "cannot".
        path: The file or folder.
        task_id: The task, if it was about one.
        is_path: Whether `path` is a path, and not a description.

    Returns:
        A `DiskFullError` if the disk or the quota is full, a `DriveError` if nothing can be
        written any more, otherwise a `StoreError`.
    """
    named = repr(str(path)) if is_path else path
    whose = "" if task_id is None else f"task {task_id}: "
    said = os.strerror(error.errno) if error.errno is not None else str(error)
    if error.errno in _FULL:
        remedy = "Free some space, then run again: finished tasks stay."
        if error.strerror == NO_INODES:
            said = NO_INODES
            remedy = "Remove some files of any size, then run again: finished tasks stay."
        return DiskFullError(
            f"{whose}cannot {doing} {named}: {said}. {remedy}",
            task_id=task_id,
            step="store",
        )
    remedy = _REMEDIES.get(
        error.errno or 0, "Look for the reason in the system's log, then run again."
    )
    kind = DriveError if error.errno in _OF_THE_DRIVE else StoreError
    return kind(f"{whose}cannot {doing} {named}: {said}. {remedy}", task_id=task_id, step="store")


def name_elsewhere(error: StoreError, option: str) -> None:
    """Name, in an error of `explain`, the option that names another place than the destination."""
    error.message = error.message.replace(_ELSEWHERE, f"name another place with {option}")


@contextlib.contextmanager
def explained(doing: str, path: PurePath | str, *, task_id: int | None = None) -> Iterator[None]:
    """Explain every `OSError` of a block.

    Raises:
        StoreError: As `explain` returns it.
    """
    try:
        yield
    except OSError as error:
        raise explain(error, doing, path, task_id=task_id) from error


def is_unsupported(error: OSError) -> bool:
    """Whether an error says that the kernel or the file system does not support the call."""
    return error.errno in _UNSUPPORTED


def is_name_refused(error: OSError) -> bool:
    """Whether an error says that the file system does not allow a name."""
    return error.errno in _NAME_REFUSED


def is_link_refused(error: OSError) -> bool:
    """Whether an error says that a file cannot be linked there, only copied."""
    return error.errno in _LINK_REFUSED or is_unsupported(error)
