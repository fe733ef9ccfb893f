"""Leftovers of interrupted runs in a mirror's staging: recover them task by task, or remove them.

`recovery` decides what a half-done change becomes. A task that cannot be recovered is a warning:
its own fetch tries again, and the other tasks go on.
"""

from __future__ import annotations

from collections.abc import Collection

from asynccvat.fs import disk_errors, files
from asynccvat.store import trees
from asynccvat.store.commits.recovery import recover
from asynccvat.store.layout import Layout
from asynccvat.store.staging import discard, is_unfinished


def recover_task(layout: Layout, task_id: int) -> list[str]:
    """Finish or undo an interrupted change of a task, if there is one.

    Returns:
        Warnings: what the user should know of it.
    """
    return recover(layout, task_id) if _is_unfinished(layout, str(task_id)) else []


def recover_all(layout: Layout) -> list[str]:
    """Call `recover_task` for every task in staging. Errors are warnings."""
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
    """Remove leftovers, except trees worth reusing.

    Args:
        layout: The destination.
        active: The tasks that are staged now; their areas are left alone.
        planned: The tasks that will be fetched; their large trees are left.
        among: The only tasks whose leftovers may be removed, None for all.
        keep_above: From how many bytes on a tree counts as large.

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
