"""What a destination holds: tasks of one server, as seen by one organization, and how.

`destination.json` says it, apart from the receipts: one read tells, and no single damaged receipt
can hide it. Its version is that of everything in `.asynccvat`; see `docs/on-disk.md`.
`core.records.remembered` has the settings.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.records.backups import decode_backup_head, target_of
from asynccvat.core.records.remembered import Remembered
from asynccvat.core.targets import TargetKind
from asynccvat.errors import ConfigError, StoreError
from asynccvat.fs import files
from asynccvat.store import trees
from asynccvat.store.layout import NOT_THERE, Layout, write_file

IDENTITY_NAME = "destination.json"
IDENTITY_VERSION = 3
_OF_MIRRORS = 1
_OF_OTHERS = 2
_OF_LAYOUTS = 3
BACKUPS = "backups"
"""What a destination holds if it is no mirror, and the folder of the receipts of backups."""


class DestinationIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """The server and the organization of a destination.

    Attributes:
        version: Version of the format of everything in `.asynccvat`, as low as possible. 3: the
            folders have a layout; an older asynccvat would rename them. 2: it holds backups,
            projects or jobs; an older asynccvat would take backups for an empty mirror, and the
            others for tasks. 1: everything else.
        origin: Scheme, host and port of the server.
        organization: Slug, "" for the personal workspace, None for everything visible.
        holds: `backups`; absent from a mirror.
        settings: What the destination remembers of its first run; absent before that run has a
            plan, and in destinations of asynccvat 1.0.
    """

    version: int = _OF_MIRRORS
    origin: str
    organization: str | None = None
    holds: str | msgspec.UnsetType = msgspec.UNSET
    settings: Remembered | msgspec.UnsetType = msgspec.UNSET


_IDENTITY_KEYS = frozenset(DestinationIdentity.__struct_fields__)


class _IdentityVersion(msgspec.Struct):
    version: int = _OF_MIRRORS


def of_backups(origin: str, organization: str | None) -> DestinationIdentity:
    """Return the identity of a destination of backups."""
    return DestinationIdentity(
        version=_OF_OTHERS, origin=origin, organization=organization, holds=BACKUPS
    )


def check_identity(
    layout: Layout, wanted: DestinationIdentity, *, create: bool = True
) -> Remembered | None:
    """Refuse a destination that mirrors another server or organization.

    Where the file is gone or damaged, the first readable receipt tells. A destination without any
    task is not bound to a server yet: a run with a mistyped URL must not spoil it for the next.

    Args:
        layout: The destination.
        wanted: What it should mirror.
        create: Write the file if it is missing.

    Returns:
        The settings of its first run; None if it remembers none.

    Raises:
        ConfigError: It mirrors another server or organization, or a newer asynccvat wrote it.
    """
    recorded = read_identity(layout)
    found = recorded or _from_receipts(layout)
    if found is not None and found.holds != wanted.holds:
        if not is_unused(layout):
            raise ConfigError(other_use(layout.path, found))
        recorded = found = None
    if found is not None and (found.origin, found.organization) != (
        wanted.origin,
        wanted.organization,
    ):
        if not is_unused(layout):
            raise ConfigError(
                f"{str(layout.path)!r} {_verb(found)} {server_in_words(found)}, not "
                f"{server_in_words(wanted)}. "
                "Check --url or CVAT_URL, and --org. Or choose another destination: each server "
                "and organization needs one of its own."
            )
        recorded = found = None
    if recorded is None:
        # The receipts tell no selection. Without a word of it, the next run would mirror all tasks.
        settings = msgspec.UNSET if found is None else Remembered(lost=True)
        recorded = msgspec.structs.replace(wanted, settings=settings)
        if create:
            _write(layout, recorded)
    return None if recorded.settings is msgspec.UNSET else recorded.settings


def remember(layout: Layout, wanted: DestinationIdentity, settings: Remembered) -> None:
    """Write the settings of a destination, unless it has them already.

    Settings that a newer asynccvat wrote stay as they are.
    """
    found: dict[str, Any] = {}
    with contextlib.suppress(*UNREADABLE):
        found = msgspec.json.decode(files.read_file(IDENTITY_NAME, dir_fd=layout.own) or b"{}")
    identity = {key: value for key, value in found.items() if key not in _IDENTITY_KEYS}
    old = found.get("settings")
    others = {
        key: value
        for key, value in (old.items() if isinstance(old, dict) else ())
        if key not in Remembered.__struct_fields__
    }
    # As it will be read: JSON knows no tuples.
    encoded = msgspec.json.encode(
        msgspec.structs.replace(wanted, version=_version_of(wanted, settings), settings=settings)
    )
    changed = msgspec.json.decode(encoded) | identity
    changed["settings"] |= others
    if changed != found:
        _write(layout, changed)


def _version_of(wanted: DestinationIdentity, settings: Remembered) -> int:
    """Return the lowest version that an asynccvat must know to understand a destination."""
    if settings.layout is not None:
        return _OF_LAYOUTS
    # An older asynccvat would take the ids of projects and jobs for those of tasks.
    of_tasks = settings.target in (None, TargetKind.TASK.plural)
    return wanted.version if of_tasks else _OF_OTHERS


def _write(layout: Layout, identity: object) -> None:
    encoded = msgspec.json.encode(identity) + b"\n"
    write_file(IDENTITY_NAME, encoded, dir_fd=layout.own, durable=layout.durable)
    layout.sync_folder(layout.own)


def read_identity(layout: Layout) -> DestinationIdentity | None:
    """Read what a destination says of itself; None if it says nothing that can be read.

    Raises:
        ConfigError: A newer asynccvat wrote it.
    """
    if layout.own == NOT_THERE:
        return None
    content = files.read_file(IDENTITY_NAME, dir_fd=layout.own)
    if content is None:
        return None
    try:
        # First, as all else may have another form in a newer version.
        version = msgspec.json.decode(content, type=_IdentityVersion).version
    except UNREADABLE:
        return None
    if version > IDENTITY_VERSION:
        raise ConfigError(
            f"{str(layout.path)!r} was written by a newer asynccvat: its format is version "
            f"{version}, and "
            f"this asynccvat reads up to {IDENTITY_VERSION}. Upgrade asynccvat, or choose another "
            "destination."
        )
    try:
        return msgspec.json.decode(content, type=DestinationIdentity)
    except UNREADABLE:
        return None


def find_identity(layout: Layout) -> DestinationIdentity | None:
    """Return what a destination holds, by its own file or else by a receipt; None if nothing tells.

    Raises:
        ConfigError: A newer asynccvat wrote it.
    """
    return read_identity(layout) or _from_receipts(layout)


def other_use(path: Path, found: DestinationIdentity) -> str:
    """Say that a destination holds backups and no mirror, or the other way round."""
    if found.holds == BACKUPS:
        return (
            f"{str(path)!r} holds backups, which `asynccvat backup` makes. Choose another "
            "destination for a mirror."
        )
    return (
        f"{str(path)!r} holds a mirror, which `asynccvat mirror` makes. Choose another destination "
        "for backups."
    )


def is_unused(layout: Layout) -> bool:
    """Whether the destination holds no task and no backup, and none is on its way."""
    staged = layout.staging != NOT_THERE and files.names(layout.staging)
    return not layout.receipt_ids() and not staged and not backup_folders(layout)


def backup_folders(layout: Layout) -> list[str]:
    """Return the names of the folders of receipts of backups."""
    if layout.own == NOT_THERE or not trees.is_folder(BACKUPS, dir_fd=layout.own):
        return []
    with files.folder(BACKUPS, dir_fd=layout.own) as fd:
        return [name for name in files.names(fd) if target_of(name) is not None]


def _from_receipts(layout: Layout) -> DestinationIdentity | None:
    for name in backup_folders(layout):
        with files.folder(f"{BACKUPS}/{name}", dir_fd=layout.own) as fd:
            for file in files.names(fd):
                with contextlib.suppress(OSError, StoreError):
                    content = files.read_file(file, dir_fd=fd) or b""
                    receipt = decode_backup_head(content.partition(b"\n")[0])
                    return of_backups(receipt.origin, receipt.organization)
    for task_id in layout.receipt_ids():
        with contextlib.suppress(OSError, StoreError):
            head = layout.head(task_id)
            return DestinationIdentity(origin=head.origin, organization=head.organization)
    return None


def _verb(found: DestinationIdentity) -> str:
    return "holds backups of" if found.holds == BACKUPS else "mirrors"


def server_in_words(identity: DestinationIdentity) -> str:
    """Describe the server and the organization of a destination."""
    match identity.organization:
        case None:
            return identity.origin
        case "":
            return f"the personal workspace at {identity.origin}"
        case slug:
            return f"organization {slug!r} at {identity.origin}"
