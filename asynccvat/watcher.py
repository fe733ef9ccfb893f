"""The one poller: it asks the server how the requests go that many tasks wait for.

When to ask, about which, and whether with one list or with single calls is decided in
`core.polling` from what `core.servermodel` has learned; this module asks, remembers the answers
and wakes whoever waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median

import anyio

from asynccvat.client import CvatClient
from asynccvat.core.models import ExportRequest, RequestStatus
from asynccvat.core.polling import Look, Pending, list_patience, next_look
from asynccvat.core.servermodel import ServerModel
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

# Single looks that run at once: as many as a small server has workers for calls.
_CALLS_AT_ONCE = 2
_OFFSETS_REMEMBERED = 16
_ENDS_REMEMBERED = 16


@dataclass(slots=True)
class Watched:
    """A request that somebody waits for.

    Attributes:
        rq_id: Its id.
        task_id: The task that it is about.
        asked_at: When it was asked for, seconds of the loop's clock.
        created: Whether our own call queued it.
        seen_queued: Whether an answer showed it in the queue.
        started_at: When it began, on the loop's clock; None while it is not known to have.
        looked_at: When an answer about it came last.
    """

    rq_id: str
    task_id: int
    asked_at: float
    created: bool
    seen_queued: bool = False
    started_at: float | None = None
    looked_at: float | None = None
    request: ExportRequest | None = None
    error: AsyncCvatError | None = None
    ended: anyio.Event = field(default_factory=anyio.Event)

    def pending(self) -> Pending:
        """What polling has to know of it."""
        return Pending(self.rq_id, self.asked_at, self.started_at, self.looked_at)


class Watcher:
    """Polls for all; `run` has to run in a task of its own.

    Attributes:
        model: What was learned of the server.
        more_to_ask: Set by the engine: whether exports wait for a place in flight.
    """

    def __init__(
        self,
        client: CvatClient,
        *,
        timeout: float,
        on_started: Callable[[int], None] | None = None,
    ) -> None:
        """Watch requests of a client.

        Args:
            client: Whose requests.
            timeout: Seconds that a request may run, counted from its start.
            on_started: Told the task of each request that is seen to have started.
        """
        self.model = ServerModel()
        self.more_to_ask = False
        self._client = client
        self._timeout = timeout
        self._on_started = on_started or (lambda _task_id: None)
        self._watched: dict[str, Watched] = {}
        self._changed = anyio.Event()
        self._last_look = 0.0
        self._clock_offsets: list[float] = []
        self._ended_at: list[float] = []

    def watch(self, rq_id: str, task_id: int, *, asked_at: float, created: bool) -> Watched:
        """Begin to poll for a request; `wait` for what is returned."""
        watched = Watched(rq_id, task_id, asked_at, created)
        self._watched[rq_id] = watched
        self._changed.set()
        return watched

    async def wait(self, watched: Watched) -> ExportRequest:
        """Wait until a request has ended, whichever way.

        Returns:
            The request, finished or failed.

        Raises:
            ExportTimeoutError: It runs for longer than the timeout.
            ExportExpiredError: The server does not know of it any more.
            AsyncCvatError: The server could not be asked.
        """
        try:
            await watched.ended.wait()
        finally:
            if self._watched.get(watched.rq_id) is watched:
                del self._watched[watched.rq_id]
        if watched.error is not None:
            raise watched.error
        assert watched.request is not None
        return watched.request

    async def run(self) -> None:
        """Poll, as long as it is not cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            self._changed = anyio.Event()
            waiting = [watched for watched in self._watched.values() if not watched.ended.is_set()]
            if not waiting:
                await self._changed.wait()
                continue
            look = next_look(
                self.model,
                [watched.pending() for watched in waiting],
                last_look=self._last_look,
                more_to_ask=self.more_to_ask,
                ended_at=self._ended_at,
            )
            with anyio.move_on_after(max(0.0, look.at - clock())):
                await self._changed.wait()
                continue
            await self._look(look)
            self._last_look = clock()

    async def _look(self, look: Look) -> None:
        watched = [self._watched[rq_id] for rq_id in look.rq_ids if rq_id in self._watched]
        try:
            if look.as_list:
                watched = await self._look_at_list(watched)
            await self._look_at_each(watched)
        except AsyncCvatError as error:
            # The client has tried again as often as is right; now those who wait decide.
            for one in watched:
                self._end(one, error=error)

    async def _look_at_list(self, watched: list[Watched]) -> list[Watched]:
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
                requests = await self._client.requests(task_ids=sorted(task_ids))
        except (AuthenticationError, RateLimitError):
            raise
        except (ProtocolError, ResponseError):
            pass
        if requests is None:
            self.model = self.model.without_lists()
            return []
        self.model = self.model.with_list(clock() - began)
        by_id = {request.id: request for request in requests}
        self._take((one, by_id[one.rq_id]) for one in watched if one.rq_id in by_id)
        return [one for one in watched if one.rq_id not in by_id]

    async def _look_at_each(self, watched: Iterable[Watched]) -> None:
        limiter = anyio.CapacityLimiter(_CALLS_AT_ONCE)
        clock = asyncio.get_running_loop().time

        async def look_at(one: Watched) -> None:
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
                self.model = self.model.with_call(clock() - began)
                self._take([(one, request)])

        async with anyio.create_task_group() as group:
            for one in watched:
                group.start_soon(look_at, one)

    def _take(self, answers: Iterable[tuple[Watched, ExportRequest]]) -> None:
        """Learn from answers, and wake those whose request has ended."""
        now = asyncio.get_running_loop().time()
        ended: list[ExportRequest] = []
        for watched, request in answers:
            watched.request = request
            watched.looked_at = now
            self._note_times(watched, request, now)
            if request.ended:
                ended.append(request)
                self._ended_at.append(self._on_our_clock(request.finished_date, now))
                self._end(watched)
            elif watched.started_at is not None and now - watched.started_at > self._timeout:
                self._end(watched, error=_timed_out(watched, self._timeout))
        self.model = self.model.with_ended(ended)
        self._ended_at = sorted(self._ended_at)[-_ENDS_REMEMBERED:]

    def _note_times(self, watched: Watched, request: ExportRequest, now: float) -> None:
        if watched.created and request.created_date is not None:
            # The server made it while our call was on its way: that compares the two clocks.
            offset = watched.asked_at - request.created_date.timestamp()
            self._clock_offsets = [*self._clock_offsets, offset][-_OFFSETS_REMEMBERED:]
        match request.state:
            case RequestStatus.QUEUED:
                watched.seen_queued = True
                # A request can go back from started to queued.
                watched.started_at = None
            case RequestStatus.STARTED if watched.started_at is None:
                begun = self._on_our_clock(request.started_date, now)
                watched.started_at = max(begun, watched.asked_at)
                self._on_started(watched.task_id)
            case _:
                pass

    def _on_our_clock(self, date: datetime | None, now: float) -> float:
        """A date of the server on the loop's clock, `now` at the latest or where unknown."""
        if date is None or not self._clock_offsets:
            return now
        return min(date.timestamp() + median(self._clock_offsets), now)

    def _end(self, watched: Watched, *, error: AsyncCvatError | None = None) -> None:
        watched.error = error
        watched.ended.set()


def _vanished(watched: Watched) -> ExportExpiredError:
    return ExportExpiredError(
        f"the server no longer knows of the export of task {watched.task_id}; "
        "it may have been restarted or have cleaned up",
        task_id=watched.task_id,
        rq_id=watched.rq_id,
        step="wait",
        retryable=True,
    )


def _timed_out(watched: Watched, timeout: float) -> ExportTimeoutError:
    return ExportTimeoutError(
        f"the export of task {watched.task_id} runs for more than {timeout:.0f} s; "
        "--export-timeout allows more",
        task_id=watched.task_id,
        rq_id=watched.rq_id,
        step="wait",
    )
