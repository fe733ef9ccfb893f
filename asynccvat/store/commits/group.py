"""A group of operations, done step by step with one sync after each step for all of them.

A member that fails leaves the group and the others go on; a sync that fails fails the group. What
each operation does in a step is left to `commit`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from asynccvat.errors import AsyncCvatError
from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.commits.operations import Operation
from asynccvat.store.layout import INTENT, TREE, Layout
from asynccvat.store.staging import staged_trees

SYNCFS_FROM = 8
"""Files and folders in one step from which a single syncfs is cheaper than an fsync of each.

An fsync costs one commit of the journal, and a syncfs costs one, too, but also whatever other
processes wrote lately: so few files are synced singly, and many, as in a group of small tasks, at
once."""


def run_group(layout: Layout, operations: Sequence[Operation]) -> None:
    """Do every step for every operation, syncing between the steps where anything is synced.

    Afterwards each operation has its `error`, or has none and is done.
    """
    try:
        alive = _step(operations, "open")
        alive = _step(alive, "prepare")
        if layout.durable and not _sync(layout, alive, trees_too=True):
            _forget_trees(alive)
            return
        for name in ("publish", "record"):
            alive = _step(alive, name)
            if layout.durable and not _sync(layout, alive):
                return
        for operation in alive:
            operation.recorded = True
        _step(alive, "clear")
    finally:
        for operation in operations:
            operation.close()


def _step(operations: Sequence[Operation], name: str) -> list[Operation]:
    alive = []
    for operation in operations:
        try:
            getattr(operation, name)()
        except OSError as error:
            problem = disk_errors.explain(error, name, operation.path, task_id=operation.task_id)
            problem.__cause__ = error
            _fail(operation, problem)
        except AsyncCvatError as error:
            _fail(operation, error)
        else:
            alive.append(operation)
    return alive


def _fail(operation: Operation, error: AsyncCvatError) -> None:
    if operation.recorded:
        operation.warnings.append(
            f"{error} (the folder is in its place; the next run clears up what it replaced)"
        )
    else:
        operation.error = error


def _sync(layout: Layout, operations: Sequence[Operation], *, trees_too: bool = False) -> bool:
    """Make durable what a step did; a failure is every member's, and is not tried again."""
    if not operations:
        return True
    folders = [op.area for op in operations]
    folders += [layout.staging] if trees_too else [layout.dest, layout.receipts]
    count = len(folders)
    if trees_too:
        count += sum(operation.tree_files or 0 for operation in operations)
    try:
        if count >= SYNCFS_FROM and layout.can_sync_filesystem:
            layout.sync_filesystem()
            return True
        if trees_too:
            for operation in operations:
                if operation.tree_files is not None:
                    trees.sync(TREE, dir_fd=operation.area, fsync=layout.fsync)
        for fd in folders:
            layout.fsync(fd)
    except OSError as error:
        for operation in operations:
            operation.error = disk_errors.explain(
                error, "make durable", operation.path, task_id=operation.task_id
            )
            operation.error.__cause__ = error
        return False
    return True


def _forget_trees(operations: Sequence[Operation]) -> None:
    """Remove trees whose content may be on disk or not: nothing may be taken over from them.

    Those of killed runs, too, which share files with them that were taken over by a link.
    """
    for operation in operations:
        if operation.tree_files is not None:
            with contextlib.suppress(OSError):  # the error that counts is told already
                files.unlink(INTENT, dir_fd=operation.area)
                for name in staged_trees(operation.area):
                    trees.remove(name, dir_fd=operation.area)
