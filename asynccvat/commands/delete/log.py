"""The log of deletions: a line before each call, and one after its answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs

from asynccvat.client import CvatClient
from asynccvat.core.options.delete import LOG_SUFFIX, DeleteOptions
from asynccvat.core.paths import server_folder_name
from asynccvat.core.plans.delete import DeleteStep, unknown_deletions
from asynccvat.core.targets import TargetKind
from asynccvat.store.journal import Journal

_KIND = "deletions"


def log_path(client: CvatClient, options: DeleteOptions) -> Path:
    """Return the log's file: the one that the user named, or one in the user's state folder."""
    if options.log is not None:
        return Path(options.log)
    # A folder for each server: the lock is that of a folder.
    server = server_folder_name(client.origin, client.organization)
    return platformdirs.user_state_path("asynccvat") / _KIND / server / f"{_KIND}{LOG_SUFFIX}"


class DeletionLog:
    """An open log."""

    def __init__(self, journal: Journal, target: TargetKind) -> None:
        self.path = journal.path
        self._journal = journal
        self._target = target

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, client: CvatClient, options: DeleteOptions) -> AsyncIterator[DeletionLog]:
        """Open the log, and make it if it is missing.

        Raises:
            StoreLockedError: Another process deletes with it.
            StoreError: It cannot be used, or is another server's.
        """
        path = log_path(client, options)
        async with Journal.open(
            path.parent,
            path.name.removesuffix(LOG_SUFFIX),
            kind=_KIND,
            origin=client.origin,
            organization=client.organization,
            durable=options.durable,
            break_lock=options.break_lock,
            option="--log",
        ) as journal:
            yield cls(journal, options.target)

    def unknown(self) -> list[tuple[TargetKind, DeleteStep]]:
        """Return the targets of calls whose end no earlier run has noted."""
        return unknown_deletions(self._journal.lines)

    async def note(
        self, what: str, step: DeleteStep, *, target: TargetKind | None = None, **more: Any
    ) -> None:
        """Add a line. It is durable when this returns.

        Args:
            what: What was, or is about to be, done.
            step: The target.
            target: What `step` is about, None for what this run deletes.
            more: Further values of the line.

        Raises:
            StoreError: It cannot be written. Nothing that it says may be begun.
        """
        line: dict[str, Any] = {
            "what": what,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "target": str(target or self._target),
            "id": step.id,
            "name": step.name,
        }
        if (target or self._target) is TargetKind.PROJECT:
            line["tasks"] = list(step.tasks)
        await self._journal.note(line | more)
