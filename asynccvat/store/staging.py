"""Staging: the tree of one task on its way, and the files that can be reused for it.

Files come from two places: the folder that is being replaced, and trees of killed runs, renamed to
`previous-<n>` next to the fresh tree. `archives.reuse` checks and links them; `commits` publishes
the tree.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asynccvat.core.records.receipts import MemberRecord, Receipt
from asynccvat.core.specs import ExportSpec
from asynccvat.fs import files
from asynccvat.store import trees
from asynccvat.store.layout import (
    INTENT,
    OLD,
    OLD_RECEIPT,
    PARTS,
    PREVIOUS,
    SPOOL,
    TREE,
    Layout,
    decode_or_none,
)

KEEP_ABOVE = 16 * 1024 * 1024
"""Bytes. A smaller staged tree is not worth keeping for the next run."""


@dataclass(frozen=True, slots=True)
class Reusable:
    """A file that can be reused for a member, once its bytes were read and compared.

    Attributes:
        folder: The folder below which it has the member's path.
        size: Bytes, as last seen.
        crc: CRC-32 from its receipt; None for a file of a killed run, which has no receipt.
        mtime_ns: Modification time from its receipt, nanoseconds; None as for the CRC. A file of
            another time was edited by the user: it may be copied, but not linked.
    """

    folder: Path
    size: int
    crc: int | None
    mtime_ns: int | None = None


@dataclass
class Staging:
    """The staged tree of one task. Made by a store's `stage`.

    Attributes:
        task_id: The task.
        tree: The folder to fill. Write through `open_tree`; this path is for messages.
        reusable: The files that can be reused for each member, by its path.
        previous: The receipt of the folder that will be replaced, None if there is none.
        attempted: Whether a commit was attempted.
        published: Whether a commit began to rename it to its final name in a mirror. If the commit
            failed after that, recovery may still finish it.
        ended: Whether it was committed or abandoned.
    """

    task_id: int
    tree: Path
    reusable: Mapping[str, tuple[Reusable, ...]]
    previous: Receipt | None = None
    attempted: bool = False
    published: bool = False
    ended: bool = False
    _base: int = -1
    _name: str = ""
    _roots: Mapping[Path, tuple[int, str]] = field(default_factory=dict)

    def expected(self, spec: ExportSpec) -> tuple[MemberRecord, ...]:
        """Predict the members of an archive of this spec; nothing without a fitting receipt."""
        previous = self.previous
        if previous is None or not previous.head.is_made_as(spec):
            return ()
        return previous.members

    @contextlib.contextmanager
    def open_tree(self) -> Iterator[int]:
        """Open the tree, as a handle for calls relative to it."""
        with files.folder(f"{self._name}/{TREE}", dir_fd=self._base) as fd:
            yield fd

    @contextlib.contextmanager
    def open_spool(self) -> Iterator[int]:
        """Open an empty file for an archive that has to be on disk before it is read.

        The file has no name any more, so closing it removes it. A killed process leaves it behind
        only between the two calls that create the file and remove its name.
        """
        with files.folder(self._name, dir_fd=self._base) as area:
            if files.lstat(SPOOL, dir_fd=area) is not None:
                files.unlink(SPOOL, dir_fd=area)
            fd = files.open_for_writing(SPOOL, dir_fd=area)
            try:
                files.unlink(SPOOL, dir_fd=area)
                yield fd
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def open_parts(self) -> Iterator[int]:
        """Open the folder of unfinished large members, and make it if it is missing."""
        with files.folder(self._name, dir_fd=self._base) as area:
            with contextlib.suppress(FileExistsError):
                files.mkdir(PARTS, dir_fd=area)
            with files.folder(PARTS, dir_fd=area) as fd:
                yield fd

    def part_sizes(self) -> dict[str, int]:
        """Return the sizes of the unfinished large members, by their names."""
        with files.folder(self._name, dir_fd=self._base) as area:
            if not trees.is_folder(PARTS, dir_fd=area):
                return {}
            return dict(trees.regular_files(PARTS, dir_fd=area))

    @contextlib.contextmanager
    def open_source(self, source: Reusable, path: str) -> Iterator[tuple[int, str]]:
        """Open the folder that holds a reusable file, and yield its name there, too.

        Raises:
            OSError: It is gone, or a link stands on the way.
        """
        dir_fd, root = self._roots[source.folder]
        parent, _, name = path.rpartition("/")
        with files.folder(f"{root}/{parent}" if parent else root, dir_fd=dir_fd) as fd:
            yield fd, name


def prepare_area(base: int, name: str) -> list[str]:
    """Make a fresh tree in an area, and rename the tree of a killed run.

    Args:
        base: Handle of the folder that holds the area.
        name: The area.

    Returns:
        The names, in the area, of the trees that killed runs left.
    """
    if files.lstat(name, dir_fd=base) is None:
        files.mkdir(name, dir_fd=base)
    with files.folder(name, dir_fd=base) as area:
        previous = [entry for entry in files.names(area) if entry.startswith(PREVIOUS)]
        if files.lstat(TREE, dir_fd=area) is not None:
            number = next(n for n in itertools.count(1) if f"{PREVIOUS}{n}" not in previous)
            previous.append(f"{PREVIOUS}{number}")
            files.rename(TREE, previous[-1], dir_fd=area, new_dir_fd=area)
        files.mkdir(TREE, dir_fd=area)
    return previous


def new_staging(layout: Layout, task_id: int) -> Staging:
    """Stage a task of a mirror. An unfinished change of it must have been recovered before."""
    sources = _Sources()
    receipt = decode_or_none(layout.receipt_bytes(task_id))
    if receipt is not None and trees.is_folder(receipt.head.folder, dir_fd=layout.dest):
        sources.previous = receipt
        folder = receipt.head.folder
        root = sources.add_root(layout.path / folder, layout.dest, folder)
        for member in receipt.members:
            sources.add(member.path, Reusable(root, member.size, member.crc, member.mtime_ns))
    return stage_in(
        layout.staging,
        str(task_id),
        layout.staging_path,
        task_id=task_id,
        sources=sources,
    )


@dataclass
class _Sources:
    files: dict[str, list[Reusable]] = field(default_factory=dict)
    roots: dict[Path, tuple[int, str]] = field(default_factory=dict)
    previous: Receipt | None = None

    def add_root(self, path: Path, dir_fd: int, name: str) -> Path:
        self.roots[path] = (dir_fd, name)
        return path

    def add(self, path: str, file: Reusable) -> None:
        self.files.setdefault(path, []).append(file)


def stage_in(
    base: int, name: str, base_path: Path, *, task_id: int, sources: _Sources | None = None
) -> Staging:
    """Stage a task in an area, and find files that killed runs left there.

    Args:
        base: Handle of the folder that holds the area.
        name: The area.
        base_path: Path of the folder that holds the area.
        task_id: The task.
        sources: Other files that can be reused.
    """
    sources = sources or _Sources()
    for tree in prepare_area(base, name):
        root = sources.add_root(base_path / name / tree, base, f"{name}/{tree}")
        for path, size in trees.regular_files(f"{name}/{tree}", dir_fd=base):
            sources.add(path, Reusable(root, size, None))
    return Staging(
        task_id,
        base_path / name / TREE,
        {path: tuple(found) for path, found in sources.files.items()},
        sources.previous,
        _base=base,
        _name=name,
        _roots=sources.roots,
    )


def staged_trees(area: int) -> list[str]:
    """Return the names of the trees in an open area, and of the folder of unfinished members."""
    return [
        name for name in files.names(area) if name in (TREE, PARTS) or name.startswith(PREVIOUS)
    ]


def sync_tree(area: int, *, fsync: Callable[[int], None]) -> None:
    """Sync the tree in an open area.

    Large members were renamed into it. A rename is durable once both folders are, says POSIX.
    """
    trees.sync(TREE, dir_fd=area, fsync=fsync)
    if trees.is_folder(PARTS, dir_fd=area):
        with files.folder(PARTS, dir_fd=area) as fd:
            fsync(fd)


def discard(base: int, name: str, *, keep_above: int | None) -> bool:
    """Remove an area, unless its trees are worth keeping.

    The area must not hold an unfinished change: no intent and no old tree.

    Args:
        base: Handle of the folder that holds the area.
        name: The area.
        keep_above: Keep the area if its trees hold more bytes; None removes it always.

    Returns:
        Whether it was removed.
    """
    if not trees.is_folder(name, dir_fd=base):
        trees.remove(name, dir_fd=base)
        return True
    if keep_above is not None:
        with files.folder(name, dir_fd=base) as area:
            if sum(trees.size(tree, dir_fd=area) for tree in staged_trees(area)) > keep_above:
                return False
    trees.remove(name, dir_fd=base)
    return True


def is_unfinished(area: int) -> bool:
    """Whether an open area holds a change that was interrupted."""
    return any(files.lstat(name, dir_fd=area) is not None for name in (INTENT, OLD, OLD_RECEIPT))
