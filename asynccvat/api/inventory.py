"""Look at a destination without a server: `status`, `folders`, `disk_usage`, `kept`, its changes.

`commands.inventory` does the work. `differences` asks the server.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from asynccvat.api.arguments import PathText, checked_path
from asynccvat.commands.inventory import kept as put_aside
from asynccvat.commands.inventory.folders import read_folders
from asynccvat.commands.inventory.status import read_status
from asynccvat.commands.inventory.usage import read_usage
from asynccvat.core.inventory.kept import KeptItem, KeptKind, RestoredItem
from asynccvat.core.inventory.status import DestinationStatus
from asynccvat.core.inventory.usage import DiskUsage
from asynccvat.errors import ConfigError


async def status(dest: PathText) -> DestinationStatus:
    """Read the state of a mirror, or of a destination of backups, without a server.

    Files are compared by size and time, not read: `verify` does that.

    Raises:
        ConfigError: It is no destination, or a newer asynccvat wrote it.
        StoreError: It cannot be read.
    """
    return await read_status(checked_path(dest))


async def folders(dest: PathText) -> dict[int, Path]:
    """Return the folder of each task of a mirror, by its id, without a server.

    They are those that the receipts name, whatever the layout is. In a mirror of projects or jobs,
    the ids are those of projects or jobs. Tasks whose receipts cannot be read are left out.

    Raises:
        ConfigError: It is no mirror, or a newer asynccvat wrote it.
        StoreError: It cannot be read.
    """
    return await read_folders(checked_path(dest))


async def disk_usage(dest: PathText) -> DiskUsage:
    """Measure the room that a destination takes, by use and by task, without a server.

    A file with several names counts once.

    Raises:
        ConfigError: It is no destination, or a newer asynccvat wrote it.
        StoreError: It cannot be read.
    """
    return await read_usage(checked_path(dest))


async def kept(
    dest: PathText,
    names: Collection[str] = (),
    *,
    kinds: Collection[KeptKind | str] = (),
    before: str | None = None,
) -> tuple[KeptItem, ...]:
    """List what a mirror has put aside: files of yours, earlier versions, replaced annotations.

    Args:
        dest: The mirror.
        names: Only these items, by their names; empty for all.
        kinds: Only of these kinds; empty for all.
        before: Only what was put aside before this moment, ISO 8601.

    Raises:
        ConfigError: It is no mirror, or there is no item of a name.
        StoreError: It cannot be read.
    """
    return await put_aside.list_kept(checked_path(dest), _choice(names, kinds, before))


async def restore_kept(
    dest: PathText, names: Collection[str], *, break_lock: bool = False
) -> tuple[RestoredItem, ...]:
    """Move files of yours, or an earlier version, back into the folder that they came from.

    What is in the way there is put aside first.

    Args:
        dest: The mirror.
        names: The items, by their names.
        break_lock: Take over the lock from any owner.

    Raises:
        ConfigError: It is no mirror, there is no item of a name, or one cannot be restored. Then
            none is.
        StoreLockedError: Another process is writing to the mirror.
        StoreError: A file cannot be moved.
    """
    if not names:
        raise ConfigError("names is empty. Name the items to restore.")
    choice = _choice(names, (), None)
    return await put_aside.restore(checked_path(dest), choice, break_lock=break_lock)


async def purge_kept(
    dest: PathText,
    names: Collection[str] = (),
    *,
    kinds: Collection[KeptKind | str] = (),
    before: str | None = None,
    break_lock: bool = False,
) -> tuple[KeptItem, ...]:
    """Remove what a mirror has put aside, for good.

    Args:
        dest: The mirror.
        names: Only these items, by their names; empty for all.
        kinds: Only of these kinds; empty for all.
        before: Only what was put aside before this moment, ISO 8601.
        break_lock: Take over the lock from any owner.

    Returns:
        The items that are gone.

    Raises:
        ConfigError: It is no mirror, there is no item of a name, or nothing is chosen at all.
        StoreLockedError: Another process is writing to the mirror.
        StoreError: An item cannot be removed.
    """
    if not names and not kinds and before is None:
        raise ConfigError("nothing is chosen. Name the items to purge, or give kinds or before.")
    choice = _choice(names, kinds, before)
    return await put_aside.purge(checked_path(dest), choice, break_lock=break_lock)


def _choice(
    names: Collection[str], kinds: Collection[KeptKind | str], before: str | None
) -> put_aside.Choice:
    for given in (names, kinds):
        if isinstance(given, str):
            raise TypeError(f"expected a list of names, not {given!r}")
    try:
        return names, [KeptKind(kind) for kind in kinds], before
    except ValueError as error:
        known = ", ".join(map(repr, map(str, KeptKind)))
        raise ConfigError(f"{error}. Use one of {known}.") from error
