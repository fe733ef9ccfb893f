"""Measure the room that a destination takes. `core.inventory.usage` adds it up."""

from __future__ import annotations

from pathlib import Path

from asynccvat.commands.inventory.opening import identify, is_of_backups
from asynccvat.core.inventory.usage import DiskUsage, RoomOwner, add_up
from asynccvat.store import BackupStore, MirrorStore


async def read_usage(dest: Path) -> DiskUsage:
    """Return the room that a destination takes.

    Raises:
        ConfigError: It is no destination, or a newer asynccvat wrote it.
        StoreError: It cannot be read.
    """
    identity = await identify(dest)
    if is_of_backups(identity):
        async with BackupStore.open(dest, read_only=True) as backup_store:
            backups = await backup_store.list()
            names = {
                RoomOwner(one.receipt.target, one.receipt.id): one.receipt.name for one in backups
            }
            return add_up(str(dest), await backup_store.measure(), names, {})
    async with MirrorStore.open(
        dest, origin=identity.origin, organization=identity.organization, read_only=True
    ) as store:
        heads = await store.receipts()
        owners = {RoomOwner(head.target, head.task_id): head for head in heads.values()}
        names = {owner: head.task_name for owner, head in owners.items()}
        projects = {owner: head.project_id for owner, head in owners.items()}
        return add_up(str(dest), await store.measure(heads), names, projects)
