"""Convert the tasks of a mirror one by one. `core.convert` decides what is in their files.

A task that cannot be converted stops no other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from asynccvat.aio.threads import entered_in_thread, in_thread
from asynccvat.commands.inventory.opening import mirror_at
from asynccvat.core.convert.formats import convert_task, wanted_format
from asynccvat.core.convert.report import ConversionReport, ConversionState, TaskConversion
from asynccvat.core.convert.task_json import TASK_FILES, TaskJson, read_task_json
from asynccvat.core.plans.verify import select_receipts
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import CVAT_JSON
from asynccvat.core.targets import TargetKind
from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    InexactConversionError,
    StoreError,
    UnsafePathError,
)
from asynccvat.fs import disk_errors, files
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
    heads = await _heads(dest, task_ids, folders)
    await in_thread(_check_apart, dest, out)
    async with entered_in_thread(open_converted_folders(out)) as converted:
        worker = _Worker(dest, converted, to, overwrite=overwrite)
        found: list[TaskConversion] = []
        while len(found) < len(heads):
            done = await in_thread(worker.work, heads[len(found) :])
            found += done
            for one in done:
                if on_task is not None:
                    on_task(one, len(heads))
    return ConversionReport(str(dest), str(out), to, found)


def _check_apart(dest: Path, out: Path) -> None:
    """Refuse to convert into the mirror, whose next run would meet the files.

    Raises:
        ConfigError: The output lies in the mirror.
        StoreError: A path cannot be followed.
    """
    with disk_errors.explained("read", out):
        is_inside = out.resolve().is_relative_to(dest.resolve())
    if is_inside:
        raise ConfigError(
            f"cannot convert into {str(out)!r}: it lies in the mirror {str(dest)!r}. Name a folder "
            "elsewhere with --out."
        )


async def _heads(
    dest: Path, task_ids: Collection[int] | None, folders: Sequence[str]
) -> list[ReceiptHead]:
    """Return the receipts of the tasks to convert.

    Raises:
        ConfigError: It is no mirror, or there is no such task as JSON in it.
    """
    async with mirror_at(dest, doing="convert") as store:
        heads = await store.receipts()
    as_json = {
        number: head
        for number, head in heads.items()
        if head.format == CVAT_JSON and head.target is TargetKind.TASK
    }
    if not as_json:
        raise ConfigError(
            f"cannot convert {str(dest)!r}: it holds no task as JSON. Mirror into another folder "
            "with --format json, and convert that."
        )
    chosen = list(select_receipts(as_json, task_ids, folders).values())
    if not chosen:
        raise ConfigError(
            f"{str(dest)!r} holds no such task as JSON. Check the ids and the folders, or mirror "
            "these tasks first."
        )
    return chosen


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
        """Convert the first of these tasks: as many as are synced together."""
        staged: list[tuple[ReceiptHead, str, StagedFolder] | TaskConversion] = []
        size = 0
        for head in heads[:_TASKS_AT_ONCE]:
            one = self._stage(head)
            staged.append(one)
            if isinstance(one, tuple):
                size += one[2].bytes
            if size >= _BYTES_AT_ONCE:
                break
        self._converted.sync()
        return [one if isinstance(one, TaskConversion) else self._publish(*one) for one in staged]

    def _stage(self, head: ReceiptHead) -> tuple[ReceiptHead, str, StagedFolder] | TaskConversion:
        try:
            source = self._read(head)
        except (InexactConversionError, StoreError) as error:
            return _failed(head, error)
        name = wanted_format(source, self._to)
        try:
            return head, name, self._converted.stage(head.folder, convert_task(source, name))
        except (InexactConversionError, UnsafePathError) as error:
            self._converted.drop()
            return _failed(head, error)

    def _read(self, head: ReceiptHead) -> TaskJson:
        """Read the files of a task. They are of one version, as its folder is opened once."""
        found = {}
        with contextlib.ExitStack() as stack:
            stack.enter_context(disk_errors.explained("read", self._dest / head.folder))
            root = files.open_directory(self._dest)
            stack.callback(os.close, root)
            folder = stack.enter_context(files.folder(head.folder, dir_fd=root))
            for name in TASK_FILES:
                content = files.read_file(name, dir_fd=folder)
                if content is not None:
                    found[name] = content
        return read_task_json(found)

    def _publish(self, head: ReceiptHead, name: str, staged: StagedFolder) -> TaskConversion:
        written = self._converted.publish(staged, overwrite=self._overwrite)
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
