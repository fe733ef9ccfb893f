"""Poll requests for all waiting tasks.

`core.scheduling.in_flight` keeps what is known of the requests, and decides which of them to poll
next, when, and how. The poller makes the calls, feeds the answers back, and wakes the waiting
tasks: because a request has ended, or because its predicted result should be there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import anyio

from asynccvat.aio.list_warnings import warnings_to
from asynccvat.aio.task_groups import run_beside, task_group
from asynccvat.client.client import CvatClient, internals
from asynccvat.client.watched import WatchedRequest, bug, stuck, timed_out, vanished
from asynccvat.core.requests import RequestStatus, ServerRequest
from asynccvat.core.scheduling.in_flight import InFlight, RequestStage, StatusAnswer
from asynccvat.core.scheduling.intervals import list_patience
from asynccvat.core.scheduling.polling import Demand, Poll, PollMethod
from asynccvat.core.scheduling.server_model import ServerModel
from asynccvat.core.scheduling.stalls import QueueMovement, QueueStall, stall_of
from asynccvat.core.targets import TargetKind
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
    ResponseError,
)

T = TypeVar("T")

# Seconds. An answer that took longer came from a server in trouble.
_SLOW_ANSWER = 60.0
# Single status calls at once: as many as a small server has workers for calls.
_CALLS_AT_ONCE = 2


class Poller:
    """Poll the requests of one run. Run `run` in a separate task."""

    def __init__(
        self,
        client: CvatClient,
        *,
        timeout: float,
        queue_timeout: float = float("inf"),
        demand: Callable[[], Demand] = Demand,
        action: str = "export",
        by_task: bool = True,
        target: TargetKind = TargetKind.TASK,
        noun: str = "export",
        on_started: Callable[[int], None] | None = None,
        on_stalled: Callable[[QueueStall], None] | None = None,
    ) -> None:
        """Prepare to poll requests.

        Args:
            client: The server.
            timeout: Seconds that a request may run, counted from its start.
            queue_timeout: Seconds that requests may wait while nothing leaves the server's queue.
            demand: What the run needs of the server's queue at the moment. The poller calls it
                before each poll.
            action: `export` or `import`, the same for all requests.
            by_task: Whether the server's requests name their tasks, so that its list can be
                filtered by them. Those of restores name none.
            target: What all requests are about: tasks, projects or jobs.
            noun: What the server makes, in a word, for messages.
            on_started: Receives the task of each request that is seen to have started.
            on_stalled: Told when nothing has left the queue for minutes, and again later.
        """
        self._client = client
        self._timeout = timeout
        self._demand = demand
        self._action = action
        self._by_task = by_task
        self._target = target
        self._noun = noun
        self._on_started = on_started or (lambda _task_id: None)
        self._on_stalled = on_stalled or (lambda _stall: None)
        self._queue_timeout = queue_timeout
        self._movement = QueueMovement()
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
        accepted_at: datetime | None = None,
        uncertainty: float = 0.0,
    ) -> WatchedRequest:
        """Begin to poll a request. `wait` for the returned value.

        Args:
            rq_id: Its id.
            task_id: The task that it is about, or the target of another kind.
            asked_at: When it was requested, seconds of the loop's clock.
            created: Whether our own call queued it.
            predictable: Whether its result may be fetched before it is known to be there.
            accepted_at: The `Date` of the server's answer, None if it sent none.
            uncertainty: Seconds by which it may have been queued sooner or later.
        """
        watched = WatchedRequest(
            rq_id, task_id, created, accepted_at, target=self._target, noun=self._noun
        )
        self._watched[rq_id] = watched
        self._inflight.remove(rq_id)
        self._inflight.add(
            rq_id, asked_at, ours=created, predictable=predictable, uncertainty=uncertainty
        )
        self._changed.set()
        return watched

    async def wait(self, watched: WatchedRequest) -> ServerRequest | None:
        """Wait until a request has ended, or until its result should be fetched.

        Returns:
            The request, finished or failed. None if its result should be there: then fetch it,
            and call `resolve`.

        Raises:
            ExportTimeoutError: It runs for longer than the timeout.
            ExportExpiredError: The server does not know it any more.
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

    def resolve(self, watched: WatchedRequest, *, found: bool) -> None:
        """Note whether a predicted result was there. If it was not, `wait` again."""
        now = asyncio.get_running_loop().time()
        self._inflight.resolve(watched.rq_id, now, found=found)
        if found:
            self._movement.note(now)
            self.forget(watched)
        elif not watched.ended:
            watched.turn = anyio.Event()
        self._changed.set()

    def forget(self, watched: WatchedRequest) -> None:
        """Stop polling a request."""
        if self._watched.get(watched.rq_id) is watched:
            del self._watched[watched.rq_id]
            self._inflight.remove(watched.rq_id)
            self._changed.set()

    async def during(self, work: Awaitable[T]) -> T:
        """Poll while some work runs. Returns or raises what the work does."""
        return await run_beside(self.run, work)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            self._changed = anyio.Event()
            try:
                await self._poll_next()
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - the waiting tasks report it
                self._start_anew(error)
                await self._changed.wait()

    async def _poll_next(self) -> None:
        """Wait for the time of the next poll, or for a change, and poll."""
        clock = asyncio.get_running_loop().time
        poll = self._inflight.next_poll(self._demand())
        if poll is None:
            await self._changed.wait()
            return
        if poll.at > clock():
            with anyio.move_on_after(poll.at - clock()):
                await self._changed.wait()
            # It may have been set just as the time was up.
            if self._changed.is_set():
                return
        began = clock()
        await self._carry_out(poll)
        if clock() - began > _SLOW_ANSWER:
            # While the server does not answer, nothing is known of its queue.
            self._movement.note(clock())
        self._check_movement(clock())

    def _check_movement(self, now: float) -> None:
        """Tell of a queue that nothing leaves, and give up what waits in it for too long."""
        seconds = self._movement.seconds(now)
        under_way = [one for one in self._watched.values() if not one.ended]
        waiting = [one for one in under_way if not one.started]
        running = [
            None if one.request is None else one.request.started_date
            for one in under_way
            if one.started
        ]
        stall = stall_of(self._action, seconds, waiting=len(waiting), running=running)
        if stall is None:
            self._movement.note(now)
        elif seconds > self._queue_timeout:
            for one in waiting:
                self._end(one, error=stuck(stall, self._queue_timeout))
        elif self._movement.is_due(now):
            self._on_stalled(stall)

    def _start_anew(self, error: Exception) -> None:
        """End the requests in flight after a bug that may concern them all."""
        for one in tuple(self._watched.values()):
            one.error, one.ended = bug(one, error), True
            one.turn.set()
        self._inflight = InFlight()

    async def _carry_out(self, poll: Poll) -> None:
        if poll.method is PollMethod.FETCH:
            self._inflight.begin_fetches(poll.rq_ids, asyncio.get_running_loop().time())
            for rq_id in poll.rq_ids:
                self._watched[rq_id].turn.set()
            return
        watched = [self._watched[rq_id] for rq_id in poll.rq_ids]
        try:
            if poll.method is PollMethod.LIST:
                watched = await self._poll_by_list(watched)
            await self._poll_each(watched)
        except AsyncCvatError as error:
            # The client has retried as often as its policy allows. The waiting tasks decide.
            for one in watched:
                self._end(one, error=error)

    async def _poll_by_list(self, watched: list[WatchedRequest]) -> list[WatchedRequest]:
        """Poll with one list. Returns the requests that it did not show.

        If the server cannot filter the list, or takes too long over it, requests are polled one
        by one from then on.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        task_ids = sorted({one.task_id for one in watched}) if self._by_task else None
        requests = None
        try:
            # An entry that the list leaves out is polled by a call, at each list again.
            with anyio.move_on_after(list_patience(self.model)), warnings_to(_ignore):
                requests = await self._client.requests(
                    task_ids=task_ids, action=self._action, target=self._target
                )
        except (AuthenticationError, RateLimitError):
            raise
        except (ProtocolError, ResponseError):
            pass
        except (AsyncCvatError, MemoryError):
            raise
        except Exception:  # noqa: BLE001 - single calls show which request it concerns
            return watched
        if requests is None and internals(self._client).is_unreachable:
            return []  # the list is not to blame
        if requests is None:
            self._inflight.model = self.model.without_lists()
            return []
        self._inflight.model = self.model.with_list(clock() - began)
        by_id = {request.id: request for request in requests}
        self._note_answers([(one, by_id[one.rq_id]) for one in watched if one.rq_id in by_id])
        return [one for one in watched if one.rq_id not in by_id]

    async def _poll_each(self, watched: Iterable[WatchedRequest]) -> None:
        limiter = anyio.CapacityLimiter(_CALLS_AT_ONCE)
        clock = asyncio.get_running_loop().time

        async def poll_one(one: WatchedRequest) -> None:
            async with limiter:
                began = clock()
                try:
                    request = await self._client.request(one.rq_id)
                except NotFoundError:
                    self._end(one, error=vanished(one))
                    return
                except AsyncCvatError as error:
                    self._end(one, error=error)
                    return
                except MemoryError:
                    raise
                except Exception as error:  # noqa: BLE001 - its task reports it
                    self._end(one, error=bug(one, error))
                    return
                self._inflight.model = self.model.with_call(clock() - began)
                self._note_answers([(one, request)])

        async with task_group() as group:
            for one in watched:
                group.start_soon(poll_one, one)

    def _note_answers(self, answers: Sequence[tuple[WatchedRequest, ServerRequest]]) -> None:
        """Learn from answers, and wake the tasks whose request has ended."""
        # Answers for requests that no task waits for any more are dropped.
        answers = [answer for answer in answers if self._watched.get(answer[0].rq_id) is answer[0]]
        now = asyncio.get_running_loop().time()
        try:
            self._inflight.note_answers([_status_answer(request) for _, request in answers], now)
        except Exception as error:  # noqa: BLE001 - raised for the one request that it concerns
            if len(answers) > 1:
                for answer in answers:
                    self._note_answers([answer])
                return
            for watched, _ in answers:
                self._end(watched, error=bug(watched, error))
            return
        for watched, request in answers:
            self._note_answer(watched, request, now)

    def _note_answer(self, watched: WatchedRequest, request: ServerRequest, now: float) -> None:
        watched.request = request
        if request.ended:
            self._movement.note(now)
            self._end(watched)
            return
        if request.state is RequestStatus.QUEUED:
            watched.seen_queued, watched.started = True, False
            return
        if not watched.started:
            watched.started = True
            self._movement.note(now)
            self._on_started(watched.task_id)
        started_at = self._inflight.started_at(watched.rq_id)
        if started_at is not None and now - started_at > self._timeout:
            self._end(watched, error=timed_out(watched, self._timeout))

    def _end(self, watched: WatchedRequest, *, error: AsyncCvatError | None = None) -> None:
        watched.error = error
        watched.ended = True
        if self._watched.get(watched.rq_id) is watched:
            self._inflight.remove(watched.rq_id)
        watched.turn.set()


def _ignore(_warning: str) -> None:
    pass


def _status_answer(request: ServerRequest) -> StatusAnswer:
    if request.ended:
        stage = RequestStage.ENDED
    elif request.state is RequestStatus.QUEUED:
        stage = RequestStage.QUEUED
    else:
        stage = RequestStage.STARTED
    dates = (request.created_date, request.started_date, request.finished_date)
    return StatusAnswer(request.id, stage, *map(_seconds, dates))


def _seconds(date: datetime | None) -> float | None:
    return None if date is None else date.timestamp()
