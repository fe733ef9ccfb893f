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
import ctypes
import errno
import functools
import os
import platform
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from asynccvat.fs.disk_errors import NO_INODES

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
    """Create a file that is not there yet, with the umask's mode.

    Raises:
        FileExistsError: Anything of that name is there, a link included.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _CLOSE_ON_EXEC
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
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    os.fsync(fd)


def sync_filesystem(fd: int) -> None:
    """Wait until everything on the file system of an open folder would survive a power cut.

    Only where `can_sync_filesystem` says so.
    """
    if _libc().syncfs(fd) != 0:
        _raise_errno("syncfs")


def rename(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Rename in one step, replacing a file (or an empty folder by a folder) at the new name."""
    os.rename(name, new_name, src_dir_fd=dir_fd, dst_dir_fd=new_dir_fd)


def exchange(name: str, new_name: str, *, dir_fd: int, new_dir_fd: int) -> None:
    """Exchange two existing names in one step.

    Raises:
        OSError: `is_unsupported` tells whether the kernel or the file system cannot do it.
    """
    _exchange()(dir_fd, os.fsencode(name), new_dir_fd, os.fsencode(new_name))


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


# --- what the system calls need -------------------------------------------------------------

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

# EPERM is what Linux says of a file system without hard links, as of a file that is protected.
_LINK_REFUSED = frozenset({errno.EPERM, errno.EMLINK, errno.EXDEV, errno.EACCES})

_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h of macOS
_SYSCALL_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "i686": 353, "armv7l": 382}


def is_unsupported(error: OSError) -> bool:
    """Whether an error says that the kernel or the file system does not know the call at all."""
    return error.errno in _UNSUPPORTED


def is_name_refused(error: OSError) -> bool:
    """Whether an error says that the file system cannot hold a name."""
    return error.errno in _NAME_REFUSED


def is_link_refused(error: OSError) -> bool:
    """Whether an error says that a file cannot have a second name there, only a copy."""
    return error.errno in _LINK_REFUSED or is_unsupported(error)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _raise_errno(call: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}")


@functools.cache
def _exchange() -> _Exchange:
    return _Exchange()


class _Exchange:
    """`renameat2(RENAME_EXCHANGE)` of Linux, `renameatx_np(RENAME_SWAP)` of macOS."""

    def __init__(self) -> None:
        libc = _libc()
        self._flags = ctypes.c_uint(_RENAME_EXCHANGE)
        self._leading: tuple[ctypes.c_long, ...] = ()
        if sys.platform == "darwin":
            self._flags = ctypes.c_uint(_RENAME_SWAP)
            self._call = getattr(libc, "renameatx_np", None)
        else:
            self._call = getattr(libc, "renameat2", None)
            number = _SYSCALL_RENAMEAT2.get(platform.machine())
            if self._call is None and number is not None:
                # Older C libraries lack the wrapper; the kernel has had the call since 3.15.
                self._call, self._leading = libc.syscall, (ctypes.c_long(number),)

    def __call__(self, dir_fd: int, name: bytes, new_dir_fd: int, new_name: bytes) -> None:
        if self._call is None:
            raise OSError(errno.ENOSYS, "this system cannot exchange two names")
        arguments = (ctypes.c_int(dir_fd), name, ctypes.c_int(new_dir_fd), new_name, self._flags)
        if self._call(*self._leading, *arguments) != 0:
            _raise_errno("renameat2")


# File systems whose syncfs is known to reach the disk: ext2-4, XFS, Btrfs, F2FS, ZFS, bcachefs,
# overlayfs (it syncs what lies below) and tmpfs (which has no disk). FUSE, for one, answers
# success without asking its server.
_SYNCFS_REACHES_DISK = frozenset(
    {
        0xEF53,
        0x58465342,
        0x9123683E,
        0xF2F52010,
        0x2FC12FC1,
        0xCA451A4E,
        0x794C7630,
        0x01021994,
    }
)
_SYNCFS_TELLS_ERRORS = (5, 8)  # Linux before 5.8 answers success even where a write had failed.


def can_sync_filesystem(fd: int) -> bool:
    """Whether `sync_filesystem` can be trusted where an open folder lies."""
    if not sys.platform.startswith("linux") or _kernel() < _SYNCFS_TELLS_ERRORS:
        return False
    # struct statfs is at most 120 bytes, and its first member is the type, one word long.
    figures = (ctypes.c_ulong * 32)()
    if not hasattr(_libc(), "syncfs") or _libc().fstatfs(fd, ctypes.byref(figures)) != 0:
        return False
    return (figures[0] & 0xFFFFFFFF) in _SYNCFS_REACHES_DISK


def _kernel() -> tuple[int, ...]:
    release = platform.release().split("-")[0].split(".")
    return tuple(int(part) for part in release[:2] if part.isdigit())


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
