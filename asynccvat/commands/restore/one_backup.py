"""Restore one backup: send it, have the server use it once, wait, move it, and compare.

`commands.restore.making` makes the call that counts, and waits for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio

from asynccvat.client import CvatClient, internals
from asynccvat.client.lookups import TaskLookups
from asynccvat.client.poller import Poller
from asynccvat.client.restores import restore_place
from asynccvat.client.tus import BegunUpload, SentFile
from asynccvat.commands.restore.comparison import Comparison
from asynccvat.commands.restore.making import SENT_AHEAD, BackupMaker
from asynccvat.commands.restore.older_backups import with_older_named
from asynccvat.commands.restore.records import RestoreJournal
from asynccvat.commands.restore.zip_files import BackupZip, check_members
from asynccvat.core.options.restore import RestoreOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.restore import Restore, RestoreReason
from asynccvat.core.records.restores import Done, Failed, Sending
from asynccvat.core.targets import TargetKind
from asynccvat.errors import (
    AsyncCvatError,
    BackupFileError,
    NotFoundError,
    RequestUncertainError,
    ResponseError,
    RestoreError,
    RestoreIncompleteError,
)
from asynccvat.events import Event, UploadProgress, UploadStarted


@dataclass(frozen=True, slots=True)
class RestoreOrder:
    """A backup to restore.

    Attributes:
        step: The plan's step.
        key: What the journal calls it.
        backup: The file, and what it holds.
        older: The paths of the backups before it, the newest first.
    """

    step: Restore
    key: str
    backup: BackupZip
    older: tuple[Path, ...] = ()

    @property
    def kind(self) -> TargetKind:
        """Whether a task or a project is restored."""
        return self.backup.contents.kind

    @property
    def frames(self) -> int | None:
        """The frames of the task, None for a project."""
        tasks = self.backup.contents.tasks
        return tasks[0].frames if self.kind is TargetKind.TASK else None

    @property
    def name(self) -> str:
        """The name of the task or project."""
        return self.backup.contents.name

    @property
    def target_id(self) -> int:
        """The id that it had, 0 if that is unknown."""
        return self.step.target_id

    @property
    def shown(self) -> str:
        """What messages call the backup."""
        return repr(str(self.step.path))


class BackupRestorer:
    """Restore backups, many at once.

    Files being sent and requests in flight have separate limits.

    Attributes:
        maker: Makes the calls that count.
        refused: Why nothing more is sent, None as long as the server takes it.
    """

    def __init__(
        self,
        client: CvatClient,
        journal: RestoreJournal,
        poller: Poller,
        options: RestoreOptions,
        *,
        project_id: int | None,
        is_busy: Callable[[], bool],
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare restores.

        Args:
            client: The server.
            journal: The journal.
            poller: The poller of the restores, which has to run.
            options: Limits.
            project_id: The project that the tasks are moved into, None for none.
            is_busy: Whether more backups are to be sent. Their calls go first.
            emit: Receives the events.
        """
        self._client = client
        self._calls = internals(client).restores
        self._journal = journal
        self.maker = BackupMaker(
            client,
            journal,
            poller,
            concurrency=options.concurrency,
            ahead=lambda: options.transfers + SENT_AHEAD,
            emit=emit,
        )
        self._lookups = TaskLookups(client, is_busy=is_busy)
        self._comparison = Comparison(client, self._lookups)
        self._project_id = project_id
        self._again = options.again
        self._emit = emit
        self.refused: AsyncCvatError | None = None
        self._sending = anyio.CapacityLimiter(options.transfers)

    async def restore(self, order: RestoreOrder) -> TaskOutcome:
        """Restore one backup, or go on with it.

        Raises:
            RestoreFailedError: The server tried and failed.
            RestoreIncompleteError: What it made differs from the backup.
            RequestUncertainError: It may have happened or not.
            AsyncCvatError: It failed. The next run goes on from there.
        """
        try:
            return await self._restore(order)
        except (RequestUncertainError, RestoreIncompleteError) as error:
            # What an earlier run left cannot be used, and the user wants another copy.
            if not self._again or order.step.reason is not RestoreReason.INTERRUPTED:
                raise
            await self._journal.note(Failed(key=order.key, why=str(error)))
            self.maker.give_another_chance(order.key)
        return await self._restore(order)

    async def _restore(self, order: RestoreOrder) -> TaskOutcome:
        clock = asyncio.get_running_loop().time
        began, step, sent = clock(), order.step, _Sent()
        if step.reason in (RestoreReason.AGAIN, RestoreReason.GONE):
            await self._journal.note(Failed(key=order.key, why=str(step.reason)))
        new_id = self._journal.of(order.key).new_id
        if new_id is None:
            new_id = await self.maker.make(order, partial(self._send, order, sent))
        if self._project_id is not None:
            await self._move(order, new_id, self._project_id)
        await self._comparison.check(str(step.path), order.backup.contents, new_id)
        await self._journal.note(
            Done(
                key=order.key,
                kind=order.kind,
                old_id=step.target_id or None,
                new_id=new_id,
                project_id=self._project_id,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
            )
        )
        return TaskOutcome(
            task_id=step.target_id,
            target=order.kind,
            name=step.name,
            action=Action.RESTORED,
            reason=step.reason,
            location=str(step.path),
            files=1,
            bytes=step.size,
            transferred=sent.bytes,
            seconds=clock() - began,
            new_id=new_id,
        )

    async def _send(self, order: RestoreOrder, sent: _Sent) -> SentFile:
        if self.refused is not None:
            raise self.refused
        file = order.backup.file
        try:
            await check_members(file.path)
        except BackupFileError as error:
            raise await with_older_named(
                error, order.kind, order.target_id, order.older
            ) from error.__cause__
        await file.check_unchanged()
        state = self._journal.of(order.key)
        begun = None
        if state.sending is not None:
            known = state.sending
            if (known.size, known.mtime_ns) == (file.size, file.mtime_ns):
                begun = BegunUpload(known.file_id, known.address)

        async def note(created: BegunUpload) -> None:
            await self._journal.note(
                Sending(
                    key=order.key,
                    size=file.size,
                    mtime_ns=file.mtime_ns,
                    file_id=created.file_id,
                    address=created.address,
                )
            )

        def count(length: int) -> None:
            sent.bytes += length
            self._emit(UploadProgress(order.step.target_id, length))

        self._emit(UploadStarted(order.step.target_id, file.size))
        async with self._sending:
            return await self._calls.send(
                file, restore_place(order.kind), begun, on_sent=count, on_begun=note
            )

    async def _move(self, order: RestoreOrder, new_id: int, project_id: int) -> None:
        why, cause = "the server left it where it was", None
        try:
            async with self._lookups.turn:
                moved = await self._calls.move(new_id, project_id)
            if moved.project_id == project_id:
                return
        except ResponseError as error:
            why, cause = str(error).rstrip("."), error
            await self._check_project(project_id)
        raise RestoreError(
            f"restored {str(order.step.path)!r} as task {new_id}, but cannot move it into project "
            f"{project_id}: {why}. Change the project, and run the same command again.",
            step="move",
        ) from cause

    async def _check_project(self, project_id: int) -> None:
        """Send nothing more if the project is gone: it could not be moved there."""
        try:
            await self._client.project(project_id)
        except NotFoundError:
            self.refused = RestoreError(
                f"project {project_id} is gone from the server, so nothing more is restored into "
                "it. Run the same command again with another --project: what was made is moved "
                "there.",
                step="move",
            )


@dataclass(slots=True)
class _Sent:
    """How many bytes of one backup were sent."""

    bytes: int = 0
