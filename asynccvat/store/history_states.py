"""Read which versions of a task's files a mirror has kept. `core.annotations.states` orders them.

`history` writes the versions. Nothing is changed here, and no lock is needed.
"""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

from asynccvat.core.annotations.json_files import ANNOTATIONS
from asynccvat.core.annotations.states import KeptVersion, in_order, kept_version
from asynccvat.core.inventory.kept import KeptKind, by_kept_name, quarantined
from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.fs import disk_errors
from asynccvat.store.history import HISTORY


def read_versions(dest: Path, head: ReceiptHead) -> list[KeptVersion]:
    """Return the versions of a task's files, from the oldest to what is current. Blocks.

    Args:
        dest: The mirror.
        head: The task's receipt.

    Raises:
        StoreError: They cannot be read.
    """
    place = dest / OWN_FOLDER / HISTORY / str(head.task_id)
    with disk_errors.explained("read", place):
        versions = [
            kept_version(one.name, _names(one), one.stat().st_mtime)
            for one in (place.iterdir() if place.is_dir() else ())
            if one.is_dir() and not one.is_symlink()
        ]
    folder = dest / head.folder
    with disk_errors.explained("read", folder):
        current = KeptVersion(None, head.updated_date, _names(folder), math.inf)
    return in_order(versions, current)


def edited_at(dest: Path, head: ReceiptHead) -> list[float]:
    """Return when edited annotations of a task were put aside, in seconds since 1970. Blocks.

    Raises:
        StoreError: That cannot be read.
    """
    place = dest / OWN_FOLDER / KeptKind.QUARANTINE
    known = by_kept_name({head.task_id: head})
    found = []
    with disk_errors.explained("read", place):
        for one in place.iterdir() if place.is_dir() else ():
            item = quarantined(one.name, known)
            if item.target_id is None or item.at is None:
                continue
            if (one / ANNOTATIONS).exists():
                found.append(datetime.fromisoformat(item.at).timestamp())
    return found


def file_of_version(dest: Path, head: ReceiptHead, version: str | None, name: str) -> Path:
    """Return the path of a file in a version, or in the task's folder if the version is None."""
    if version is None:
        return dest / head.folder / name
    return dest / OWN_FOLDER / HISTORY / str(head.task_id) / version / name


def _names(folder: Path) -> frozenset[str]:
    return frozenset(one.name for one in folder.iterdir() if one.is_file())
