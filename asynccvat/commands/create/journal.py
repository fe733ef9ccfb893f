"""Keep the journal of created tasks next to their media, and what it says so far."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.core.options.create import CreateOptions
from asynccvat.core.paths import OWN_FOLDER, server_folder_name
from asynccvat.core.records.creations import KIND, CreationJournal, Line, read_journal
from asynccvat.store.journal import Journal


class CreateJournal:
    """An open journal.

    Attributes:
        state: What its lines say.
    """

    def __init__(self, journal: Journal, state: CreationJournal) -> None:
        """Go on with a journal that was read."""
        self._journal = journal
        self.state = state

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, source: Path, client: CvatClient, options: CreateOptions, *, read_only: bool
    ) -> AsyncIterator[Self]:
        """Open the journal of a source for a server, and lock it.

        Args:
            source: The folder or file that tasks are made of.
            client: The server.
            options: Where the journal is, and how it is written.
            read_only: Only read it. It may be missing.

        Raises:
            StoreLockedError: Another process creates tasks of the source.
            StoreError: It cannot be read or written.
        """
        is_folder = await in_thread(source.is_dir)
        async with Journal.open(
            _folder(source if is_folder else source.parent, client, options),
            KIND,
            kind=KIND,
            origin=client.origin,
            organization=client.organization,
            durable=options.durable,
            break_lock=options.break_lock,
            read_only=read_only,
        ) as journal:
            yield cls(journal, read_journal(journal.lines))

    async def note(self, line: Line) -> None:
        """Add a line. It is on the disk when this returns.

        Raises:
            StoreError: It cannot be written. What it announces must not be done.
        """
        await self._journal.note(line)
        self.state.note(line)


def _folder(root: Path, client: CvatClient, options: CreateOptions) -> Path:
    """Return the folder of the journal: each server and organization has its own."""
    given = options.journal
    base = root / OWN_FOLDER / KIND if given is None else Path(given)
    return base / server_folder_name(client.origin, client.organization)
