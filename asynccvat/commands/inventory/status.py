"""Read the state of a destination from the disk alone.

`core.inventory.status` makes a value of it. The files of a mirror are compared by size and time, as
a mirror does that before it plans; `commands.verify` reads them.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import UNSET

from asynccvat.commands.inventory.opening import identify, is_of_backups
from asynccvat.core.inventory.kept import totals
from asynccvat.core.inventory.status import (
    DestinationStatus,
    changed_files,
    held_by_backups,
    held_by_mirror,
    kind_held,
)
from asynccvat.core.records.remembered import remembered_in_words
from asynccvat.store import BackupStore, MirrorStore
from asynccvat.store.identity import BACKUPS, DestinationIdentity, server_in_words


async def read_status(dest: Path) -> DestinationStatus:
    """Return the state of a destination.

    Raises:
        ConfigError: It is no destination, or a newer asynccvat wrote it.
        StoreError: It cannot be read.
    """
    identity = await identify(dest)
    if is_of_backups(identity):
        return await _of_backups(dest, identity)
    return await _of_mirror(dest, identity)


async def _of_mirror(dest: Path, identity: DestinationIdentity) -> DestinationStatus:
    async with MirrorStore.open(
        dest, origin=identity.origin, organization=identity.organization, read_only=True
    ) as store:
        heads, changed = await store.compared()
        settings = await store.settings(heads)
        return DestinationStatus(
            path=str(dest),
            holds=kind_held(heads, settings),
            origin=identity.origin,
            organization=identity.organization,
            server=store.server,
            description=remembered_in_words(settings),
            settings=settings,
            **held_by_mirror(heads),
            last_run=await store.last_run.read(),
            writer=await store.last_run.writer(),
            failed=tuple(sorted(await store.failures.read())),
            changed=changed_files(heads, changed),
            kept=totals(await store.put_aside.items(heads)),
            warnings=tuple(store.warnings),
        )


async def _of_backups(dest: Path, identity: DestinationIdentity) -> DestinationStatus:
    settings = None if identity.settings is UNSET else identity.settings
    async with BackupStore.open(dest, read_only=True) as store:
        backups = await store.list()
        return DestinationStatus(
            path=str(dest),
            holds=BACKUPS,
            origin=identity.origin,
            organization=identity.organization,
            server=server_in_words(identity),
            description="" if settings is None else remembered_in_words(settings),
            settings=settings,
            **held_by_backups(backups),
            last_run=await store.last_run.read(),
            writer=await store.last_run.writer(),
            failed=tuple(sorted(await store.failures.read())),
            warnings=tuple(store.warnings),
        )
