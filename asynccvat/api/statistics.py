"""Count what a mirror as JSON holds, without a server: `stats`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from asynccvat.api.arguments import PathText, checked_path
from asynccvat.commands.inventory.statistics import OnCounted, count_mirror
from asynccvat.core.statistics.values import MirrorStatistics


async def stats(
    dest: PathText,
    *,
    task_ids: Collection[int] | None = None,
    folders: Sequence[str] = (),
    on_task: OnCounted | None = None,
) -> MirrorStatistics:
    """Count images, and objects by label and kind, in a mirror of `CVAT JSON`; offline.

    Args:
        dest: The mirror.
        task_ids: Only these tasks; None for all.
        folders: Only tasks in folders whose names match one of these patterns; none for all.
        on_task: Called for each task with its counts and the number of all tasks.

    Returns:
        What each task holds, and all of them together. A task whose files cannot be read is in
        `failed`.

    Raises:
        ConfigError: It is no mirror, or there is no such task as JSON in it.
        StoreError: The mirror cannot be read.
    """
    if isinstance(folders, str):
        raise TypeError(f"expected a list of patterns, not {folders!r}")
    return await count_mirror(
        checked_path(dest), task_ids=task_ids, folders=folders, on_task=on_task
    )
