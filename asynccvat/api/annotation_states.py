"""Look at states of annotations, without a server: `annotation_log`, `diff_annotations`."""

from __future__ import annotations

from pathlib import Path

from asynccvat.api.arguments import PathText, checked_path
from asynccvat.commands.inventory.annotation_states import compare_places, read_log
from asynccvat.core.annotations.comparisons import AnnotationComparison, AnnotationLog


async def annotation_log(dest: PathText, task_id: int) -> AnnotationLog:
    """Return the states of a task's annotations that a mirror of `CVAT JSON` has kept; offline.

    Earlier states are kept by mirrors with `history`.

    Args:
        dest: The mirror.
        task_id: The task.

    Returns:
        The states, oldest first, each with its counts and what changed since the one before.

    Raises:
        ConfigError: It is no mirror, or does not hold the task as JSON.
        StoreError: It cannot be read.
    """
    return await read_log(checked_path(dest), task_id)


async def diff_annotations(
    first: PathText, second: PathText, *, dest: PathText | None = None
) -> AnnotationComparison:
    """Compare annotations of `CVAT JSON` in two places; offline.

    Annotations are matched by their ids if both are of one server, the others by their content.
    Labels are compared by name if `labels.json` lies next to the file.

    Args:
        first: A file of annotations, the folder of a task, or a folder of such folders. With
            `dest` also a text like `147` or `147@2026-11-01`: the task as it is mirrored, or as it
            was on that day.
        second: The same, to compare with.
        dest: The mirror that has the states of such texts.

    Raises:
        ConfigError: There are no annotations, a state is not kept, or a task is compared with a
            folder of tasks.
        AnnotationFileError: A file is not CVAT's JSON. Of a folder of tasks, that is in `failed`.
        StoreError: A file cannot be read.
    """
    mirror = None if dest is None else checked_path(dest)
    return await compare_places(_place(first), _place(second), mirror)


def _place(given: PathText) -> Path | str:
    """Return a place that is compared. A text may also name a task of the mirror."""
    path = checked_path(given)
    return given if isinstance(given, str) else path
