"""Have the server make a task or project of a backup, at most once, however often calls are lost.

A file is sent by the caller. Each step is in the journal before the call that it announces, so any
later process goes on from there. Only one call that counts is unanswered at a time, so two lost
answers are never confused. `commands.restore.lost_calls` looks for what a lost call made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Protocol

from asynccvat.aio.slots import Slots
from asynccvat.client import CvatClient, internals
from asynccvat.client.poller import Poller
from asynccvat.client.restores import restore_place
from asynccvat.client.tus import SentFile
from asynccvat.commands.restore.lost_calls import FoundMadeError, LostRestores
from asynccvat.commands.restore.records import RestoreJournal
from asynccvat.core.annotations.import_failures import import_failure
from asynccvat.core.records.restores import Accepted, Failed, Made, Requesting
from asynccvat.core.requests import RequestAccepted, RequestStatus, ServerRequest
from asynccvat.core.targets import TargetKind
from asynccvat.errors import (
    AsyncCvatError,
    ExportExpiredError,
    ExportTimeoutError,
    RateLimitError,
    RequestUncertainError,
    ResponseError,
    RestoreError,
    RestoreFailedError,
    UploadForgottenError,
)
from asynccvat.events import Event, ImportFinished, ImportRequested
from asynccvat.transfer.slots import RequestSlots

SENT_AHEAD = 2
"""Backups that wait at the server for their turn while others are being sent."""


class BackupOrder(Protocol):
    """A backup of which the server is to make a task or project."""

    @property
    def key(self) -> str:
        """What the journal calls it."""
        ...

    @property
    def kind(self) -> TargetKind:
        """Whether a task or a project is made."""
        ...

    @property
    def name(self) -> str:
        """The name of what is made, by which it is recognized."""
        ...

    @property
    def frames(self) -> int | None:
        """The frames of the task, None for a project."""
        ...

    @property
    def target_id(self) -> int:
        """The id that it had, for events and messages."""
        ...

    @property
    def shown(self) -> str:
        """What messages call the backup."""
        ...


class BackupMaker:
    """Have the server make tasks or projects of backups, many at once."""

    def __init__(
        self,
        client: CvatClient,
        journal: RestoreJournal,
        poller: Poller,
        *,
        concurrency: int | None,
        ahead: Callable[[], int],
        emit: Callable[[Event], None],
    ) -> None:
        """Prepare to make tasks and projects.

        Args:
            client: The server.
            journal: The journal.
            poller: The poller of the restores, which has to run.
            concurrency: Restores in flight, None to learn how many the server runs at once.
            ahead: Returns how many backups may be made ready or sent now, or wait for their turn.
            emit: Receives the events.
        """
        self._client = client
        self._calls = internals(client).restores
        self._journal = journal
        self._poller = poller
        self._slots = RequestSlots(poller, concurrency)
        self._emit = emit
        # Calls that send more than is needed would stand in the way of those that count.
        self._ahead = Slots(lambda _waiting: ahead())
        self._finishing = asyncio.Lock()
        self._lost = LostRestores(client, journal.states)
        self._given_up: set[str] = set()
        # The highest ids before the first call that counts. All that calls make have higher ones.
        self._newest: dict[TargetKind, int] = {}

    def give_another_chance(self, key: str) -> None:
        """Forget that a lost call could not be found out about."""
        self._given_up.discard(key)

    async def settle_lost_calls(self) -> None:
        """Find out what calls of earlier processes made, before any other is sent.

        Raises:
            AsyncCvatError: The server cannot be asked.
        """
        async with self._finishing:
            await self._settle(except_for=None)

    async def make(self, order: BackupOrder, send: Callable[[], Awaitable[SentFile]]) -> int:
        """Have the server make the task or project, or go on with it.

        Args:
            order: What is made.
            send: Sends the backup. It is called again if the server has forgotten the file.

        Returns:
            The id of what was made.

        Raises:
            RestoreFailedError: The server tried and failed.
            RequestUncertainError: It may have happened or not.
            AsyncCvatError: It failed. The next run goes on from there.
        """
        rq_id = self._journal.of(order.key).rq_id
        if rq_id is not None:
            return await self._result(order, rq_id)
        file: SentFile | None = None

        async def sent() -> SentFile:
            nonlocal file
            file = await self._sent(order, send)
            return file

        try:
            return await self._make_of(order, sent)
        except UploadForgottenError as error:
            await self._journal.note(Failed(key=order.key, why=str(error)))
        except RestoreFailedError:
            # What the server forgot of a file may be a part, so that the rest was no whole zip.
            if file is None or file.certain:
                raise
        return await self._make_of(order, sent)

    async def _make_of(self, order: BackupOrder, sent: Callable[[], Awaitable[SentFile]]) -> int:
        """Send a file and have the server use it. Returns the id of what it made."""
        async with AsyncExitStack() as stack:
            async with self._ahead:
                file = await sent()
                await self._slots.acquire()
                stack.callback(self._slots.release)
                async with self._finishing:
                    await self._settle(except_for=order.key)
                    await self._request(order, file)
            state = self._journal.of(order.key)
            if state.new_id is not None:
                return state.new_id
            assert state.rq_id is not None, "the server accepted it"
            return await self._result(order, state.rq_id)

    async def _sent(self, order: BackupOrder, send: Callable[[], Awaitable[SentFile]]) -> SentFile:
        state = self._journal.of(order.key)
        if state.sending is not None and state.requesting is not None:
            # All of it was sent before that call.
            return SentFile(state.sending.file_id, certain=False)
        return await send()

    async def _request(self, order: BackupOrder, file: SentFile) -> None:
        """Have the server use the file, and note its request, or what a lost call made."""
        known = self._journal.of(order.key).requesting
        call = Requesting(
            key=order.key,
            kind=order.kind,
            name=order.name,
            frames=order.frames,
            since=self._client.server_date,
            newest=await self._newest_before(order.kind),
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
        self._emit(ImportRequested(order.target_id, accepted.rq_id))

    async def _newest_before(self, kind: TargetKind) -> int:
        if kind not in self._newest:
            self._newest[kind] = await self._calls.newest(kind)
        return self._newest[kind]

    async def _settle(self, *, except_for: str | None) -> None:
        """Find out what unanswered calls made. No other call may be unanswered then."""
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

    async def _result(self, order: BackupOrder, rq_id: str) -> int:
        """Wait for the end of the request. Returns what it made."""
        clock = asyncio.get_running_loop().time
        watched = self._poller.watch(rq_id, order.target_id, asked_at=clock(), created=True)
        try:
            request = await self._poller.wait(watched)
        except ExportExpiredError:
            return await self._forgotten_result(order)
        except ExportTimeoutError as error:
            raise RestoreError(
                f"the restore of {order.shown} takes too long: the server still runs "
                "it. Run the same command again later, or allow more time with --import-timeout.",
                rq_id=rq_id,
                step="wait",
            ) from error
        assert request is not None, "the result of a restore is never predicted"
        if request.state is RequestStatus.FAILED or request.result_id is None:
            await self._journal.note(Failed(key=order.key, why=request.cause))
            raise _failed(order, request)
        await self._journal.note(Made(key=order.key, new_id=request.result_id))
        self._emit(
            ImportFinished(order.target_id, request.worker_seconds, ended_at=request.finished_date)
        )
        return request.result_id

    async def _forgotten_result(self, order: BackupOrder) -> int:
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


def _failed(order: BackupOrder, request: ServerRequest) -> AsyncCvatError:
    cause, remedy = import_failure(request.message)
    said = cause or "it made nothing, and says not why"
    return RestoreFailedError(
        f"the server could not restore {order.shown}: {said.rstrip('.')}."
        + (f" {remedy}" if remedy else " Nothing was made. Look at the server's log."),
        rq_id=request.id,
        step="import",
    )
