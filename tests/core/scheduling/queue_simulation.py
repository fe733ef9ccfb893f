"""Simulate a server and its client by discrete events, without sleeping.

The client decides with the real `core.scheduling.in_flight` and `core.scheduling.admission`. The
server has workers for calls and for exports, and its own clock.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from asynccvat.core.scheduling.admission import exports_allowed
from asynccvat.core.scheduling.in_flight import InFlight, RequestStage, StatusAnswer
from asynccvat.core.scheduling.polling import Demand, Poll, PollMethod

Service = Callable[[random.Random], float]


@dataclass(frozen=True)
class Scenario:
    """A server and the exports requested from it.

    Attributes:
        tasks: How many exports.
        workers: How many of them run at once, at first.
        service: Seconds of one export.
        latency: Seconds for which each call occupies a worker for calls.
        api_workers: How many calls are served at once.
        remembered: Requests that the server remembers. Each makes lists slower by 1.7 ms.
        others: Mean number of other users' exports per second.
        order: Which request begins next: `fifo`, `random`, or `lifo`.
        one_per_user: Whether a user's exports run one after the other.
        clock: Seconds by which the server's clock is ahead.
        dates: Whether the server sends dates.
        concurrency: The limit that the user fixed, None if there is none.
        transfers: Archives read at once.
        changes: `(time, workers)`: how many workers there are from then on.
        stalls: `(time, seconds)`: no call is answered for that long.
        seed: Seed of the random numbers.
    """

    tasks: int = 40
    workers: int = 2
    service: Service = lambda _: 0.25
    latency: float = 0.04
    api_workers: int = 2
    remembered: int = 0
    others: float = 0.0
    order: str = "fifo"
    one_per_user: bool = False
    clock: float = 0.0
    dates: bool = True
    concurrency: int | None = None
    transfers: int = 8
    changes: Sequence[tuple[float, int]] = ()
    stalls: Sequence[tuple[float, float]] = ()
    seed: int = 0

    @property
    def others_share(self) -> float:
        """Others' work for each second of work that is left to us."""
        mean = sum(self.service(random.Random(n)) for n in range(200)) / 200
        theirs = min(0.9, self.others * mean / self.workers)
        return theirs / (1 - theirs)


@dataclass
class _Export:
    rq_id: str
    seconds: float
    created: float
    started: float | None = None
    finished: float | None = None
    ours: bool = True


@dataclass
class Trace:
    """What a run of a scenario measured."""

    wall: float = 0.0
    polls: int = 0
    calls: int = 0
    early: int = 0
    lists: int = 0
    most_in_flight: int = 0
    work: float = 0.0
    longest: float = 0.0
    notices: list[float] = field(default_factory=list)


class Simulation:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.random = random.Random(scenario.seed)
        self.trace = Trace()
        self.now = 0.0
        self.inflight = InFlight()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._api_free = scenario.api_workers
        self._api_queue: deque[tuple[float, Callable[[], None]]] = deque()
        self._workers = scenario.workers
        self._queue: list[_Export] = []
        self._running: list[_Export] = []
        self._exports: dict[str, _Export] = {}
        self._requested = self._held = self._done = 0
        self._polling = False
        self._allowed = 0
        self._next_poll: Poll | None = None
        self._reading = 0
        self._to_read: deque[str] = deque()
        self._known: set[str] = set()

    def run(self) -> Trace:
        """Run to the end."""
        for at, workers in self.scenario.changes:
            self._at(at, lambda workers=workers: self._change(workers))  # type: ignore[misc]
        if self.scenario.others:
            self._others()
        self._request_more()
        while self._done < self.scenario.tasks:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.trace.wall = self.now
        return self.trace

    # The server

    def _at(self, at: float, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (at, self._number, event))

    def _call(self, seconds: float, done: Callable[[], None]) -> None:
        self.trace.calls += 1
        if self._api_free:
            self._api_free -= 1
            self._at(self._answered_at(seconds), lambda: self._called(done))
        else:
            self._api_queue.append((seconds, done))

    def _called(self, done: Callable[[], None]) -> None:
        if self._api_queue:
            seconds, other = self._api_queue.popleft()
            self._at(self._answered_at(seconds), lambda: self._called(other))
        else:
            self._api_free += 1
        done()

    def _answered_at(self, seconds: float) -> float:
        at = self.now + seconds
        for begin, stalled in self.scenario.stalls:
            if self.now < begin + stalled and at > begin:
                at += begin + stalled - max(self.now, begin)
        return at

    def _others(self) -> None:
        self._enqueue(_Export("", self.scenario.service(self.random), self.now, ours=False))
        self._at(self.now + self.random.expovariate(self.scenario.others), self._others)

    def _change(self, workers: int) -> None:
        self._workers = workers
        self._start()

    def _enqueue(self, export: _Export) -> None:
        self._queue.append(export)
        self._start()

    def _start(self) -> None:
        while self._queue and len(self._running) < self._workers:
            ours_running = any(export.ours for export in self._running)
            able = [
                number
                for number, export in enumerate(self._queue)
                if not (self.scenario.one_per_user and export.ours and ours_running)
            ]
            if not able:
                return
            match self.scenario.order:
                case "fifo":
                    number = able[0]
                case "lifo":
                    number = able[-1]
                case _:
                    number = self.random.choice(able)
            export = self._queue.pop(number)
            export.started = self.now
            self._running.append(export)
            self._at(self.now + export.seconds, lambda export=export: self._end(export))  # type: ignore[misc]

    def _end(self, export: _Export) -> None:
        export.finished = self.now
        self._running.remove(export)
        self._start()

    def _answer(self, rq_id: str) -> StatusAnswer:
        export = self._exports[rq_id]
        stage = RequestStage.QUEUED
        if export.started is not None:
            stage = RequestStage.ENDED if export.finished is not None else RequestStage.STARTED

        def date(moment: float | None) -> float | None:
            known = moment is not None and self.scenario.dates
            return moment + self.scenario.clock if known and moment is not None else None

        return StatusAnswer(
            rq_id, stage, date(export.created), date(export.started), date(export.finished)
        )

    # The client

    def _request_more(self) -> None:
        scenario = self.scenario
        self._allowed = exports_allowed(self.inflight.model, scenario.concurrency)
        while self._requested < scenario.tasks and self._held < self._allowed:
            rq_id = str(self._requested)
            self._requested += 1
            self._held += 1
            self.trace.most_in_flight = max(self.trace.most_in_flight, self._held)
            began = self.now
            self._call(
                scenario.latency,
                lambda rq_id=rq_id, began=began: self._accepted(rq_id, began),  # type: ignore[misc]
            )
        self._decide()

    def _accepted(self, rq_id: str, began: float) -> None:
        seconds = self.scenario.service(self.random)
        self.trace.work += seconds
        self.trace.longest = max(self.trace.longest, seconds)
        self._exports[rq_id] = export = _Export(rq_id, seconds, self.now)
        self._enqueue(export)
        took = self.now - began
        self.inflight.add(rq_id, began + took / 2, ours=True, uncertainty=took / 2)
        self._decide()

    def _decide(self) -> None:
        if self._polling:
            return
        poll = self.inflight.next_poll(
            Demand(
                more_to_request=self.scenario.tasks - self._requested >= max(1, self._allowed // 2),
                may_fetch=bool(self._known),
                has_room=self._reading < self.scenario.transfers,
            )
        )
        self._next_poll = poll
        if poll is not None:
            self._at(max(self.now, poll.at), lambda: self._poll_if_still_due(poll))

    def _poll_if_still_due(self, poll: Poll) -> None:
        if poll is not self._next_poll or self._polling:
            return
        if poll.method is PollMethod.FETCH:
            self.inflight.begin_fetches(poll.rq_ids, self.now)
            for rq_id in poll.rq_ids:
                self._read(rq_id)
            self._decide()
            return
        self._polling = True
        latency = self.scenario.latency
        began = self.now
        if poll.method is PollMethod.LIST:
            self.trace.polls += 1
            self.trace.lists += 1
            seconds = latency + 0.0017 * (self.scenario.remembered + len(self._exports))
            self._call(seconds, lambda: self._listed(poll.rq_ids, began))
            return
        self._poll_each(deque(poll.rq_ids), [], len(poll.rq_ids))

    def _listed(self, rq_ids: Sequence[str], began: float) -> None:
        self.inflight.model = self.inflight.model.with_list(self.now - began)
        self._note_answers([self._answer(rq_id) for rq_id in rq_ids])

    def _poll_each(self, left: deque[str], answers: list[StatusAnswer], count: int) -> None:
        """Poll two at once, as the client does."""

        def poll_next() -> None:
            if not left:
                return
            rq_id = left.popleft()
            began = self.now
            self.trace.polls += 1
            self._call(self.scenario.latency, lambda: answered(rq_id, began))

        def answered(rq_id: str, began: float) -> None:
            self.inflight.model = self.inflight.model.with_call(self.now - began)
            answers.append(self._answer(rq_id))
            if len(answers) == count:
                self._note_answers(answers)
            else:
                poll_next()

        poll_next()
        poll_next()

    def _note_answers(self, answers: list[StatusAnswer]) -> None:
        self._polling = False
        self.inflight.note_answers(answers, self.now)
        for answer in answers:
            if answer.stage is RequestStage.ENDED:
                self._known.add(answer.rq_id)
                self._held -= 1
                self._read(answer.rq_id)
        self._request_more()

    def _read(self, rq_id: str) -> None:
        self._to_read.append(rq_id)
        self._read_next()

    def _read_next(self) -> None:
        while self._to_read and self._reading < self.scenario.transfers:
            rq_id = self._to_read.popleft()
            self._reading += 1
            arrived = self.now
            self._call(
                self.scenario.latency,
                lambda rq_id=rq_id, arrived=arrived: self._was_read(rq_id, arrived),  # type: ignore[misc]
            )

    def _was_read(self, rq_id: str, arrived: float) -> None:
        self._reading -= 1
        export = self._exports[rq_id]
        ended = export.finished is not None
        if rq_id not in self._known:
            self.inflight.resolve(rq_id, self.now, found=ended)
            if ended:
                self._held -= 1
        if ended:
            assert export.finished is not None
            self.trace.notices.append(max(0.0, arrived - export.finished))
            self._done += 1
        else:
            self.trace.polls += 1
            self.trace.early += 1
        self._read_next()
        self._request_more()
