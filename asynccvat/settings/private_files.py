"""Read and write small files that are their user's alone: whole, and one program at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from asynccvat.errors import ConfigError

if sys.platform != "win32":
    import fcntl

LOCK_SECONDS = 30.0
"""The longest wait for another program that changes the same file."""

_MODES = ((0o700, "folder"), (0o600, "file"))
_PAUSE_SECONDS = 0.05
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What `flock` raises on file systems without locks."""


def read_private(path: Path) -> bytes:
    """Read a file that others may neither read nor write. Blocks.

    Raises:
        ConfigError: It is no file, its mode is not 600, or that of its folder is not 700.
        OSError: It cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ConfigError(f"{str(path)!r} is not a file. Move it away, and run `asynccvat login`.")
    _check_modes(path)
    return path.read_bytes()


def _check_modes(path: Path) -> None:
    if os.name != "posix":
        return
    for place, (expected, kind) in zip((path.parent, path), _MODES, strict=True):
        mode = stat.S_IMODE(place.stat().st_mode) & 0o777
        if mode != expected:
            raise ConfigError(
                f"refusing to use {str(path)!r}: the {kind} {str(place)!r} has permissions "
                f"{mode:o} "
                f"instead of {expected:o}. Run: chmod {expected:o} '{place}'"
            )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let no other program change a file until the block ends. Blocks.

    The kernel frees the lock when the program ends, however it ends. Where the file system has no
    locks, two programs may change the file at once. Then the change of the later one stays.

    Args:
        path: The file. Its lock is a file next to it, which stays.

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
