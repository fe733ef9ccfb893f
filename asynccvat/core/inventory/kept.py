"""What a destination has put aside: edited files, earlier versions, replaced annotations, archives.

`store.put_aside` reads names and sizes from the disk, restores and purges. This module reads the
names, and chooses.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.records.replaced import state_of_name
from asynccvat.errors import ConfigError

_QUARANTINED = re.compile(r"(.+?)-(\d{8}T\d{6})Z(?:-[0-9]+)?", re.ASCII | re.DOTALL)
_ARCHIVE = re.compile(r"([1-9]\d{0,17})\.zip", re.ASCII)
_ID = re.compile(r"[1-9]\d{0,17}", re.ASCII)


class KeptKind(StrEnum):
    """Why something was put aside. The value is its folder in `.asynccvat`."""

    QUARANTINE = "kept"
    """Files that a user edited or added, and that were in the way of a fetch or a removal."""
    REPLACED = "replaced"
    """The annotations of a task at the server, as they were before an upload."""
    HISTORY = "history"
    """An earlier version of a folder's annotation files, because of `--history`."""
    ARCHIVE = "archives"
    """The archive of the folder's current version, because of `--keep-archive`."""


class KeptItem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was put aside.

    Attributes:
        kind: Why it was put aside.
        name: Its path in `.asynccvat`, with `/`. It names the item to every command.
        at: When it was put aside, ISO 8601; None if that is unknown.
        target_id: The task, project or job that it belongs to, None if that is unknown.
        folder: The folder that it was taken from, None if no receipt has that folder any more.
        files: Number of files.
        bytes: Sum of their sizes.
    """

    kind: KeptKind
    name: str
    at: str | None = None
    target_id: int | None = None
    folder: str | None = None
    files: int = 0
    bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the item as JSON types."""
        return {
            "kind": str(self.kind),
            "name": self.name,
            "at": self.at,
            "target_id": self.target_id,
            "folder": self.folder,
            "files": self.files,
            "bytes": self.bytes,
        }


class RestoredItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item whose files are back in their folder.

    Attributes:
        item: The item, which is gone now.
        folder: The folder.
        put_aside: The name of a new item, which holds the files that were in the way; None if none
            were.
    """

    item: KeptItem
    folder: str
    put_aside: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the item as JSON types."""
        return {**self.item.to_json(), "folder": self.folder, "put_aside": self.put_aside}


class KeptTotal(msgspec.Struct, frozen=True):
    """How much was put aside for one reason: number of items, of files and of bytes."""

    items: int = 0
    files: int = 0
    bytes: int = 0


def totals(items: Iterable[KeptItem]) -> dict[KeptKind, KeptTotal]:
    """Add up items by kind, without the kinds that have none."""
    found: dict[KeptKind, KeptTotal] = {}
    for item in items:
        before = found.get(item.kind, KeptTotal())
        found[item.kind] = KeptTotal(
            before.items + 1, before.files + item.files, before.bytes + item.bytes
        )
    return {kind: found[kind] for kind in KeptKind if kind in found}


def by_kept_name(heads: Mapping[int, ReceiptHead]) -> dict[str, ReceiptHead]:
    """Return receipts by the names that their folders have in the quarantine.

    An entry is named as `kept_stem` says. Earlier versions named it after the folder, with `-` for
    each slash. A name that two targets share is that of neither.
    """
    names = [(kept_stem(head), head) for head in heads.values()]
    names += [
        (flat, head) for stem, head in names if (flat := head.folder.replace("/", "-")) != stem
    ]
    shared = {name for name, count in Counter(name for name, _ in names).items() if count > 1}
    return {name: head for name, head in names if name not in shared}


def kept_stem(head: ReceiptHead) -> str:
    """Return how the names of a target's entries in the quarantine begin: `task147`, `project5`.

    Its folder may be renamed later. For a job it is `task147-job355`.
    """
    task = head.task_of_job
    own = f"{head.target}{head.task_id}"
    return own if task is None else f"task{task}-{own}"


def quarantined(name: str, folders: Mapping[str, ReceiptHead]) -> KeptItem:
    """Describe an entry of the quarantine by its name, such as `task147-20260101T020000Z`.

    Args:
        name: Its name.
        folders: The receipts, as of `by_kept_name`.
    """
    found = _QUARANTINED.fullmatch(name)
    head = None if found is None else folders.get(found[1])
    return KeptItem(
        kind=KeptKind.QUARANTINE,
        name=f"{KeptKind.QUARANTINE}/{name}",
        at=None if found is None else _moment(found[2]),
        target_id=None if head is None else head.task_id,
        folder=None if head is None else head.folder,
    )


def _moment(stamp: str) -> str | None:
    try:
        moment = datetime.strptime(stamp, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return iso(moment)


def iso(moment: datetime) -> str:
    """Return a moment as ISO 8601 with whole seconds, in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def replaced(name: str) -> KeptItem | None:
    """Describe a state of replaced annotations by its name; None if it is none."""
    state = state_of_name(name)
    if state is None:
        return None
    return KeptItem(
        kind=KeptKind.REPLACED,
        name=f"{KeptKind.REPLACED}/{name}",
        at=iso(state.at),
        target_id=state.task_id,
    )


def archive(name: str) -> KeptItem | None:
    """Describe a kept archive by its name; None if it is none."""
    found = _ARCHIVE.fullmatch(name)
    if found is None:
        return None
    return KeptItem(
        kind=KeptKind.ARCHIVE, name=f"{KeptKind.ARCHIVE}/{name}", target_id=int(found[1])
    )


def version(task: str, name: str, heads: Mapping[int, ReceiptHead]) -> KeptItem:
    """Describe an earlier version by the names of its folders.

    Args:
        task: The folder of all versions of one target, which is its id.
        name: The version's own folder.
        heads: The receipts, by id.
    """
    target_id = int(task) if _ID.fullmatch(task) else None
    head = None if target_id is None else heads.get(target_id)
    return KeptItem(
        kind=KeptKind.HISTORY,
        name=f"{KeptKind.HISTORY}/{task}/{name}",
        target_id=target_id,
        folder=None if head is None else head.folder,
    )


def select_kept(
    items: Sequence[KeptItem],
    *,
    names: Collection[str] = (),
    kinds: Collection[KeptKind] = (),
    before: str | None = None,
    place: str,
) -> tuple[KeptItem, ...]:
    """Select items.

    Args:
        items: All items.
        names: Only these, also as paths from `place` on, as warnings show them; empty for all.
        kinds: Only of these kinds; empty for all.
        before: Only those that were put aside before this moment, ISO 8601. Of others it is
            unknown when, so they are left out.
        place: The destination.

    Raises:
        ConfigError: There is no item of a name.
    """
    wanted = [name.rstrip("/").removeprefix(f"{place}/{OWN_FOLDER}/") for name in names]
    known = {item.name for item in items}
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"{place!r} has put aside no {name!r}. `asynccvat kept` shows the names."
            )
    limit = None if before is None else datetime.fromisoformat(before)
    return tuple(
        item
        for item in items
        if (not wanted or item.name in wanted)
        and (not kinds or item.kind in kinds)
        and (limit is None or (item.at is not None and datetime.fromisoformat(item.at) < limit))
    )


def check_restorable(item: KeptItem, *, place: str) -> str:
    """Return the folder that an item is restored into.

    Raises:
        ConfigError: It cannot be restored into a folder.
    """
    if item.kind is KeptKind.REPLACED:
        raise ConfigError(
            f"cannot restore {item.name!r} here: it belongs to the server. To put it back there, "
            f"use `asynccvat upload --undo -t {item.target_id} -i {place}`."
        )
    if item.kind is KeptKind.ARCHIVE:
        raise ConfigError(
            f"cannot restore {item.name!r}: it is the archive of what is in its folder now."
        )
    if item.folder is None:
        raise ConfigError(
            f"cannot restore {item.name!r}: the folder that it came from is not mirrored any more. "
            f"Copy what you need from {f'{place}/.asynccvat/{item.name}'!r}."
        )
    return item.folder
