"""Convert the tasks of a mirror one by one. `core.convert` decides what is in their files.

A task that cannot be converted stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from asynccvat.aio.threads import entered_in_thread, in_thread
from asynccvat.commands.inventory.json_tasks import (
    NOT_MIRRORED,
    json_heads,
    not_here,
    read_json_files,
)
from asynccvat.core.convert.formats import convert_task, wanted_format
from asynccvat.core.convert.report import ConversionReport, ConversionState, TaskConversion
from asynccvat.core.convert.task_json import TASK_FILES, read_task_json
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.errors import (
    OF_ALL_TASKS,
    AsyncCvatError,
    ConfigError,
    InexactConversionError,
    StoreError,
    UnsafePathError,
)
from asynccvat.store.converted_folders import (
    ConvertedFolders,
    StagedFolder,
    open_converted_folders,
)

# So much is written before it is synced and gets its place. A cancellation waits for it.
_TASKS_AT_ONCE = 64
_BYTES_AT_ONCE = 16 << 20

OnTask = Callable[[TaskConversion, int], object]
"""Called for each task with its conversion and the number of all tasks."""


async def convert_mirror(
    dest: Path,
    out: Path,
    *,
    to: str,
    task_ids: Collection[int] | None,
    folders: Sequence[str],
    overwrite: bool,
    on_task: OnTask | None,
) -> ConversionReport:
    """Convert the tasks of a mirror, as `asynccvat.convert` describes it."""
    heads = await json_heads(dest, task_ids, folders, doing="convert")
    async with entered_in_thread(open_converted_folders(out)) as converted:
        worker = _Worker(dest, converted, to, overwrite=overwrite)
        found: list[TaskConversion] = []
        while len(found) < len(heads):
            done = await in_thread(worker.work, heads[len(found) :])
            found += done
            for one in done:
                if on_task is not None:
                    on_task(one, len(heads))
    if not folders:
        found += [
            TaskConversion(number, "", "", ConversionState.FAILED, why=NOT_MIRRORED)
            for number in not_here(task_ids, [head.task_id for head in heads])
        ]
    return ConversionReport(str(dest), str(out), to, found)


class _Worker:
    """Converts tasks in a worker thread."""

    def __init__(
        self, dest: Path, converted: ConvertedFolders, to: str, *, overwrite: bool
    ) -> None:
        self._dest = dest
        self._converted = converted
        self._to = to
        self._overwrite = overwrite

    def work(self, heads: Sequence[ReceiptHead]) -> list[TaskConversion]:
        """Convert the first of these tasks: as many as are synced together.

        Raises:
            StoreError: The disk is full, or fails. Tasks that were written whole get their places.
        """
        staged: list[tuple[ReceiptHead, str, StagedFolder] | TaskConversion] = []
        size = 0
        stopped: StoreError | None = None
        for head in heads[:_TASKS_AT_ONCE]:
            try:
                one = self._stage(head)
            except OF_ALL_TASKS as error:
                stopped = error
                break
            staged.append(one)
            if isinstance(one, tuple):
                size += one[2].bytes
            if size >= _BYTES_AT_ONCE:
                break
        self._converted.sync()
        done = [one if isinstance(one, TaskConversion) else self._publish(*one) for one in staged]
        if stopped is not None:
            raise stopped
        return done

    def _stage(self, head: ReceiptHead) -> tuple[ReceiptHead, str, StagedFolder] | TaskConversion:
        try:
            source = read_task_json(read_json_files(self._dest, head.folder, TASK_FILES))
        except (InexactConversionError, StoreError) as error:
            if isinstance(error, OF_ALL_TASKS):
                raise
            return _failed(head, error)
        name = wanted_format(source, self._to)
        try:
            return head, name, self._converted.stage(head.folder, convert_task(source, name))
        except (InexactConversionError, UnsafePathError, StoreError) as error:
            if isinstance(error, OF_ALL_TASKS):
                raise
            self._converted.drop()
            return _failed(head, error)

    def _publish(self, head: ReceiptHead, name: str, staged: StagedFolder) -> TaskConversion:
        try:
            written = self._converted.publish(staged, overwrite=self._overwrite)
        except (ConfigError, StoreError) as error:
            if isinstance(error, OF_ALL_TASKS):
                raise
            return _failed(head, error)
        if written is None:
            return _failed(head, "its folder holds other files. Give --overwrite to replace them.")
        return TaskConversion(
            task_id=head.task_id,
            name=head.task_name,
            folder=head.folder,
            state=ConversionState.CONVERTED if written else ConversionState.UNCHANGED,
            format=name,
            files=staged.files,
            bytes=staged.bytes,
        )


def _failed(head: ReceiptHead, why: AsyncCvatError | str) -> TaskConversion:
    return TaskConversion(
        head.task_id, head.task_name, head.folder, ConversionState.FAILED, why=str(why)
    )
