"""A folder that holds a folder of files for each converted task.

A task's files are written to a hidden folder first. Then one rename gives them their place, so that
a folder is whole or absent. A folder that holds other files is only replaced if the caller says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asynccvat.core.convert.files import ConvertedFile
from asynccvat.core.paths import OWN_FOLDER, NameRules, safe_member_path, twice
from asynccvat.errors import ConfigError
from asynccvat.fs import disk_errors, files

_STAGING_PREFIX = ".converting-"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class StagedFolder:
    """The files of one task before they have their place."""

    folder: str
    tree: Path
    files: int
    bytes: int


class ConvertedFolders:
    """The folders of converted tasks. All calls are synchronous, for worker threads."""

    def __init__(self, out: Path, staging: Path) -> None:
        """Use `open_converted_folders` instead."""
        self._out = out
        self._staging = staging
        self._staged = 0

    def stage(self, folder: str, content: Iterator[ConvertedFile]) -> StagedFolder:
        """Write the files of a task to a hidden folder.

        Args:
            folder: The task's folder, relative to the output.
            content: Its files.

        Raises:
            UnsafePathError: A file's name leads outside, or two files have the same.
            StoreError: The disk refuses them.
            InexactConversionError: It is not known how CVAT exports the task.
        """
        self._staged += 1
        tree = self._staging / str(self._staged)
        count = size = 0
        with disk_errors.explained("write", tree):
            tree.mkdir()
            for one in content:
                path = tree / safe_member_path(one.path, NameRules())
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    file = path.open("xb")
                except FileExistsError:
                    raise twice(one.path) from None
                with file:
                    for chunk in one.chunks:
                        size += file.write(chunk)
                count += 1
        return StagedFolder(folder, tree, count, size)

    def drop(self) -> None:
        """Remove what was staged last and is no use."""
        tree = self._staging / str(self._staged)
        with disk_errors.explained("remove", tree):
            if tree.exists():
                shutil.rmtree(tree)

    def sync(self) -> None:
        """Wait until everything that was staged is on the disk."""
        with disk_errors.explained("write", self._staging):
            fd = files.open_directory(self._staging)
            try:
                files.sync_filesystem(fd)
            finally:
                os.close(fd)

    def publish(self, staged: StagedFolder, *, overwrite: bool) -> bool | None:
        """Give a staged folder its place.

        Args:
            staged: The folder.
            overwrite: Replace a folder that holds something else.

        Returns:
            True if it was written, False if the same files were there already. None if other ones
            are there and stay.

        Raises:
            StoreError: The disk refuses it.
        """
        place = self._out / staged.folder
        with disk_errors.explained("write", place):
            if not os.path.lexists(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                staged.tree.rename(place)
                return True
            if _same(staged.tree, place):
                return False
            if not overwrite:
                return None
            before = staged.tree.with_name(f"{staged.tree.name}-before")
            place.rename(before)
            staged.tree.rename(place)
            return True


@contextlib.contextmanager
def open_converted_folders(out: Path) -> Iterator[ConvertedFolders]:
    """Open a folder for converted tasks; it is made if it is missing.

    Raises:
        ConfigError: It is a mirror, or holds backups.
        StoreError: It cannot be made or written.
    """
    if os.path.lexists(out / OWN_FOLDER):
        raise ConfigError(
            f"cannot convert into {str(out)!r}: it is a mirror, or holds backups. Name a new "
            "folder with --out."
        )
    with disk_errors.explained("write", out):
        out.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=out))
    try:
        yield ConvertedFolders(out, staging)
    finally:
        with disk_errors.explained("remove", staging):
            shutil.rmtree(staging)


def _same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files with the same bytes, and no links."""
    found = _files_in(one)
    if other.is_symlink() or _files_in(other) != found:
        return False
    return all(
        size is None or _same_bytes(one / name, other / name) for name, size in found.items()
    )


def _files_in(tree: Path) -> dict[str, int | None]:
    """Return the size of each plain file by its path; None for what is no file."""
    found: dict[str, int | None] = {}
    for root, folders, names in os.walk(tree):
        for name in (*folders, *names):
            path = Path(root, name)
            key = str(path.relative_to(tree))
            found[key] = path.stat().st_size if path.is_file() and not path.is_symlink() else None
            if path.is_symlink():
                found[key] = -1
    return found


def _same_bytes(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(_BLOCK):
            if block != second.read(_BLOCK):
                return False
    return True
