"""Every effect on the disk, and only those: a small set of functions, each one system call.

Whatever changes a destination goes through a function named in `EFFECTS`, looked up in this
module at the moment of the call, so that a test can count them, fail them or stop at them by
replacing these very names; but for the bytes of an archive that is kept, which `archives.kept_copy`
writes. What is opened or changed is named by a single component relative to an open folder, and no
link is ever followed; `folder` opens one some levels deeper. Which effects make a commit, and in
which order, is left to `store`.
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

# Windows knows none of these; there the module imports and the store refuses.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_CLOSE_ON_EXEC = getattr(os, "O_CLOEXEC", 0)
# A pipe planted where a file was due must not block whoever opens it.
_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0)
_FOR_READING = os.O_RDONLY | _NO_FOLLOW | _CLOSE_ON_EXEC | _NON_BLOCKING
_READ_BYTES = 64 * 1024


# --- looking -------------------------------------------------------------------------------


def open_directory(path: Path) -> int:
    """Open the folder that the user named; a link there is the user's own and is followed."""
    return os.open(path, os.O_RDONLY | _DIRECTORY | _CLOSE_ON_EXEC)


def open_folder(name: str, *, dir_fd: int) -> int:
    """Open a folder inside an open folder.

    Raises:
        OSError: `ENOTDIR` or `ELOOP` where a link or a file stands there.
    """
    return os.open(name, os.O_RDONLY | _DIRECTORY | _NO_FOLLOW | _CLOSE_ON_EXEC, dir_fd=dir_fd)


def open_for_reading(name: str, *, dir_fd: int) -> int:
    """Open a regular file inside an open folder.

    Raises:
        OSError: `ELOOP` where a link stands there, `EINVAL` where anything else that is no file.
    """
    return open_and_look(name, dir_fd=dir_fd)[0]


def open_and_look(name: str, *, dir_fd: int) -> tuple[int, os.stat_result]:
    """As `open_for_reading`, with the look at the file that tells that it is one."""
    fd = os.open(name, _FOR_READING, dir_fd=dir_fd)
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", name)
    return fd, status


@contextlib.contextmanager
def folder(path: str, *, dir_fd: int) -> Iterator[int]:
    """Hold a folder open that lies some levels below an open one; `path` has `/`, or is empty.

    Every level is opened on its own, so that a link on the way is refused, too.

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
    """Return what a regular file holds, None where there is none."""
    try:
        fd = open_for_reading(name, dir_fd=dir_fd)
    except FileNotFoundError:
        return None
    try:
        # Without a stream, which costs more than all else where many small files are read.
        parts = []
        while part := os.read(fd, _READ_BYTES):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def read_into(fd: int, buffer: memoryview) -> int:
    """Read from an open file into memory that is there already; 0 at its end."""
    return os.readv(fd, [buffer])


def lstat(name: str, *, dir_fd: int) -> os.stat_result | None:
    """Look at a name without following it, None where there is nothing.

    Of a path with `/` the last component is not followed: who looks at one has made sure of the
    folders on the way, and opens nothing by it.
    """
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def is_plain(fd: int) -> bool:
    """Whether an open file may be written to: it is a file, and has no second name elsewhere.

    That would be a backup's, or planted so that we write where we should not.
    """
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def scan(fd: int) -> list[os.DirEntry[str]]:
    """List an open folder, in the order of names so that runs can be repeated exactly."""
    with os.scandir(fd) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def names(fd: int, *, ordered: bool = True) -> list[str]:
    """The names in an open folder, in order so that runs can be repeated exactly.

    Args:
        fd: The folder.
        ordered: Whether to sort them, which for a hundred thousand takes the interpreter from all
            threads for some time.
    """
    found = os.listdir(fd)
    return sorted(found) if ordered else found


def free_bytes(fd: int) -> int:
    """Bytes that this user can still write to the file system of an open folder."""
    figures = os.statvfs(fd)
    return figures.f_bavail * figures.f_frsize


def longest_name(fd: int) -> int:
    """What the file system of an open folder says that its longest name is, in bytes."""
    return os.statvfs(fd).f_namemax


# --- changing ------------------------------------------------------------------------------


def open_for_writing(name: str, *, dir_fd: int) -> int:
    """Create a file that is not there yet, with the umask's mode; its handle can read, too.

    Raises:
        FileExistsError: Anything of that name is there, a link included.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _CLOSE_ON_EXEC
    try:
        return os.open(name, flags, 0o666, dir_fd=dir_fd)
    except OSError as error:
        _tell_of_inodes(error, dir_fd)
        raise


def open_or_create(name: str, *, dir_fd: int) -> int:
    """Open a file for reading and writing, made where it is not there yet.

    Raises:
        OSError: `ELOOP` where a link stands there.
    """
    flags = os.O_RDWR | os.O_CREAT | _NO_FOLLOW | _CLOSE_ON_EXEC
    return os.open(name, flags, 0o666, dir_fd=dir_fd)


def truncate(fd: int) -> None:
    """Empty an open file."""
    os.ftruncate(fd, 0)


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
        # There, fsync stops at the drive's cache; F_FULLFSYNC does not (fcntl(2) of macOS).
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

    Only where `can_sync_filesystem` says so.
    """
    system_calls.syncfs(fd)


def rename(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Rename in one step, replacing a file (or an empty folder by a folder) at the new name."""
    os.rename(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd)


def exchange(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Exchange two existing names in one step.

    Raises:
        OSError: `is_unsupported` tells whether the kernel or the file system cannot do it.
    """
    system_calls.exchange(dir_fd, os.fsencode(name), new_dir_fd, os.fsencode(new_name))


def unlink(name: str, *, dir_fd: int) -> None:
    """Remove a file, or a link itself."""
    os.unlink(name, dir_fd=dir_fd)


def rmdir(name: str, *, dir_fd: int) -> None:
    """Remove an empty folder."""
    os.rmdir(name, dir_fd=dir_fd)


def mkdir(name: str, *, dir_fd: int) -> None:
    """Make a folder with the umask's mode."""
    try:
        os.mkdir(name, 0o777, dir_fd=dir_fd)
    except OSError as error:
        _tell_of_inodes(error, dir_fd)
        raise


def make_directories(path: Path) -> None:
    """Make a folder that the user named, and those above it, where they are not there yet."""
    path.mkdir(parents=True, exist_ok=True)


def link(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Give a file a second name."""
    os.link(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd, follow_symlinks=False)


def touch(fd: int) -> None:
    """Set the times of an open file to now."""
    os.utime(fd)


_SOME_ROOM = 1024 * 1024


def _tell_of_inodes(error: OSError, folder: int) -> None:
    """Let an error say that a file system has room, but for no more files, where that is so.

    What failed needs hardly any room but for one more file. So where there is room, it is that
    which is lacking, even if others have given some files back since.
    """
    if error.errno == errno.ENOSPC:
        figures = os.statvfs(folder)
        has_room = figures.f_bavail * figures.f_frsize >= _SOME_ROOM
        # Some file systems do not count files, and say 0 of 0.
        if figures.f_files > 0 and (figures.f_favail == 0 or has_room):
            error.strerror = NO_INODES
