"""List what a mirror has put aside, restore it, and purge it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from asynccvat.commands.inventory.opening import mirror_at
from asynccvat.core.inventory.kept import (
    KeptItem,
    KeptKind,
    RestoredItem,
    check_restorable,
    select_kept,
)
from asynccvat.core.texts import first_few
from asynccvat.errors import StoreError
from asynccvat.store import MirrorStore

Choice = tuple[Collection[str], Collection[KeptKind], str | None]
"""Names, kinds and a moment, as `select_kept` takes them."""


async def list_kept(dest: Path, choice: Choice) -> tuple[KeptItem, ...]:
    """Return the chosen items of a mirror.

    Raises:
        ConfigError: It is no mirror, or there is no item of a name.
        StoreError: It cannot be read.
    """
    async with mirror_at(dest, doing="look into") as store:
        return await _chosen(store, choice)


async def purge(dest: Path, choice: Choice, *, break_lock: bool) -> tuple[KeptItem, ...]:
    """Remove the chosen items for good, and return them.

    Raises:
        ConfigError: As `list_kept`.
        StoreLockedError: Another process is writing to the mirror.
        StoreError: An item cannot be removed.
    """
    async with mirror_at(dest, doing="purge", read_only=False, break_lock=break_lock) as store:
        items = await _chosen(store, choice)
        gone: list[str] = []
        with _telling("Removed", gone):
            for item in items:
                await store.put_aside.purge(item)
                gone.append(item.name)
        return items


async def restore(dest: Path, choice: Choice, *, break_lock: bool) -> tuple[RestoredItem, ...]:
    """Move the files of the chosen items back into the folders that they came from.

    Raises:
        ConfigError: As `list_kept`, or an item cannot be restored; then none is.
        StoreLockedError: Another process is writing to the mirror.
        StoreError: A file cannot be moved.
    """
    async with mirror_at(
        dest, doing="restore into", read_only=False, break_lock=break_lock
    ) as store:
        items = await _chosen(store, choice)
        folders = [check_restorable(item, place=str(dest)) for item in items]
        done: list[RestoredItem] = []
        back: list[str] = []
        with _telling("Restored", back):
            for item, folder in zip(items, folders, strict=True):
                aside = await store.put_aside.restore(item, folder)
                done.append(RestoredItem(item=item, folder=folder, put_aside=aside))
                back.append(item.name)
        return tuple(done)


@contextlib.contextmanager
def _telling(what: str, done: Sequence[str]) -> Iterator[None]:
    """Name the items that were done before one failed, in its error."""
    try:
        yield
    except StoreError as error:
        if done:
            names = first_few([repr(name) for name in done])
            error.message = f"{error.message} {what} before it: {names}."
        raise


async def _chosen(store: MirrorStore, choice: Choice) -> tuple[KeptItem, ...]:
    names, kinds, before = choice
    items = await store.put_aside.items(await store.receipts())
    return select_kept(items, names=names, kinds=kinds, before=before, place=str(store.path))
