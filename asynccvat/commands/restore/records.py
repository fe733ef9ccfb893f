"""The journal of restores to one server: where it lies, and how far each backup is.

`core.records.restores` has its lines, `store.journal` writes them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from asynccvat.aio.threads import in_thread
from asynccvat.core.paths import OWN_FOLDER, server_folder_name
from asynccvat.core.records.restores import (
    RestoreLine,
    RestoreState,
    RestoreStates,
    read_lines,
    restored_json,
)
from asynccvat.fs import disk_errors, files
from asynccvat.store.journal import Journal
from asynccvat.store.layout import write_file

RESTORES = "restores"
IMPORTS = "imports"
RESTORED = "restored.json"
_JOURNAL = "journal"


def journal_folder(
    root: Path,
    given: Path | None,
    origin: str,
    organization: str | None,
    *,
    kind: str = RESTORES,
) -> Path:
    """Return the folder of the journal of restores to a server, or of imports.

    Args:
        root: The folder of the backups.
        given: Another folder that the user named, None for none.
        origin: Scheme, host and port of the server.
        organization: The organization, "" for the personal workspace, None for everything visible.
        kind: What the journal is about: `restores` or `imports`.
    """
    base = root / OWN_FOLDER / kind if given is None else given
    return base / server_folder_name(origin, organization)


class RestoreJournal:
    """An open journal of restores.

    Attributes:
        folder: Its folder.
        states: How far each backup is.
    """

    def __init__(
        self,
        folder: Path,
        journal: Journal,
        states: RestoreStates,
        *,
        origin: str,
        organization: str | None,
        durable: bool,
    ) -> None:
        self.folder = folder
        self.states = states
        self._journal = journal
        self._origin = origin
        self._organization = organization
        self._durable = durable

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        folder: Path,
        *,
        kind: str,
        origin: str,
        organization: str | None,
        durable: bool,
        break_lock: bool,
        read_only: bool,
    ) -> AsyncIterator[Self]:
        """Open the journal in a folder, and make it if it is missing.

        Args:
            folder: The folder.
            kind: What it is about: `restores` or `imports`.
            origin: Scheme, host and port of the server.
            organization: The organization.
            durable: Sync each line before it counts.
            break_lock: Take the lock over from a process that has surely ended.
            read_only: Only read it.

        Raises:
            StoreLockedError: Another process restores with it.
            StoreError: It cannot be used.
        """
        async with Journal.open(
            folder,
            _JOURNAL,
            kind=kind,
            origin=origin,
            organization=organization,
            durable=durable,
            break_lock=break_lock,
            read_only=read_only,
        ) as journal:
            states = read_lines(journal.lines, where=repr(str(journal.path)))
            yield cls(
                folder,
                journal,
                states,
                origin=origin,
                organization=organization,
                durable=durable,
            )

    def of(self, key: str) -> RestoreState:
        """Return how far a backup is."""
        return self.states.of(key)

    async def note(self, line: RestoreLine) -> None:
        """Add a line. It is durable when this returns.

        Raises:
            StoreError: It cannot be written. Nothing that it says may be begun.
        """
        await self._journal.note(line)
        self.states.add(line)

    async def write_restored(self) -> Path:
        """Write `restored.json`: which id became which. Returns its path.

        Raises:
            StoreError: It cannot be written.
        """
        content = restored_json(
            self.states.done, origin=self._origin, organization=self._organization
        )

        def write() -> None:
            with disk_errors.explained("write", self.folder / RESTORED):
                fd = files.open_directory(self.folder)
                try:
                    write_file(RESTORED, content, dir_fd=fd, durable=self._durable)
                finally:
                    os.close(fd)

        await in_thread(write)
        return self.folder / RESTORED
