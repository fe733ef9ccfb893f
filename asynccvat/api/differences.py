"""Compare a destination with its server: `diff`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.api.backups import plan_backup
from asynccvat.api.mirrors import plan_mirror
from asynccvat.client import CvatClient
from asynccvat.commands.inventory.opening import identify, is_of_backups
from asynccvat.core.inventory.difference import Difference, as_before
from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.core.plans.backup import BackupPlan
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError
from asynccvat.store import BackupStore


async def diff(
    client: CvatClient, dest: PathText, *, options: MirrorOptions | BackupOptions | None = None
) -> Difference:
    """Compare a mirror or backups with the server: what a run would do now, and why.

    The plan is that of `plan_mirror` or `plan_backup`, from what the destination remembers. Nothing
    is changed, here or at the server.

    Args:
        client: The server.
        dest: The destination.
        options: As for `plan_mirror` or `plan_backup`; `prune` also plans to remove what is gone.
            None goes on with backups as they are: of projects if there is none of a task,
            lightweight if there is no whole one.

    Raises:
        ConfigError: It is no destination, or one of another server, or the options are those of a
            mirror and it holds backups, or the other way round.
        StoreError: It cannot be read.
        AsyncCvatError: The server cannot be reached, or refuses the listing.
    """
    check_client(client)
    path = checked_path(dest)
    if not is_of_backups(await identify(path)):
        if isinstance(options, BackupOptions):
            raise ConfigError(f"cannot compare {str(path)!r} as backups: it holds a mirror.")
        mirror_options = checked_options(options, MirrorOptions)
        return Difference.of(await plan_mirror(client, path, options=mirror_options))
    if isinstance(options, MirrorOptions):
        raise ConfigError(
            f"cannot compare {str(path)!r} as a mirror: it holds backups. Leave out what is for "
            "mirrors, such as --prune."
        )
    if options is None:
        return Difference.of(await _plan_as_before(client, path))
    backup_options = checked_options(options, BackupOptions)
    return Difference.of(await plan_backup(client, path, options=backup_options))


async def _plan_as_before(client: CvatClient, dest: Path) -> BackupPlan:
    """Plan a run that goes on with the backups of a destination."""
    async with BackupStore.open(dest, read_only=True) as store:
        backups = await store.list()
    options = as_before(backups)
    plan = await plan_backup(client, dest, options=options)
    if options.projects or all(one.receipt.target is TargetKind.TASK for one in backups):
        return plan
    warning = (
        "backups of projects are here, too, and are not compared. `asynccvat backup "
        f"{dest} --projects --dry-run` compares them."
    )
    return replace(plan, warnings=(*plan.warnings, warning))
