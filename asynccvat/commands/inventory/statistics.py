"""Count what the tasks of a mirror as JSON hold. `core.statistics` counts each of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.commands.inventory.json_tasks import (
    NOT_MIRRORED,
    json_heads,
    not_here,
    read_json_files,
)
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.statistics.counting import STATISTICS_FILES, count_task
from asynccvat.core.statistics.values import MirrorStatistics, TaskStatistics
from asynccvat.errors import AnnotationFileError, StoreError

# Seconds for which a thread counts tasks at once. A cancellation waits for it.
_AT_ONCE = 0.2

OnCounted = Callable[[TaskStatistics, int], object]
"""Called for each task with its counts and the number of all tasks."""


async def count_mirror(
    dest: Path,
    *,
    task_ids: Collection[int] | None,
    folders: Sequence[str],
    on_task: OnCounted | None,
) -> MirrorStatistics:
    """Count the tasks of a mirror, as `asynccvat.stats` describes it."""
    heads = await json_heads(dest, task_ids, folders, doing="count")
    found: list[TaskStatistics] = []
    while len(found) < len(heads):
        counted = await in_thread(_count_some, dest, heads[len(found) :])
        found += counted
        for one in counted:
            if on_task is not None:
                on_task(one, len(heads))
    if not folders:
        found += [
            TaskStatistics(number, "", "", None, NOT_MIRRORED)
            for number in not_here(task_ids, [head.task_id for head in heads])
        ]
    return MirrorStatistics(str(dest), found)


def _count_some(dest: Path, heads: Sequence[ReceiptHead]) -> list[TaskStatistics]:
    """Count the first of these tasks, one at least."""
    until = time.monotonic() + _AT_ONCE
    found = []
    for head in heads:
        found.append(_count_one(dest, head))
        if time.monotonic() >= until:
            break
    return found


def _count_one(dest: Path, head: ReceiptHead) -> TaskStatistics:
    """Count one task. If it cannot be counted, that stops no other."""
    try:
        counts = count_task(read_json_files(dest, head.folder, STATISTICS_FILES))
    except (AnnotationFileError, StoreError) as error:
        return TaskStatistics(head.task_id, head.task_name, head.folder, None, str(error))
    return TaskStatistics(head.task_id, head.task_name, head.folder, counts)
