"""Every effect on the disk, in small functions of one system call each.

Every change of a destination goes through a function named in `EFFECTS`. Callers look the functions
up in this module at each call. So tests can count effects, fail them or stop at them by replacing
these names. The only other writes are those of kept archives, in `archives.kept_copy`.

Callers name a file by a single component relative to an open folder, and no link is followed.
`folder` opens a folder several levels down. `store` decides which effects make a commit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from asynccvat.fs import system_calls
from asynccvat.fs.disk_errors import NO_INODES, is_unsupported

EFFECTS = (
    "open_for_writing",
    "open_or_create",
    "truncate",
    "write",
    "fsync",
    "sync_filesystem",
    "rename",
    "exchange",
    "unlink",
    "rmdir",
    "mkdir",
    "make_directories",
    "link",
    "touch",
)
"""The functions that change the disk, or make a change durable."""

# Windows has none of these flags. The module can be imported there, and the store refuses to work.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
# A pipe in place of a file must not block the call that opens it.
_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)
_FOR_READING = os.O_RDONLY | _NO_FOLLOW | _CLOSE_ON_EXEC | _NON_BLOCKING
_READ_BYTES = 64 * 1024


# --- looking -------------------------------------------------------------------------------


def open_directory(path: Path) -> int:
    """Open a folder that the user named. A link is followed, as it is the user's own."""
    return os.open(path, os.O_RDONLY | _DIRECTORY | _CLOSE_ON_EXEC)


def open_folder(name: str, *, dir_fd: int) -> int:
    """Open a folder inside an open folder.

    Raises:
        OSError: `ENOTDIR` or `ELOOP` if it is a link or a file.
    """
    return os.open(name, os.O_RDONLY | _DIRECTORY | _NO_FOLLOW | _CLOSE_ON_EXEC, dir_fd=dir_fd)


def open_for_reading(name: str, *, dir_fd: int) -> int:
    """Open a regular file inside an open folder.

    Raises:
        OSError: `ELOOP` if it is a link, `EINVAL` if it is anything else that is no file.
    """
    return open_and_look(name, dir_fd=dir_fd)[0]


def open_and_look(name: str, *, dir_fd: int) -> tuple[int, os.stat_result]:
    """As `open_for_reading`, and return the file's status, too."""
    fd = os.open(name, _FOR_READING, dir_fd=dir_fd)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return fd, status


@contextlib.contextmanager
def folder(path: str, *, dir_fd: int) -> Iterator[int]:
    """Open a folder several levels below an open one. `path` has `/`, or is empty.

    Every level is opened on its own, so that a link at any level is refused.

    Raises:
        OSError: As `open_folder`.
    """
    first, *others = path.split("/")
    fd = open_folder(first, dir_fd=dir_fd) if first else os.dup(dir_fd)
    try:
        for component in others:
            deeper = open_folder(component, dir_fd=fd)
            os.close(fd)
            fd = deeper
        yield fd
    finally:
        os.close(fd)


def read_file(name: str, *, dir_fd: int) -> bytes | None:
    """Return the content of a regular file; None if there is none."""
    try:
        fd = open_for_reading(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    try:
        # Without a file object: for small files, making one costs more than all else.
        parts = []
        while part := os.read(fd, _READ_BYTES):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def read_into(fd: int, buffer: memoryview) -> int:
    """Read from an open file into a buffer; return the number of bytes, 0 at the end."""
    return os.readv(fd, [buffer])


def lstat(name: str, *, dir_fd: int) -> os.stat_result | None:
    """Return the status of a name without following a link; None if there is nothing.

    In a path with `/`, only the last component is not followed. Callers that give a path have
    checked the folders in it, and open nothing by it.
    """
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):  # the latter of a path through a file
        return None


def is_plain(fd: int) -> bool:
    """Whether an open file may be written to: a regular file without a second name.

    A second name belongs to a backup, or was planted so that we write to a file elsewhere.
    """
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def scan(fd: int) -> list[os.DirEntry[str]]:
    """List an open folder in the order of names, so that runs can be repeated exactly."""
    with os.scandir(fd) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def names(fd: int, *, ordered: bool = True) -> list[str]:
    """Return the names in an open folder.

    Args:
        fd: The folder.
        ordered: Sort them, so that runs can be repeated exactly. For a hundred thousand names, the
            sort holds the interpreter's lock for some time.
    """
    found = os.listdir(fd)
    return sorted(found) if ordered else found


def free_bytes(fd: int) -> int:
    """Return the bytes that this user can still write to the file system of an open folder."""
    figures = os.statvfs(fd)
    return figures.f_bavail * figures.f_frsize


def longest_name(fd: int) -> int:
    """Return the length of the longest name that the file system reports, in bytes."""
    return os.statvfs(fd).f_namemax


# --- changing ------------------------------------------------------------------------------


def open_for_writing(name: str, *, dir_fd: int) -> int:
    """Create a new file for writing and reading, with the umask's mode.

    Raises:
        FileExistsError: Something has that name already, a link included.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _CLOSE_ON_EXEC
    try:
        return os.open(name, flags, 0o666, dir_fd=dir_fd)
    except OSError as error:
        _tell_of_inodes(error, dir_fd)
        raise


def open_or_create(name: str, *, dir_fd: int) -> int:
    """Open a file for reading and writing, and create it if it is missing.

    Raises:
        OSError: `ELOOP` if it is a link.
    """
    flags = os.O_RDWR | os.O_CREAT | _NO_FOLLOW | _CLOSE_ON_EXEC
    return os.open(name, flags, 0o666, dir_fd=dir_fd)


def truncate(fd: int, length: int = 0) -> None:
    """Shorten an open file; by default, empty it."""
    os.ftruncate(fd, length)


def write(fd: int, data: bytes | bytearray | memoryview) -> None:
    """Write all of `data` at the file's position."""
    written = os.write(fd, data)
    if written < len(data):
        rest = memoryview(data)
        while written < len(rest):
            written += os.write(fd, rest[written:])


def fsync(fd: int) -> None:
    """Wait until a file, or a folder's entries, would survive a power cut."""
    if sys.platform == "darwin":
        # On macOS, fsync stops at the drive's cache; F_FULLFSYNC does not (fcntl(2)).
        import fcntl  # noqa: PLC0415 - absent on Windows

        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        except OSError as error:
            if not is_unsupported(error):
                raise
        else:
            return
    os.fsync(fd)


def sync_filesystem(fd: int) -> None:
    """Wait until everything on the file system of an open folder would survive a power cut.

    Use it only if `system_calls.can_sync_filesystem` allows it.
    """
    system_calls.syncfs(fd)


def rename(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Rename in one step, replacing a file (or an empty folder by a folder) at the new name."""
    os.rename(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd)


def exchange(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Exchange two existing names in one step.

    Raises:
        OSError: As the system says; see `disk_errors.is_unsupported`.
    """
    system_calls.exchange(dir_fd, os.fsencode(name), new_dir_fd, os.fsencode(new_name))


def unlink(name: str, *, dir_fd: int) -> None:
    """Remove a file or a link."""
    os.unlink(name, dir_fd=dir_fd)


def rmdir(name: str, *, dir_fd: int) -> None:
    """Remove an empty folder."""
    os.rmdir(name, dir_fd=dir_fd)


def mkdir(name: str, *, dir_fd: int) -> None:
    """Create a folder with the umask's mode."""
    try:
        os.mkdir(name, 0o777, dir_fd=dir_fd)
    except OSError as error:
        _tell_of_inodes(error, dir_fd)
        raise


def make_directories(path: Path) -> None:
    """Create a folder that the user named, and missing folders above it."""
    path.mkdir(parents=True, exist_ok=True)


def link(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Give a file a second name."""
    os.link(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd, follow_symlinks=False)


def touch(fd: int) -> None:
    """Set the times of an open file to now."""
    os.utime(fd)


_SOME_ROOM = 1024 * 1024


def _tell_of_inodes(error: OSError, folder: int) -> None:
    """Set the text of an error if the file system has room, but not for another file.

    Creating a file or folder needs one inode and hardly any bytes. So if there is room in bytes,
    the inodes were used up, even if other programs have freed some since.
    """
    if error.errno == errno.ENOSPC:
        figures = os.statvfs(folder)
        has_room = figures.f_bavail * figures.f_frsize >= _SOME_ROOM
        # Some file systems do not count inodes, and report 0 of 0.
        if figures.f_files > 0 and (figures.f_favail == 0 or has_room):
            error.strerror = NO_INODES
