"""Tell where a mirror has what: the folder of each task, by the receipts."""

from __future__ import annotations

from pathlib import Path

from asynccvat.commands.inventory.opening import mirror_at


async def read_folders(dest: Path) -> dict[int, Path]:
    """Return the folder of each task of a mirror, by id; or of each project, or job.

    Raises:
        ConfigError: It is no mirror, or a newer asynccvat wrote it.
        StoreError: It cannot be read.
    """
    async with mirror_at(dest, doing="look into") as store:
        heads = await store.receipts()
    return {task_id: dest / heads[task_id].folder for task_id in sorted(heads)}
