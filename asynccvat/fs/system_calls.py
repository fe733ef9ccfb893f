"""System calls that Python does not offer: exchange two names, sync a whole file system.

`files` has the effects that are made of them.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import sys

_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # sys/stdio.h of macOS
_SYSCALL_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "riscv64": 276, "i686": 353, "armv7l": 382}


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _raise_errno(call: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"{call}: {os.strerror(number)}")


def exchange(dir_fd: int, name: bytes, new_dir_fd: int, new_name: bytes) -> None:
    """Exchange two existing names in one step.

    Raises:
        OSError: `ENOSYS` if the system has no such call; otherwise as the system says.
    """
    _exchange()(dir_fd, name, new_dir_fd, new_name)


@functools.cache
def _exchange() -> _NameExchange:
    return _NameExchange()


class _NameExchange:
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
# overlayfs (it syncs the layers below) and tmpfs (which has no disk). FUSE reports success without
# asking its server, so it is not among them.
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
# Before Linux 5.8, syncfs reports success even if a write had failed.
_SYNCFS_TELLS_ERRORS = (5, 8)


def syncfs(fd: int) -> None:
    """Sync the whole file system of an open folder; see `can_sync_filesystem`.

    Raises:
        OSError: As the system says.
    """
    if _libc().syncfs(fd) != 0:
        _raise_errno("syncfs")


def can_sync_filesystem(fd: int) -> bool:
    """Whether syncfs can be trusted on the file system of an open folder."""
    if not sys.platform.startswith("linux") or _kernel() < _SYNCFS_TELLS_ERRORS:
        return False
    # struct statfs has at most 120 bytes; its first member is the type, one word long.
    figures = (ctypes.c_ulong * 32)()
    if not hasattr(_libc(), "syncfs") or _libc().fstatfs(fd, ctypes.byref(figures)) != 0:
        return False
    return (figures[0] & 0xFFFFFFFF) in _SYNCFS_REACHES_DISK


def _kernel() -> tuple[int, ...]:
    release = platform.release().split("-")[0].split(".")
    return tuple(int(part) for part in release[:2] if part.isdigit())
