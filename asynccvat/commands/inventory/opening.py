"""Open a destination by what it says of itself, without a server."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from asynccvat.aio.threads import in_thread
from asynccvat.errors import ConfigError
from asynccvat.fs import disk_errors
from asynccvat.store import MirrorStore
from asynccvat.store.identity import BACKUPS, DestinationIdentity, find_identity
from asynccvat.store.opening import find_layout


async def identify(dest: Path) -> DestinationIdentity:
    """Return what a destination says of itself.

    Raises:
        ConfigError: It is no destination, a newer asynccvat wrote it, or this is Windows.
        StoreError: It cannot be read.
    """
    if sys.platform == "win32":
        raise ConfigError(
            "destinations need Linux or macOS. On Windows, run this under WSL "
            "(the Windows Subsystem for Linux)."
        )

    def read() -> DestinationIdentity | None:
        with disk_errors.explained("read", dest):
            layout = find_layout(dest)
            try:
                return find_identity(layout)
            finally:
                layout.close()

    found = await in_thread(read)
    if found is None:
        raise ConfigError(
            f"{str(dest)!r} holds neither a mirror nor backups. Name the folder that `asynccvat "
            "mirror` or `asynccvat backup` was given."
        )
    return found


def is_of_backups(identity: DestinationIdentity) -> bool:
    """Whether a destination holds backups."""
    return identity.holds == BACKUPS


@asynccontextmanager
async def mirror_at(
    dest: Path, *, doing: str, read_only: bool = True, break_lock: bool = False
) -> AsyncIterator[MirrorStore]:
    """Open a mirror by what it says of itself.

    Args:
        dest: The mirror.
        doing: What is done with it, for messages ("compare").
        read_only: Change nothing, and take no lock.
        break_lock: Take over the lock from any owner.

    Raises:
        ConfigError: It is no mirror, or as `identify` says.
        StoreLockedError: Another process is writing to it.
        StoreError: It cannot be read or written.
    """
    identity = await identify(dest)
    if is_of_backups(identity):
        raise ConfigError(
            f"cannot {doing} {str(dest)!r}: it holds backups, not a mirror. Name the folder of a "
            "mirror."
        )
    async with MirrorStore.open(
        dest,
        origin=identity.origin,
        organization=identity.organization,
        read_only=read_only,
        break_lock=break_lock,
    ) as store:
        yield store
