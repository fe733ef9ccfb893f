"""Restore one backup: send it, have the server use it once, wait, move it, and compare.

Each step is in the journal before the call that it announces, so any later process goes on from
there. `commands.restore.lost_calls` finds out what a lost call made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from asynccvat.client import CvatClient, internals
from asynccvat.client.poller import Poller
from asynccvat.client.restores import restore_place
from asynccvat.client.tus import BegunUpload, SentFile
from asynccvat.commands.restore.comparison import check_restored
from asynccvat.commands.restore.lost_calls import FoundMadeError, LostRestores
from asynccvat.commands.restore.records import RestoreJournal
from asynccvat.commands.restore.zip_files import BackupZip, check_members
from asynccvat.core.annotations.import_failures import import_failure
from asynccvat.core.models import RequestAccepted, RequestStatus, ServerRequest, TargetKind
from asynccvat.core.options import RestoreOptions
from asynccvat.core.outcomes import Action, TaskOutcome
from asynccvat.core.plans.restore import Restore, RestoreReason
from asynccvat.core.records.restores import Accepted, Done, Failed, Made, Requesting, Sending
from asynccvat.errors import (
    AsyncCvatError,
    ExportExpiredError,
    ExportTimeoutError,
    RateLimitError,
    RequestUncertainError,
    ResponseError,
    RestoreError,
    RestoreFailedError,
    RestoreIncompleteError,
    UploadForgottenError,
)
from asynccvat.events import Event, ImportFinished, ImportRequested, UploadProgress, UploadStarted
from asynccvat.transfer.slots import RequestSlots


@dataclass(frozen=True, slots=True)
class RestoreOrder:
    """A backup to restore.

    Attributes:
        step: The plan's step.
        key: What the journal calls it.
        backup: The file, and what it holds.
    """

    step: Restore
    key: str
    backup: BackupZip

    @property
    def kind(self) -> TargetKind:
        """Whether a task or a project is restored."""
        return self.backup.contents.kind

    @property
    def frames(self) -> int | None:
        """The frames of the task, None for a project."""
        tasks = self.backup.contents.tasks
        return tasks[0].frames if self.kind is TargetKind.TASK else None


class BackupRestorer:
    """Restore backups, many at once.

    Files being sent and requests in flight have separate limits. Only one call that counts is
    unanswered at a time, so that what a lost one made can be told.
    """

    def __init__(
        self,
        client: CvatClient,
        journal: RestoreJournal,
        poller: Poller,
        options: RestoreOptions,
        *,
        project_id: int | None,
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare restores.

        Args:
            client: The server.
            journal: The journal.
            poller: The poller of the restores, which has to run.
            options: Limits.
            project_id: The project that the tasks are moved into, None for none.
            emit: Receives the events.
        """
        self._client = client
        self._calls = internals(client).restores
        self._journal = journal
        self._poller = poller
        self._slots = RequestSlots(poller, options.concurrency)
        self._project_id = project_id
        self._again = options.again
        self._emit = emit
        self._sending = anyio.CapacityLimiter(options.transfers)
        self._finishing = anyio.Lock()
        self._lost = LostRestores(client, journal.states)
        self._given_up: set[str] = set()

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
            self._given_up.discard(order.key)
        return await self._restore(order)

    async def settle_lost_calls(self) -> None:
        """Find out what calls of earlier processes made, before any other is sent.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        async with self._finishing:
            await self._settle(except_for=None)

    async def _restore(self, order: RestoreOrder) -> TaskOutcome:
        clock = asyncio.get_running_loop().time
        began, step, sent = clock(), order.step, _Sent()
        if step.reason in (RestoreReason.AGAIN, RestoreReason.GONE):
            await self._journal.note(Failed(key=order.key, why=str(step.reason)))
        new_id = self._journal.of(order.key).new_id
        if new_id is None:
            new_id = await self._make(order, sent)
        if self._project_id is not None:
            await self._move(order, new_id, self._project_id)
        await check_restored(self._client, str(step.path), order.backup.contents, new_id)
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

    # --- making it ------------------------------------------------------------------------------

    async def _make(self, order: RestoreOrder, sent: _Sent) -> int:
        """Have the server make the task or project. Returns its id."""
        rq_id = self._journal.of(order.key).rq_id
        if rq_id is not None:
            return await self._result(order, rq_id)
        file = await self._send(order, sent)
        try:
            return await self._make_of(order, file)
        except UploadForgottenError as error:
            await self._journal.note(Failed(key=order.key, why=str(error)))
        except RestoreFailedError:
            # What the server forgot of a file may be a part, so that the rest was no whole zip.
            if file.certain:
                raise
        return await self._make_of(order, await self._send(order, sent))

    async def _make_of(self, order: RestoreOrder, file: SentFile) -> int:
        """Have the server use a file that was sent. Returns the id of what it made."""
        await self._slots.acquire()
        try:
            async with self._finishing:
                await self._settle(except_for=order.key)
                await self._request(order, file)
            state = self._journal.of(order.key)
            if state.new_id is not None:
                return state.new_id
            assert state.rq_id is not None, "the server accepted it"
            return await self._result(order, state.rq_id)
        finally:
            self._slots.release()

    async def _send(self, order: RestoreOrder, sent: _Sent) -> SentFile:
        file = order.backup.file
        await check_members(file.path)
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
        if begun is not None and state.requesting is not None:
            # All of it was sent before that call.
            return SentFile(begun.file_id, certain=False)
        async with self._sending:
            return await self._calls.send(
                file, restore_place(order.kind), begun, on_sent=count, on_begun=note
            )

    async def _request(self, order: RestoreOrder, file: SentFile) -> None:
        """Have the server use the file, and note its request, or what a lost call made."""
        known = self._journal.of(order.key).requesting
        call = Requesting(
            key=order.key,
            kind=order.kind,
            name=order.backup.contents.name,
            frames=order.frames,
            since=self._client.server_date,
        )
        lost_before = None
        if known is None:
            await self._journal.note(call)
        else:
            call, lost_before = known, known.since
            if await self._found(order.key, await self._lost.search(call)):
                return

        async def find_lost(_since: datetime | None) -> RequestAccepted | None:
            found = await self._lost.find(call)
            if isinstance(found, int):
                raise FoundMadeError(found)
            return None if found is None else RequestAccepted(found.id, created=True)

        try:
            accepted = await self._calls.finish(
                restore_place(order.kind),
                file.file_id,
                find_lost=find_lost,
                lost_before=lost_before,
            )
        except FoundMadeError as found:
            await self._journal.note(Made(key=order.key, new_id=found.new_id))
            return
        except RequestUncertainError:
            self._given_up.add(order.key)
            raise
        except ResponseError as error:
            if 400 <= error.status < 500 and not isinstance(error, RateLimitError):
                # It was refused, so that nothing is unanswered.
                await self._journal.note(Failed(key=order.key, why=str(error)))
            raise
        await self._journal.note(Accepted(key=order.key, rq_id=accepted.rq_id))
        self._emit(ImportRequested(order.step.target_id, accepted.rq_id))

    async def _settle(self, *, except_for: str | None) -> None:
        """Find out what unanswered calls made. Nothing else may be unanswered meanwhile."""
        for key in self._journal.states.unanswered:
            if key == except_for or key in self._given_up:
                continue
            call = self._journal.of(key).requesting
            assert call is not None, "it is unanswered"
            try:
                await self._found(key, await self._lost.search(call))
            except RequestUncertainError:
                self._given_up.add(key)

    async def _found(self, key: str, found: ServerRequest | int | None) -> bool:
        """Note what a lost call made. Returns whether it made anything."""
        match found:
            case None:
                return False
            case int():
                await self._journal.note(Made(key=key, new_id=found))
            case _:
                await self._journal.note(Accepted(key=key, rq_id=found.id))
        return True

    # --- its result -----------------------------------------------------------------------------

    async def _result(self, order: RestoreOrder, rq_id: str) -> int:
        """Wait for the end of the request. Returns what it made."""
        clock = asyncio.get_running_loop().time
        watched = self._poller.watch(rq_id, order.step.target_id, asked_at=clock(), created=True)
        try:
            request = await self._poller.wait(watched)
        except ExportExpiredError:
            return await self._forgotten_result(order)
        except ExportTimeoutError as error:
            raise RestoreError(
                f"the restore of {str(order.step.path)!r} takes too long: the server still runs "
                "it. Run the same command again later, or allow more time with --import-timeout.",
                rq_id=rq_id,
                step="wait",
            ) from error
        assert request is not None, "the result of a restore is never predicted"
        if request.state is RequestStatus.FAILED or request.result_id is None:
            await self._journal.note(Failed(key=order.key, why=request.cause))
            raise _failed(order, request)
        await self._journal.note(Made(key=order.key, new_id=request.result_id))
        self._emit(ImportFinished(order.step.target_id, request.worker_seconds))
        return request.result_id

    async def _forgotten_result(self, order: RestoreOrder) -> int:
        """Find what a request made that the server no longer knows."""
        call = self._journal.of(order.key).requesting
        assert call is not None, "it was requested"
        found = await self._lost.search(call)
        if isinstance(found, int):
            await self._journal.note(Made(key=order.key, new_id=found))
            return found
        raise RequestUncertainError(
            f"the restore of {order.key!r} may have happened or not: the server has forgotten its "
            f"request, and shows no new {order.kind} {call.name!r}. Look there. If it is missing, "
            "restore it with --again.",
            step="wait",
        )

    async def _move(self, order: RestoreOrder, new_id: int, project_id: int) -> None:
        try:
            await self._calls.move(new_id, project_id)
        except ResponseError as error:
            raise RestoreError(
                f"restored {str(order.step.path)!r} as task {new_id}, but cannot move it into "
                f"project {project_id}: {str(error).rstrip('.')}. Change the project, and run the "
                "same command again.",
                step="move",
            ) from error


@dataclass(slots=True)
class _Sent:
    """How many bytes of one backup were sent."""

    bytes: int = 0


def _failed(order: RestoreOrder, request: ServerRequest) -> AsyncCvatError:
    cause, remedy = import_failure(request.message)
    said = cause or "it made nothing, and says not why"
    return RestoreFailedError(
        f"the server could not restore {str(order.step.path)!r}: {said.rstrip('.')}."
        + (f" {remedy}" if remedy else " Nothing was made. Look at the server's log."),
        rq_id=request.id,
        step="import",
    )
