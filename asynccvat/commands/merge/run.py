"""Merge the tasks of mirrors into one data set. `core.merge` decides what goes where."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from asynccvat.aio.threads import entered_in_thread, in_thread
from asynccvat.commands.inventory.json_tasks import NOT_MIRRORED, not_here
from asynccvat.commands.inventory.opening import mirror_at
from asynccvat.commands.merge.reading import TaskFolder, read_task
from asynccvat.commands.merge.writing import DataSetWriter
from asynccvat.core.merge.categories import Categories
from asynccvat.core.merge.choices import DataSetFormat, ImagePlacing
from asynccvat.core.merge.filters import MergeFilter
from asynccvat.core.merge.names import source_prefixes
from asynccvat.core.merge.report import FailedMerge, MergedFiles, MergeReport
from asynccvat.core.merge.splits import Split
from asynccvat.core.merge.values import MergeTask
from asynccvat.core.plans.verify import select_receipts
from asynccvat.core.targets import TargetKind
from asynccvat.core.texts import first_few
from asynccvat.errors import (
    OF_ALL_TASKS,
    AsyncCvatError,
    ConfigError,
    InexactConversionError,
    StoreError,
    UnsafePathError,
)
from asynccvat.store import MirrorStore
from asynccvat.store.data_sets import DataSetFolder, open_data_set

# A cancellation waits until this many tasks are merged.
_TASKS_AT_ONCE = 32

OnMerged = Callable[[int, int], object]
"""Called now and then with the number of tasks that were read and of all."""


@dataclass(frozen=True, slots=True)
class MergePlan:
    """What is merged, and how.

    Attributes:
        to: The format of the data set.
        split: Its parts.
        filter: What is left out.
        labels: Only these labels, in this order. None for all.
        images: How images come into it.
        task_ids: Only these tasks; None for all.
        folders: Only tasks in such folders; none for all.
        overwrite: Replace files that are not of a merge, or were edited.
    """

    to: DataSetFormat
    split: Split
    filter: MergeFilter
    labels: Sequence[str]
    images: ImagePlacing
    task_ids: Collection[int] | None
    folders: Sequence[str]
    overwrite: bool


async def merge_mirrors(
    sources: Sequence[Path], out: Path, plan: MergePlan, on_merged: OnMerged | None
) -> MergeReport:
    """Merge the tasks of mirrors, as `asynccvat.merge` describes it."""
    async with contextlib.AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(mirror_at(one, doing="merge")) for one in sources]
        tasks = await _tasks(stores, plan)
        # Its numbers of classes hold for all files of labels, which are written before it.
        index = "data.yaml" if plan.to is DataSetFormat.YOLO else None
        opened = entered_in_thread(open_data_set(out, overwrite=plan.overwrite, index=index))
        folder = await stack.enter_async_context(opened)
        merge = _Merge(folder, plan)
        merge.miss(tasks)
        stack.callback(merge.writer.close)
        for first in range(0, len(tasks), _TASKS_AT_ONCE):
            chunk = [await _with_paths(*one) for one in tasks[first : first + _TASKS_AT_ONCE]]
            await in_thread(merge.work, chunk)
            if on_merged is not None:
                on_merged(first + len(chunk), len(tasks))
        return await in_thread(merge.finish, [str(one) for one in sources], str(out))


_Unread = tuple[MirrorStore, TaskFolder]


async def _tasks(stores: Sequence[MirrorStore], plan: MergePlan) -> list[_Unread]:
    """Return the tasks to merge, without the paths of their files.

    Raises:
        ConfigError: A mirror holds no task, or none is chosen.
    """
    found: list[_Unread] = []
    prefixes = source_prefixes([store.path for store in stores])
    for store, prefix in zip(stores, prefixes, strict=True):
        heads = await store.receipts()
        heads = {key: one for key, one in heads.items() if one.target is TargetKind.TASK}
        if not heads:
            raise ConfigError(
                f"cannot merge {str(store.path)!r}: it holds no task. Mirror tasks into it first."
            )
        chosen = select_receipts(heads, plan.task_ids, plan.folders)
        found += [
            (store, TaskFolder(head, store.path, prefix, ())) for _, head in sorted(chosen.items())
        ]
    if not found:
        raise ConfigError("no such task is in these mirrors. Check the ids and the folders.")
    return found


async def _with_paths(store: MirrorStore, one: TaskFolder) -> TaskFolder:
    members = await store.members(one.head.task_id)
    return TaskFolder(one.head, one.mirror, one.prefix, [member.path for member in members])


class _Merge:
    """The work of worker threads, one call after the other."""

    def __init__(self, folder: DataSetFolder, plan: MergePlan) -> None:
        self._folder = folder
        self._plan = plan
        self._categories = Categories(plan.labels)
        self.writer = DataSetWriter(
            folder, plan.to, self._categories, link=plan.images is ImagePlacing.LINK
        )
        self._failed: list[FailedMerge] = []
        self._merged = 0
        self._left_out = Counter[str]()

    def work(self, tasks: Sequence[TaskFolder]) -> None:
        """Merge some tasks. One that fails stops no other."""
        for one in tasks:
            try:
                task = read_task(one, self._plan.to, self._plan.filter)
            except OF_ALL_TASKS:
                raise
            except (InexactConversionError, StoreError) as error:
                self._fail(one, error)
                continue
            try:
                self._add(one, task)
            except (InexactConversionError, UnsafePathError) as error:
                self._fail(one, error)

    def miss(self, tasks: Sequence[_Unread]) -> None:
        """Report the tasks that were named by their ids, and that no mirror holds."""
        if not self._plan.folders:
            here = [one.head.task_id for _, one in tasks]
            self._failed += [
                FailedMerge("", number, "", NOT_MIRRORED)
                for number in not_here(self._plan.task_ids, here)
            ]

    def _fail(self, one: TaskFolder, error: AsyncCvatError) -> None:
        head = one.head
        self._failed.append(FailedMerge(str(one.mirror), head.task_id, head.task_name, str(error)))

    def _add(self, one: TaskFolder, task: MergeTask) -> None:
        split, task_id = self._plan.split, one.head.task_id
        images = [
            (split.part_of(task_id, image, is_video=task.is_video), image)
            for image in self._plan.filter.images(task.images, self._categories)
        ]
        if images:
            self._categories.add(task.labels, f"task {task_id}")
            self.writer.add(one, images)
            self._merged += 1
            self._left_out += task.left_out

    def finish(self, sources: Sequence[str], out: str) -> MergeReport:
        """Write what remains; without any task, leave the folder as it is."""
        files = MergedFiles()
        if self._merged:
            self.writer.finish()
            files = self._folder.counts
        parts = [self.writer.parts[name] for name in sorted(self.writer.parts)]
        return MergeReport(
            sources=sources,
            out=out,
            format=str(self._plan.to),
            labels=self._categories.names,
            parts=parts,
            failed=self._failed,
            tasks=self._merged,
            files=files,
            warnings=self._warnings(),
        )

    def _warnings(self) -> list[str]:
        found = list(self._categories.conflicts)
        if self._categories.missing:
            found.append(f"no task has the label {first_few(self._categories.missing)}")
        lacking = sum(part.without_file for part in self.writer.parts.values())
        if lacking:
            found.append(
                f"{lacking:,} images are only described, as the mirrors have no file of them"
            )
        if self._left_out:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in self._left_out.most_common())
            found.append(
                f"{self._plan.to} cannot hold some annotations, so they are left out: {kinds}"
            )
        if self._plan.to is DataSetFormat.YOLO:
            needed = [one for one in ("train", "val") if one not in self.writer.parts]
            if needed and self.writer.parts:
                found.append(
                    f"Ultralytics needs {' and '.join(needed)}, which data.yaml takes from "
                    f"{min(self.writer.parts)}"
                )
        if self._folder.kept:
            found.append(f"edited, so not removed: {first_few(self._folder.kept)}")
        return found
