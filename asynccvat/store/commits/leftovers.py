"""What interrupted runs left in the staging of a mirror, task by task: put right, kept, removed.

Which state a change that is half done is brought to is left to `recovery`. What cannot be put
right now becomes a warning: the task's own fetch meets it again, and the others go on.
"""

from __future__ import annotations

from collections.abc import Collection

from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.commits.recovery import recover
from asynccvat.store.layout import Layout
from asynccvat.store.staging import discard, is_unfinished


def recover_task(layout: Layout, task_id: int) -> list[str]:
    """Finish or undo the change on a task that did not come to its end, if there is one.

    Returns:
        Warnings: what the user ought to know of it.
    """
    return recover(layout, task_id) if _is_unfinished(layout, str(task_id)) else []


def recover_all(layout: Layout) -> list[str]:
    """`recover_task` for every task that is there."""
    warnings: list[str] = []
    for name in files.names(layout.staging):
        task_id = _task_of(name)
        if task_id is not None:
            try:
                warnings += recover_task(layout, task_id)
            except OSError as error:
                area = layout.staging_path / name
                doing = "recover from an interrupted run in"
                warnings.append(str(disk_errors.explain(error, doing, area, task_id=task_id)))
    return warnings


def sweep(
    layout: Layout,
    *,
    active: Collection[int],
    planned: Collection[int],
    among: Collection[int] | None,
    keep_above: int,
) -> list[str]:
    """Remove what is left, but for trees worth keeping.

    Args:
        layout: The destination.
        active: The tasks that are under way; theirs are left alone.
        planned: The tasks that are going to be fetched; theirs are kept above some size.
        among: The tasks whose leftovers may go, None for whatever is there.
        keep_above: That size, in bytes.

    Returns:
        Warnings: what could not be removed.
    """
    warnings: list[str] = []
    for name in files.names(layout.staging):
        task_id = _task_of(name)
        if task_id in active or not (among is None or task_id in among):
            continue
        try:
            if task_id is not None and _is_unfinished(layout, name):
                continue  # recovery failed, and a warning says so
            kept = keep_above if task_id in planned else None
            discard(layout.staging, name, keep_above=kept)
        except OSError as error:
            warnings.append(str(disk_errors.explain(error, "sweep", layout.staging_path / name)))
    return warnings


def _is_unfinished(layout: Layout, name: str) -> bool:
    if not trees.is_folder(name, dir_fd=layout.staging):
        return False
    with files.folder(name, dir_fd=layout.staging) as area:
        return is_unfinished(area)


def _task_of(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdecimal() and str(int(name)) == name else None
