"""The one poller: it finds out how the requests go that many tasks wait for.

What is known of them, and when to look at which and how, is kept and decided in
`core.scheduling.in_flight`; this module asks, tells it the answers, and wakes whoever waits:
because a request has ended, or because its result should be there, which whoever waits then tries
and reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import anyio

from asynccvat.aio.task_groups import run_beside, task_group
from asynccvat.core.models import RequestStatus, ServerRequest
from asynccvat.core.scheduling.in_flight import InFlight, RequestStage, StatusAnswer
from asynccvat.core.scheduling.polling import How, Look, list_patience
from asynccvat.core.scheduling.server_model import ServerModel
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ExportExpiredError,
    ExportTimeoutError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
    ResponseError,
)

if TYPE_CHECKING:
    from asynccvat.client import CvatClient

T = TypeVar("T")

# Single looks that run at once: as many as a small server has workers for calls.
_CALLS_AT_ONCE = 2


@dataclass(slots=True)
class WatchedRequest:
    """A request that somebody waits for.

    Attributes:
        rq_id: Its id.
        task_id: The task that it is about.
        created: Whether our own call queued it.
        seen_queued: Whether an answer showed it in the queue.
        started: Whether an answer showed that it began, and none later that it was queued again.
        request: What the server said of it last, None before it did.
    """

    rq_id: str
    task_id: int
    created: bool
    seen_queued: bool = False
    started: bool = False
    request: ServerRequest | None = None
    error: AsyncCvatError | None = None
    ended: bool = False
    turn: anyio.Event = field(default_factory=anyio.Event)


class Poller:
    """Polls for all; `run` has to run in a task of its own.

    Attributes:
        more_to_ask: Set by the engine: whether exports wait for a place in flight.
        may_fetch: Set by the engine: whether results can be fetched before they have ended.
        has_room: Set by the engine: whether one that is tried now is asked for at once.
    """

    def __init__(
        self,
        client: CvatClient,
        *,
        timeout: float,
        action: str = "export",
        on_started: Callable[[int], None] | None = None,
    ) -> None:
        """Watch requests of a client.

        Args:
            client: Whose requests.
            timeout: Seconds that a request may run, counted from its start.
            action: `export` or `import`: what all of them are.
            on_started: Told the task of each request that is seen to have started.
        """
        self.more_to_ask = False
        self.may_fetch: Callable[[], bool] = lambda: False
        self.has_room: Callable[[], bool] = lambda: True
        self._client = client
        self._timeout = timeout
        self._action = action
        self._on_started = on_started or (lambda _task_id: None)
        self._watched: dict[str, WatchedRequest] = {}
        self._inflight = InFlight()
        self._changed = anyio.Event()

    @property
    def model(self) -> ServerModel:
        """What was learned of the server."""
        return self._inflight.model

    def watch(
        self,
        rq_id: str,
        task_id: int,
        *,
        asked_at: float,
        created: bool,
        predictable: bool = False,
        uncertainty: float = 0.0,
    ) -> WatchedRequest:
        """Begin to look after a request; `wait` for what is returned.

        Args:
            rq_id: Its id.
            task_id: The task that it is about.
            asked_at: When it was asked for, seconds of the loop's clock.
            created: Whether our own call queued it.
            predictable: Whether whoever waits can try its result before it is known to be there.
            uncertainty: Seconds by which it may have been queued sooner or later.
        """
        watched = WatchedRequest(rq_id, task_id, created)
        self._watched[rq_id] = watched
        self._inflight.remove(rq_id)
        self._inflight.add(
            rq_id, asked_at, ours=created, predictable=predictable, uncertainty=uncertainty
        )
        self._changed.set()
        return watched

    async def wait(self, watched: WatchedRequest) -> ServerRequest | None:
        """Wait until a request has ended, whichever way, or its result should be tried.

        Returns:
            The request, finished or failed; None where the result should be there by now: then
            try it, and say with `tried` how that went.

        Raises:
            ExportTimeoutError: It runs for longer than the timeout.
            ExportExpiredError: The server does not know of it any more.
            AsyncCvatError: The server could not be asked.
        """
        try:
            await watched.turn.wait()
        except BaseException:
            self.forget(watched)
            raise
        if not watched.ended:
            return None
        self.forget(watched)
        if watched.error is not None:
            raise watched.error
        return watched.request

    def tried(self, watched: WatchedRequest, *, ended: bool) -> None:
        """Say whether the result was there; if it was not, `wait` again."""
        now = asyncio.get_running_loop().time()
        self._inflight.tried(watched.rq_id, now, ended=ended)
        if ended:
            self.forget(watched)
        elif not watched.ended:
            watched.turn = anyio.Event()
        self._changed.set()

    def forget(self, watched: WatchedRequest) -> None:
        """Look after a request no more."""
        if self._watched.get(watched.rq_id) is watched:
            del self._watched[watched.rq_id]
            self._inflight.remove(watched.rq_id)
            self._changed.set()

    async def during(self, work: Awaitable[T]) -> T:
        """Poll while some work is awaited; what it returns or raises goes on to the caller."""
        return await run_beside(self.run, work)

    async def run(self) -> None:
        """Look, as long as it is not cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            self._changed = anyio.Event()
            look = self._inflight.next_look(
                more_to_ask=self.more_to_ask, may_fetch=self.may_fetch(), room=self.has_room()
            )
            if look is None:
                await self._changed.wait()
                continue
            if look.at > clock():
                with anyio.move_on_after(look.at - clock()):
                    await self._changed.wait()
                # It may have been set just as the time was up.
                if self._changed.is_set():
                    continue
            await self._look(look)

    async def _look(self, look: Look) -> None:
        if look.how is How.FETCH:
            self._inflight.begin_fetches(look.rq_ids, asyncio.get_running_loop().time())
            for rq_id in look.rq_ids:
                self._watched[rq_id].turn.set()
            return
        watched = [self._watched[rq_id] for rq_id in look.rq_ids]
        try:
            if look.how is How.LIST:
                watched = await self._look_at_list(watched)
            await self._look_at_each(watched)
        except AsyncCvatError as error:
            # The client has tried again as often as is right; now those who wait decide.
            for one in watched:
                self._end(one, error=error)

    async def _look_at_list(self, watched: list[WatchedRequest]) -> list[WatchedRequest]:
        """Ask with one list; returns those that it did not show.

        A server that cannot give the list, as its filters are not those that we know, or that
        takes too long over it, is asked about each request by itself from then on.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        task_ids = {one.task_id for one in watched}
        requests = None
        try:
            with anyio.move_on_after(list_patience(self.model)):
                requests = await self._client.requests(
                    task_ids=sorted(task_ids), action=self._action
                )
        except (AuthenticationError, RateLimitError):
            raise
        except (ProtocolError, ResponseError):
            pass
        if requests is None:
            self._inflight.model = self.model.without_lists()
            return []
        self._inflight.model = self.model.with_list(clock() - began)
        by_id = {request.id: request for request in requests}
        self._take([(one, by_id[one.rq_id]) for one in watched if one.rq_id in by_id])
        return [one for one in watched if one.rq_id not in by_id]

    async def _look_at_each(self, watched: Iterable[WatchedRequest]) -> None:
        limiter = anyio.CapacityLimiter(_CALLS_AT_ONCE)
        clock = asyncio.get_running_loop().time

        async def look_at(one: WatchedRequest) -> None:
            async with limiter:
                began = clock()
                try:
                    request = await self._client.request(one.rq_id)
                except NotFoundError:
                    self._end(one, error=_vanished(one))
                    return
                except AsyncCvatError as error:
                    self._end(one, error=error)
                    return
                self._inflight.model = self.model.with_call(clock() - began)
                self._take([(one, request)])

        async with task_group() as group:
            for one in watched:
                group.start_soon(look_at, one)

    def _take(self, answers: Sequence[tuple[WatchedRequest, ServerRequest]]) -> None:
        """Learn from answers, and wake those whose request has ended."""
        # Whom nobody waits for any more is nobody's business either.
        answers = [answer for answer in answers if self._watched.get(answer[0].rq_id) is answer[0]]
        now = asyncio.get_running_loop().time()
        self._inflight.answered([_answer(request) for _, request in answers], now)
        for watched, request in answers:
            watched.request = request
            if request.ended:
                self._end(watched)
                continue
            if request.state is RequestStatus.QUEUED:
                watched.seen_queued, watched.started = True, False
                continue
            if not watched.started:
                watched.started = True
                self._on_started(watched.task_id)
            started_at = self._inflight.started_at(watched.rq_id)
            if started_at is not None and now - started_at > self._timeout:
                self._end(watched, error=_timed_out(watched, self._timeout))

    def _end(self, watched: WatchedRequest, *, error: AsyncCvatError | None = None) -> None:
        watched.error = error
        watched.ended = True
        if self._watched.get(watched.rq_id) is watched:
            self._inflight.remove(watched.rq_id)
        watched.turn.set()


def _answer(request: ServerRequest) -> StatusAnswer:
    if request.ended:
        state = RequestStage.ENDED
    elif request.state is RequestStatus.QUEUED:
        state = RequestStage.QUEUED
    else:
        state = RequestStage.STARTED
    dates = (request.created_date, request.started_date, request.finished_date)
    return StatusAnswer(request.id, state, *map(_seconds, dates))


def _seconds(date: datetime | None) -> float | None:
    return None if date is None else date.timestamp()


def _vanished(watched: WatchedRequest) -> ExportExpiredError:
    return ExportExpiredError(
        f"the server no longer knows of the export of task {watched.task_id}; "
        "it may have been restarted or have cleaned up",
        task_id=watched.task_id,
        rq_id=watched.rq_id,
        step="wait",
        retryable=True,
    )


def _timed_out(watched: WatchedRequest, timeout: float) -> ExportTimeoutError:
    return ExportTimeoutError(
        f"the export of task {watched.task_id} runs for more than {timeout:.0f} s; "
        "--export-timeout allows more",
        task_id=watched.task_id,
        rq_id=watched.rq_id,
        step="wait",
    )
