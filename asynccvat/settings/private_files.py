"""Write small files that nobody else may read, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from asynccvat.errors import ConfigError


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 600 in a folder of mode 700, as CVAT's own tools do. Blocks.

    A reader finds the old content or the new one. The folder is made if it is missing.

    Raises:
        ConfigError: It cannot be written. The message says why.
    """
    try:
        _write(path, content)
    except OSError as error:
        raise ConfigError(
            f"{str(path)!r} cannot be written: {error.strerror}. Check the folder's permissions "
            "and the disk's room."
        ) from error


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        path.parent.chmod(0o700)
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
