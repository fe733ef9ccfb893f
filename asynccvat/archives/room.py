"""Make sure that what is written fits on the disk."""

from __future__ import annotations

from asynccvat.core.units import number_of_bytes
from asynccvat.errors import DiskFullError
from asynccvat.fs import files

SPARE_BYTES = 16 * 1024 * 1024
"""Bytes that stay free on the destination's file system: receipts have to fit, too."""

LOOK_AFTER = 64 * 1024 * 1024
"""Bytes that are written between two looks at the free space."""


def require_room(folder: int, size: int, task_id: int) -> None:
    """Make sure that `size` more bytes fit.

    Args:
        folder: Handle of a file or folder on the file system.
        size: Bytes.
        task_id: The task, for messages.

    Raises:
        DiskFullError: They do not.
    """
    free = files.free_bytes(folder)
    if size + SPARE_BYTES > free:
        raise DiskFullError(
            f"task {task_id} needs {number_of_bytes(size)} more, and "
            f"{number_of_bytes(SPARE_BYTES)} must stay free, but the disk has only "
            f"{number_of_bytes(free)}. Free some space, then run again: finished files stay.",
            task_id=task_id,
            step="extract",
        )
