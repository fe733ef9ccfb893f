"""Back up tasks and projects: `backup`, with its plan, its run, and the list of what there is.

`commands.backup` does the work.
"""

from __future__ import annotations

from dataclasses import replace

from asynccvat.api.arguments import PathText, check_client, checked_options, checked_path
from asynccvat.client import CvatClient
from asynccvat.commands.backup.inventory import inventory
from asynccvat.commands.backup.preparation import prepare, settle_with
from asynccvat.commands.backup.run import BackupRun
from asynccvat.core.options.backup import BackupOptions
from asynccvat.core.outcomes import RunReport
from asynccvat.core.plans.backup import BackupPlan
from asynccvat.core.records.backups import StoredBackup
from asynccvat.core.selections.selection import Selection
from asynccvat.store import BackupStore
from asynccvat.transfer.run import EventCallback, Run


async def plan_backup(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    *,
    options: BackupOptions | None = None,
) -> BackupPlan:
    """Plan what `backup` would do, with reasons. Nothing is changed, here or at the server.

    The arguments are those of `open_backup`.

    Raises:
        ConfigError: The destination holds a mirror, or backups of another server.
        StoreError: The destination cannot be read.
        AsyncCvatError: The server cannot be reached, or refuses the listing.
    """
    wanted = Selection.of(selection)
    options = checked_options(options, BackupOptions)
    check_client(client)
    async with BackupStore.open(
        checked_path(dest),
        origin=client.origin,
        organization=client.organization,
        read_only=True,
        planning=True,
    ) as store:
        settled = await settle_with(client, store, wanted, options)
        plan = await prepare(client, store, settled, options)
        return replace(plan, warnings=(*store.new_warnings(), *plan.warnings))


def open_backup(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    *,
    options: BackupOptions | None = None,
    on_event: EventCallback | None = None,
) -> Run:
    """Back up tasks or projects, and read each outcome as soon as its backup is stored.

    Use the run with `async with`.

    Args:
        client: The server.
        dest: The destination. It is made if it does not exist, and holds nothing else.
        selection: Which tasks. Conditions that it leaves out are those that the destination
            remembers of its first run; without any, all that the user may see.
        options: Tasks or projects, whole or lightweight, what is kept, and limits.
        on_event: Receives each event, synchronously, in the loop's thread.

    Returns:
        The run, an async context manager and an async iterator of `TaskOutcome`. Failures of
        tasks are outcomes. What keeps the run from beginning is raised by iterating, by `wait`
        or by leaving the block.

    Raises:
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    check_client(client)
    work = BackupRun(
        client,
        checked_path(dest),
        Selection.of(selection),
        checked_options(options, BackupOptions),
    )
    return Run(work.work, on_event)


async def backup(
    client: CvatClient,
    dest: PathText,
    selection: Selection | None = None,
    *,
    options: BackupOptions | None = None,
    on_event: EventCallback | None = None,
) -> RunReport:
    """Back up tasks or projects that have no current backup, one zip each.

    Each member of a zip is checked against its CRC before the zip gets its name. The arguments are
    those of `open_backup`.

    Returns:
        The report. Failures of tasks are in it, and are never raised; see
        `RunReport.raise_for_failures`.

    Raises:
        ChangeRefusedError: The destination remembers another selection, and `change` is not set.
        ConfigError: The destination holds a mirror, or backups of another server.
        StoreLockedError: Another run is at work on the destination.
        StoreError: The destination cannot be used.
        AsyncCvatError: The server cannot be reached, or refuses the user or the listing.
        TypeError: An argument has the wrong type, for example `options` of another verb.
    """
    async with open_backup(client, dest, selection, options=options, on_event=on_event) as run:
        return await run.wait()


async def list_backups(
    dest: PathText, *, client: CvatClient | None = None
) -> tuple[StoredBackup, ...]:
    """List the backups of a destination by target and id, each target's oldest first.

    Args:
        dest: The destination.
        client: The server, to ask which tasks and projects it still has. None asks nothing.

    Raises:
        ConfigError: It is no destination of backups, or one of another server.
        StoreError: It cannot be read.
        AsyncCvatError: The server cannot be reached, or refuses the list.
    """
    if client is not None:
        check_client(client)
    return await inventory(checked_path(dest), client)
