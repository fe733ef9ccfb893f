"""A folder that holds a folder of files for each converted task.

A task's files are written to a hidden folder first. Then one rename gives them their place, so that
a folder is whole or absent. A folder that holds other files is only replaced if the caller says so.
`scratch_folders` makes the hidden folder, and removes it even after a process was killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asynccvat.core.convert.files import ConvertedFile
from asynccvat.core.paths import OWN_FOLDER, NameRules, safe_member_path, twice
from asynccvat.errors import ConfigError
from asynccvat.fs import disk_errors, files, system_calls
from asynccvat.store.outputs import check_output
from asynccvat.store.scratch_folders import ScratchFolder, open_scratch_folder

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

    def __init__(self, out: Path, staging: ScratchFolder) -> None:
        """Use `open_converted_folders` instead."""
        self._out = out
        self._staging = staging
        self._staged = 0
        self._syncs_at_once = system_calls.can_sync_filesystem(staging.fd)

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
        tree = self._staging.path / str(self._staged)
        count = size = 0
        with disk_errors.explained("write", self._out / folder):
            tree.mkdir()
        for one in content:
            path = tree / safe_member_path(one.path, NameRules())
            with disk_errors.explained("write", self._out / folder / one.path):
                size += self._write(path, one)
            count += 1
        return StagedFolder(folder, tree, count, size)

    def _write(self, path: Path, one: ConvertedFile) -> int:
        """Write a file, and return its size."""
        size = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("xb")
        except FileExistsError:
            raise twice(one.path) from None
        with file:
            for chunk in one.chunks:
                size += file.write(chunk)
            if not self._syncs_at_once:
                file.flush()
                files.fsync(file.fileno())
        return size

    def drop(self) -> None:
        """Remove what was staged last and is no use."""
        tree = self._staging.path / str(self._staged)
        with disk_errors.explained("remove", tree):
            if tree.exists():
                shutil.rmtree(tree)

    def sync(self) -> None:
        """Wait until everything that was staged is on the disk."""
        if self._syncs_at_once:
            with disk_errors.explained("write", self._out):
                files.sync_filesystem(self._staging.fd)

    def publish(self, staged: StagedFolder, *, overwrite: bool) -> bool | None:
        """Give a staged folder its place.

        Args:
            staged: The folder.
            overwrite: Replace a folder that holds something else.

        Returns:
            True if it was written, False if the same files were there already. None if other ones
            are there and stay.

        Raises:
            ConfigError: A mirror, or backups, would be replaced.
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
            if _holds_mirror(place):
                raise ConfigError(
                    f"cannot replace {str(place)!r}: it holds a mirror, or backups. Name another "
                    "folder with --out."
                )
            self._swap(staged.tree, place)
            return True

    def _swap(self, tree: Path, place: Path) -> None:
        """Exchange a staged tree and what has its place, in one step if the system can."""
        fd = self._staging.fd
        try:
            files.exchange(tree.name, str(place.absolute()), dir_fd=fd, new_dir_fd=fd)
        except OSError as error:
            if not disk_errors.is_unsupported(error):
                raise
            before = tree.with_name(f"{tree.name}-before")
            place.rename(before)
            try:
                tree.rename(place)
            except OSError:
                before.rename(place)
                raise


@contextlib.contextmanager
def open_converted_folders(out: Path) -> Iterator[ConvertedFolders]:
    """Open a folder for converted tasks; it is made if it is missing.

    Raises:
        ConfigError: It is a mirror, holds backups, or lies in such a folder.
        StoreError: It cannot be made or written.
    """
    check_output(out, doing="convert")
    with disk_errors.explained("write", out):
        out.mkdir(parents=True, exist_ok=True)
    with open_scratch_folder(out, _STAGING_PREFIX) as staging:
        yield ConvertedFolders(out, staging)


def _holds_mirror(place: Path) -> bool:
    """Whether a folder, or one below it, is a destination of mirrors or backups."""
    return not place.is_symlink() and any(OWN_FOLDER in folders for _, folders, _ in os.walk(place))


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
