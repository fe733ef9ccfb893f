"""Folders that commands write to, and that are no destinations themselves."""

from __future__ import annotations

import os
from pathlib import Path

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.errors import ConfigError
from asynccvat.fs import disk_errors


def check_output(out: Path, *, doing: str) -> None:
    """Refuse to write into a destination, whose next run would meet the files. Blocks.

    Args:
        out: The folder. It may be missing.
        doing: What writes to it, for messages ("merge").

    Raises:
        ConfigError: It holds a mirror or backups, or a folder above it does.
        StoreError: The path cannot be followed.
    """
    with disk_errors.explained("read", out):
        whole = out.resolve()
        for folder in (whole, *whole.parents):
            if os.path.lexists(folder / OWN_FOLDER):
                raise ConfigError(
                    f"cannot {doing} into {str(out)!r}: {str(folder)!r} holds a mirror or backups. "
                    "Name a folder elsewhere with --out."
                )
