"""Write small files that nobody else may read, whole or not at all, one program at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from asynccvat.errors import ConfigError

if sys.platform != "win32":
    import fcntl

LOCK_SECONDS = 30.0
"""The longest wait for another program that changes the same file."""

_PAUSE_SECONDS = 0.05
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What `flock` raises on file systems without locks."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let no other program change a file until the block ends. Blocks.

    The kernel frees the lock when the program ends, however it ends. Where the file system has no
    locks, two programs may change the file at once. Then the change of the later one stays.

    Args:
        path: The file. Its lock is a file beside it, which stays.

    Raises:
        ConfigError: The lock cannot be opened, or another program holds it for too long.
    """
    lock = path.with_suffix(".lock")
    with _reported(lock):
        _make_folder(path.parent)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        fd = os.open(lock, flags, 0o600)
    try:
        with _reported(lock):
            _lock(fd, path)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, path: Path) -> None:
    if sys.platform == "win32":
        return
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise ConfigError(
                    f"{str(path)!r} cannot be changed: another program has been changing it for "
                    f"{LOCK_SECONDS:.0f} s. Does it wait for a keyring to be unlocked? End it, "
                    "and try again."
                ) from None
            time.sleep(_PAUSE_SECONDS)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return
            raise
        else:
            return


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 600 in a folder of mode 700, as CVAT's own tools do. Blocks.

    A reader finds the old content or the new one. The folder is made if it is missing.

    Raises:
        ConfigError: It cannot be written. The message says why.
    """
    with _reported(path):
        _write(path, content)


@contextlib.contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{str(path)!r} cannot be written: {error.strerror}. Check the folder's permissions "
            "and the disk's room."
        ) from error


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        folder.chmod(0o700)


def _write(path: Path, content: bytes) -> None:
    _make_folder(path.parent)
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    fd = os.open(part, flags, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            if os.name == "posix":
                os.fchmod(fd, 0o600)
            file.write(content)
            file.flush()
            os.fsync(fd)
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
