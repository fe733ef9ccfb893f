"""Find the tasks of a mirror as JSON, and read their files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from asynccvat.commands.inventory.opening import mirror_at
from asynccvat.core.plans.verify import select_receipts
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.selections.id_lists import required
from asynccvat.core.specs import CVAT_JSON
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.fs import disk_errors, files

NOT_MIRRORED = "no mirror here holds it. Check the id, or mirror the task first."
"""Why a task that `not_here` names is not read."""


def not_here(task_ids: Collection[int] | None, here: Iterable[int]) -> list[int]:
    """Return the tasks that were named by their ids, not in a range, and are not here."""
    return sorted(required(task_ids).difference(here))


async def json_heads(
    dest: Path, task_ids: Collection[int] | None, folders: Sequence[str], *, doing: str
) -> list[ReceiptHead]:
    """Return the receipts of tasks that a mirror holds as JSON.

    Args:
        dest: The mirror.
        task_ids: Only these tasks; None for all.
        folders: Only tasks in folders whose names match one of these patterns; none for all.
        doing: What is done with them, for messages ("convert").

    Raises:
        ConfigError: It is no mirror, or there is no such task as JSON in it.
        StoreError: It cannot be read.
    """
    async with mirror_at(dest, doing=doing) as store:
        heads = await store.receipts()
    if not heads:
        raise ConfigError(
            f"cannot {doing} {str(dest)!r}: it holds no task yet. Mirror tasks into it first, with "
            "--format json."
        )
    as_json = {
        number: head
        for number, head in heads.items()
        if head.format == CVAT_JSON and head.target is TargetKind.TASK
    }
    if not as_json:
        raise ConfigError(
            f"cannot {doing} {str(dest)!r}: it holds no task as JSON. Mirror into another folder "
            f"with --format json, and {doing} that."
        )
    chosen = list(select_receipts(as_json, task_ids, folders).values())
    if not chosen:
        raise ConfigError(
            f"{str(dest)!r} holds no such task as JSON. Check the ids and the folders, or mirror "
            "these tasks first."
        )
    return chosen


def read_json_files(dest: Path, folder: str, names: Iterable[str]) -> dict[str, bytes]:
    """Read the files of a task that are there. Blocks.

    They are of one version, as the task's folder is opened once.

    Raises:
        StoreError: They cannot be read.
    """
    found = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk_errors.explained("read", dest / folder))
        root = files.open_directory(dest)
        stack.callback(os.close, root)
        opened = stack.enter_context(files.folder(folder, dir_fd=root))
        for name in names:
            content = files.read_file(name, dir_fd=opened)
            if content is not None:
                found[name] = content
    return found
