"""Find out by trial what names a file system can hold."""

from __future__ import annotations

import os
import uuid

from asynccvat.core.paths import NameRules
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees

_CASE = ("Case", "cASE")
_NORMALIZATION = ("\u00e9", "e\u0301")
_WINDOWS = ("a:b", "question?", "dot.", "blank ")
_LONGEST = 255  # bytes; longer names are not portable between the file systems in use
_SHORTEST = 14  # bytes; POSIX guarantees this
_MARGIN = 400  # bytes of `.asynccvat/staging/<task>/tree/` or of the folder's name, with room


def probe(dir_fd: int, root: str) -> NameRules:
    """Try names in a temporary folder.

    Args:
        dir_fd: Handle of one of our folders on that file system.
        root: The absolute path above everything that will be written.

    Raises:
        OSError: No folder can be created there.
    """
    name = f"probe-{uuid.uuid4().hex}"
    files.mkdir(name, dir_fd=dir_fd)
    try:
        with files.folder(name, dir_fd=dir_fd) as fd:
            return NameRules(
                case_sensitive=_are_two(fd, *_CASE),
                normalization_sensitive=_are_two(fd, *_NORMALIZATION),
                windows_names=all(_holds(fd, candidate) for candidate in _WINDOWS),
                component_bytes=_longest_component(fd),
                path_bytes=longest_path(root),
            )
    finally:
        trees.remove(name, dir_fd=dir_fd)


def guess(dir_fd: int, root: str) -> NameRules:
    """Return what is known of the rules without writing anything."""
    return NameRules(
        component_bytes=min(_LONGEST, files.longest_name(dir_fd)), path_bytes=longest_path(root)
    )


def longest_path(root: str) -> int:
    """Return the longest relative path, in bytes, that programs can open below a folder."""
    try:
        limit = os.pathconf("/", "PC_PATH_MAX")
    except (OSError, ValueError):
        limit = 1024
    return max(_LONGEST, min(NameRules().path_bytes, limit - len(os.fsencode(root)) - _MARGIN))


def _are_two(fd: int, name: str, other: str) -> bool:
    return _holds(fd, name) and files.lstat(other, dir_fd=fd) is None


def _holds(fd: int, name: str) -> bool:
    """Whether a file of this name can be created, and is listed under exactly this name."""
    try:
        os.close(files.open_for_writing(name, dir_fd=fd))
    except OSError as error:
        if disk_errors.is_name_refused(error):
            return False
        raise
    return name in files.names(fd)


def _longest_component(fd: int) -> int:
    length = min(_LONGEST, files.longest_name(fd))
    while length > _SHORTEST and not _holds(fd, "n" * length):
        length = max(_SHORTEST, length // 2)
    return length
