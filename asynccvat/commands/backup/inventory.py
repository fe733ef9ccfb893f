"""List the backups of a destination, and whether the server still has what they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from asynccvat.aio.list_warnings import warn
from asynccvat.client import CvatClient
from asynccvat.core.plans.backup import by_target
from asynccvat.core.records.backups import StoredBackup
from asynccvat.core.selections.selection import ProjectSelection, Selection
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.store import BackupStore
from asynccvat.store.identity import of_backups, server_in_words


async def inventory(dest: Path, client: CvatClient | None) -> tuple[StoredBackup, ...]:
    """Return the backups of a destination.

    Args:
        dest: The destination.
        client: The server to ask. None asks none.

    Raises:
        ConfigError: It is no destination of backups, or one of another server.
    """
    async with BackupStore.open(dest, read_only=True) as store:
        identity = store.identity
        if identity is None or (client is not None and await store.is_unused()):
            raise ConfigError(
                f"{str(dest)!r} holds no backups. Check the path, or make some with `asynccvat "
                "backup`."
            )
        if client is not None and (identity.origin, identity.organization) != (
            client.origin,
            client.organization,
        ):
            asked = server_in_words(of_backups(client.origin, client.organization))
            raise ConfigError(
                f"{str(dest)!r} holds backups of {server_in_words(identity)}, not of {asked}. "
                "Check --url and --org, or list them with --offline, without asking a server."
            )
        backups = await store.list()
        for warning in store.new_warnings():
            warn(warning)
    if client is None:
        return backups
    there = {
        (target, target_id)
        for target in (TargetKind.TASK, TargetKind.PROJECT)
        for target_id in await _on_server(client, target, list(by_target(backups, target)))
    }
    return tuple(
        msgspec.structs.replace(one, on_server=(one.receipt.target, one.receipt.id) in there)
        for one in backups
    )


async def _on_server(client: CvatClient, target: TargetKind, ids: Sequence[int]) -> set[int]:
    """Return those of the ids that the server lists."""
    if not ids:
        return set()
    if target is TargetKind.TASK:
        listing = await client.tasks(Selection(task_ids=ids))
        return {task.id for task in listing.tasks}
    return {one.id for one in await client.projects(ProjectSelection(project_ids=ids))}
