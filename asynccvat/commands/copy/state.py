"""The journals of one copy: what was copied as what, and what the target was asked for.

`core.records.copies` has the lines of the first, `core.records.restores` those of the second. Both
lie in the state folder, which no server sees.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient
from asynccvat.commands.restore.records import RestoreJournal
from asynccvat.core.options.copy import CopyOptions
from asynccvat.core.records.copies import (
    CopyEntry,
    CopyLedger,
    SideName,
    Sides,
    read_entries,
    state_name,
)
from asynccvat.errors import ConfigError
from asynccvat.events import Event
from asynccvat.store.journal import Journal

COPIES = "copies"
_RESTORES = "restores"


def side_of(client: CvatClient) -> SideName:
    """Return which side a client is."""
    return SideName(client.origin, client.organization)


def state_folder(source: SideName, target: SideName, given: Path | None) -> Path:
    """Return the folder of the journals of a copy.

    Args:
        source: What is copied.
        target: Where it is copied to.
        given: The folder that the user named, None for one in the user's state folder.
    """
    if given is not None:
        return given
    return platformdirs.user_state_path("asynccvat") / COPIES / state_name(source, target)


class CopyState:
    """The open journals of one copy.

    Attributes:
        folder: Their folder.
        ledger: What was copied as what.
        restores: What the target was asked for.
    """

    def __init__(
        self, folder: Path, journal: Journal, ledger: CopyLedger, restores: RestoreJournal
    ) -> None:
        self.folder = folder
        self.ledger = ledger
        self.restores = restores
        self._journal = journal

    @property
    def spool(self) -> Path:
        """The folder for backups that go through a file."""
        return self.folder / "spool"

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, source: SideName, target: SideName, options: CopyOptions, *, read_only: bool
    ) -> AsyncIterator[Self]:
        """Open the journals, and make them if they are missing.

        Raises:
            ConfigError: The folder is that of another copy.
            StoreLockedError: Another process copies with it.
            StoreError: It cannot be used.
        """
        given = None if options.state is None else Path(options.state)
        folder = state_folder(source, target, given)
        async with contextlib.AsyncExitStack() as opened:
            journal = await opened.enter_async_context(
                Journal.open(
                    folder,
                    COPIES,
                    kind=COPIES,
                    origin=target.origin,
                    organization=target.organization,
                    durable=options.durable,
                    break_lock=options.break_lock,
                    read_only=read_only,
                    option="--state",
                )
            )
            ledger = read_entries(journal.lines, where=repr(str(journal.path)))
            if ledger.source not in (None, source):
                raise ConfigError(
                    f"{str(folder)!r} is the state of a copy from {ledger.source}, not from "
                    f"{source}. Name another folder with --state."
                )
            restores = await opened.enter_async_context(
                RestoreJournal.open(
                    folder / _RESTORES,
                    kind=_RESTORES,
                    origin=target.origin,
                    organization=target.organization,
                    durable=options.durable,
                    break_lock=options.break_lock,
                    read_only=read_only,
                )
            )
            state = cls(folder, journal, ledger, restores)
            if not read_only:
                await in_thread(_remove_files, state.spool)
                if ledger.source is None:
                    await state.note(Sides(source))
            yield state

    async def note(self, entry: CopyEntry) -> None:
        """Add an entry. It is durable when this returns.

        Raises:
            StoreError: It cannot be written. Nothing that it says may be begun.
        """
        await self._journal.note(entry)
        self.ledger.note(entry)

    def asked(self) -> dict[int, int | None]:
        """Return the begun tasks whose backup was given to the target, and what it made."""
        found: dict[int, int | None] = {}
        for task, begun in self.ledger.begun.items():
            known = self.restores.of(begun.key)
            if known.requesting is not None or known.new_id is not None:
                found[task] = known.new_id
        return found


def _remove_files(spool: Path) -> None:
    """Remove the files that a killed process left."""
    for path in spool.glob("task*.zip"):
        path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class BothSides:
    """What all steps of a copy need.

    Attributes:
        source: The server that has the tasks.
        target: The server that gets them.
        state: The journals.
        options: Limits and guards.
        emit: Receives the events.
    """

    source: CvatClient
    target: CvatClient
    state: CopyState
    options: CopyOptions
    emit: Callable[[Event], None] = lambda _event: None
