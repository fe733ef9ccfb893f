"""Folders in memory, for tests that make and remove thousands of files.

A disk would be slow there: ext4, for example, waits for the drive in each rename that replaces a
file. The check of all output for secrets reads each folder before it goes, as with `tmp_path`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def in_memory() -> Iterator[Path]:
    """A folder, in memory where there is room for one, that is gone afterwards."""
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, prefix="asynccvat-test-") as name:
        folder = Path(name)
        try:
            yield folder
        finally:
            leave(folder)


def leave(folder: Path) -> None:
    """Called when a folder is about to go."""
