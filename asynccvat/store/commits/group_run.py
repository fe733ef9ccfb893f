"""Run a group of changes step by step, with one sync after each step for all of them.

A change that fails leaves the group, and the others go on. A sync that fails fails the whole group.
`changes` says what each change does in a step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from asynccvat.errors import AsyncCvatError
from asynccvat.fs import disk_errors, files
from asynccvat.store.commits.changes import FolderChange
from asynccvat.store.layout import INTENT, Layout

SYNCFS_FROM = 8
"""From this many files and folders in one step, one syncfs is cheaper than an fsync of each.

Each fsync costs one commit of the file system's journal. A syncfs costs one, too, but also writes
what other processes have written lately."""


def run_group(layout: Layout, changes: Sequence[FolderChange]) -> None:
    """Run every step for every change, with a sync between steps if the layout is durable.

    Afterwards each change either has an `error` or is done.
    """
    try:
        alive = _step(changes, "open")
        alive = _step(alive, "prepare")
        if layout.durable and not _sync(layout, alive, trees_too=True):
            _forget_trees(alive)
            return
        for name in ("publish", "record"):
            alive = _step(alive, name)
            if layout.durable and not _sync(layout, alive):
                return
        for change in alive:
            change.recorded = True
        _step(alive, "clear")
    finally:
        for change in changes:
            change.close()


def _step(changes: Sequence[FolderChange], name: str) -> list[FolderChange]:
    alive = []
    for change in changes:
        try:
            getattr(change, name)()
        except OSError as error:
            problem = disk_errors.explain(error, name, change.path, task_id=change.task_id)
            problem.__cause__ = error
            _fail(change, problem)
        except AsyncCvatError as error:
            _fail(change, error)
        else:
            alive.append(change)
    return alive


def _fail(change: FolderChange, error: AsyncCvatError) -> None:
    if change.recorded:
        change.warnings.append(f"{error} {change.in_place}")
    else:
        change.error = error


def _sync(layout: Layout, changes: Sequence[FolderChange], *, trees_too: bool = False) -> bool:
    """Sync what a step did. A failure fails every change, and is not tried again."""
    if not changes:
        return True
    folders = [op.area for op in changes]
    folders += dict.fromkeys(fd for op in changes for fd in op.shared_folders(prepared=trees_too))
    count = len(folders)
    if trees_too:
        count += sum(change.tree_files or 0 for change in changes)
    try:
        if count >= SYNCFS_FROM and layout.can_sync_filesystem:
            layout.sync_filesystem()
            return True
        if trees_too:
            for change in changes:
                if change.tree_files is not None:
                    change.sync_content()
        for fd in folders:
            layout.fsync(fd)
    except OSError as error:
        for change in changes:
            change.error = disk_errors.explain(
                error, "make durable", change.path, task_id=change.task_id
            )
            change.error.__cause__ = error
        return False
    return True


def _forget_trees(changes: Sequence[FolderChange]) -> None:
    """Remove what may not be on disk, so that nothing of it is reused."""
    for change in changes:
        if change.tree_files is not None:
            with contextlib.suppress(OSError):  # the sync's error is reported already
                files.unlink(INTENT, dir_fd=change.area)
                change.forget_content()
