"""Keep what is known of the requests in flight.

This is a state machine without clock or network. `client.poller` tells it what happened and when,
and asks it for the next poll. What it learns of the server goes into a `ServerModel`. `polling`
decides when and how to poll.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from asynccvat.core.scheduling.end_times import PendingRequest, ServerQueue, due_times
from asynccvat.core.scheduling.intervals import probe_patience
from asynccvat.core.scheduling.polling import Demand, Poll, next_poll
from asynccvat.core.scheduling.server_model import DatedExport, ServerModel

_OFFSETS_REMEMBERED = 15
_ENDS_REMEMBERED = 64


class RequestStage(Enum):
    """How far a request is."""

    QUEUED = "queued"
    STARTED = "started"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    """What an answer of the server said of a request.

    Attributes:
        rq_id: Its id.
        stage: How far it is.
        created: When it was queued, in seconds of the server's clock. None if the server sent no
            such date.
        started: When it began, in the same way.
        finished: When it ended, in the same way.
    """

    rq_id: str
    stage: RequestStage
    created: float | None = None
    started: float | None = None
    finished: float | None = None


@dataclass(slots=True)
class _RequestEnd:
    """The end of a request, on our own clock. If not `dated`, it was guessed."""

    at: float
    dated: bool


class InFlight:
    """The requests in flight.

    Attributes:
        model: What was learned of the server.
        last_poll: When the last poll was answered, on our own clock.
    """

    def __init__(self) -> None:
        """Begin without requests, and without knowing the server."""
        self.model = ServerModel()
        self.last_poll = 0.0
        self._pending: dict[str, PendingRequest] = {}
        self._number = 0
        self._more_to_request = False
        self._ours: dict[str, tuple[float, float]] = {}
        self._ends: list[_RequestEnd] = []
        self._offsets: list[tuple[float, float]] = []
        self._overtaken = 0
        self._probe: str | None = None
        self._probed_at = 0.0
        self._missed = 0
        self._without_dates = 0
        self._unsure = False

    def add(
        self,
        rq_id: str,
        asked_at: float,
        *,
        ours: bool,
        predictable: bool = True,
        uncertainty: float = 0.0,
    ) -> None:
        """Note a request that was sent.

        Args:
            rq_id: Its id.
            asked_at: When it was sent, on our own clock.
            ours: Whether our call queued it. False if it was there already.
            predictable: Whether its result may be fetched before it is known to have ended.
            uncertainty: Seconds by which the server may have queued it sooner or later.
        """
        self._number += 1
        self._pending[rq_id] = PendingRequest(
            rq_id, self._number, asked_at, predictable=predictable and ours
        )
        if ours:
            self._ours[rq_id] = (asked_at, uncertainty)

    def remove(self, rq_id: str) -> None:
        """Forget a request that no task waits for any more."""
        self._pending.pop(rq_id, None)
        self._ours.pop(rq_id, None)
        if self._probe == rq_id:
            self._probe = None

    def next_poll(self, demand: Demand) -> Poll | None:
        """Decide the next poll. None while there is nothing to poll.

        Args:
            demand: What the run needs of the queue at the moment.
        """
        if not self._pending:
            return None
        if self._more_to_request and not demand.more_to_request:
            # From now on each request is fetched when it is due, so its time must be known well.
            self._unsure = True
        self._more_to_request = demand.more_to_request
        return next_poll(
            self.model, self._queue(), may_fetch=demand.may_fetch, room=demand.has_room
        )

    def begin_fetches(self, rq_ids: Iterable[str], now: float) -> None:
        """Note that predicted results are being fetched. `resolve` notes how that went."""
        for rq_id in rq_ids:
            request = self._pending[rq_id]
            self._pending[rq_id] = replace(request, fetching=True)
            if request.number > self._overtaken:
                self._probe, self._probed_at = rq_id, now

    def resolve(self, rq_id: str, now: float, *, found: bool) -> None:
        """Note whether a predicted result was there."""
        request = self._pending.get(rq_id)
        if request is None:
            return
        self.last_poll = now
        self._note_prediction(right=found)
        if self._probe == rq_id and self._more_to_request:
            self.model = self.model.with_probe(right=found)
        if found:
            self._end(request, now)
            return
        if self._probe == rq_id:
            self._probe = None
        self._pending[rq_id] = replace(request, fetching=False, doubtful=True, polled_at=now)

    def note_answers(self, answers: Iterable[StatusAnswer], now: float) -> None:
        """Note what the server said of requests."""
        self.last_poll = now
        self._unsure = False
        answers = [answer for answer in answers if answer.rq_id in self._pending]
        for answer in answers:
            self._note_clock(answer)
        dated = []
        for answer in answers:
            request = self._pending[answer.rq_id]
            self._correct_guesses(request, answer, now)
            if answer.stage is RequestStage.ENDED:
                dated += _dated(request, answer)
                self._end(request, now, answer.finished)
            elif answer.stage is RequestStage.STARTED:
                self._overtake(request.number + 1 - self.model.workers, now)
                started_at = request.started_at or max(
                    self._on_our_clock(answer.started, now), request.asked_at
                )
                self._poll_again(request, now, started_at=started_at)
            else:
                # A request can go back from started to queued.
                self._poll_again(request, now, started_at=None, queued_at=now)
        self.model = self.model.with_exports(dated)
        if not any(answer.stage is RequestStage.ENDED for answer in answers):
            self._missed += 1

    def started_at(self, rq_id: str) -> float | None:
        """When a request began, on our own clock. None while that is not known."""
        request = self._pending.get(rq_id)
        return None if request is None else request.started_at

    def _queue(self) -> ServerQueue:
        return ServerQueue(
            tuple(self._pending.values()),
            more_to_request=self._more_to_request,
            last_poll=self.last_poll,
            ends=tuple(end.at for end in self._ends),
            overtaken=self._overtaken,
            probing_until=(
                None if self._probe is None else self._probed_at + probe_patience(self.model)
            ),
            missed=self._missed,
            without_dates=self._without_dates,
            unsure=self._unsure,
        )

    def _poll_again(self, request: PendingRequest, now: float, **changes: float | None) -> None:
        self._pending[request.rq_id] = replace(
            request,
            polled_at=now,
            doubtful=False,
            **changes,  # type: ignore[arg-type]
        )

    def _end(self, request: PendingRequest, now: float, finished: float | None = None) -> None:
        """Note the end of a request. If the server sent no date, its time is guessed."""
        dated = finished is not None and bool(self._offsets)
        if dated:
            self._note_end(self._on_our_clock(finished, now), dated=True)
        elif request.number >= self._overtaken:
            self._note_end(min(now, self._predicted()[request.rq_id]), dated=False)
        self._overtake(request.number, now)
        self.remove(request.rq_id)
        self.model = self.model.with_ended()
        self._missed = 0
        self._without_dates = 0 if dated else self._without_dates + 1

    def _overtake(self, number: int, now: float) -> None:
        """Note that requests with smaller numbers must have ended."""
        if number <= self._overtaken:
            return
        due = self._predicted()
        for request in self._pending.values():
            if self._overtaken <= request.number < number and request.started_at is None:
                self._note_end(min(now, due[request.rq_id]), dated=False)
        self._overtaken = number

    def _note_end(self, at: float, *, dated: bool) -> None:
        self._ends = sorted([*self._ends, _RequestEnd(at, dated)], key=_by_time)[-_ENDS_REMEMBERED:]

    def _predicted(self) -> dict[str, float]:
        return dict(zip(self._pending, due_times(self.model, self._queue()), strict=True))

    def _note_prediction(self, *, right: bool) -> None:
        self.model = self.model.with_prediction(right=right)
        if not right:
            self._missed += 1

    def _correct_guesses(self, request: PendingRequest, answer: StatusAnswer, now: float) -> None:
        """Shift the guessed ends by the error of this prediction."""
        service = self.model.export_seconds
        known = request.number >= self._overtaken and request.started_at is None
        if not (known and self._offsets and service is not None and answer.started is not None):
            return
        predicted = self._predicted()[request.rq_id]
        if request.polled_at is not None or predicted > now + service:
            return
        error = self._on_our_clock(answer.started, now) + service - predicted
        for end in self._ends:
            if not end.dated:
                end.at = min(now, end.at + error)

    def _note_clock(self, answer: StatusAnswer) -> None:
        """Compare the clocks: the server queued our request while our call was on its way."""
        if answer.rq_id in self._ours and answer.created is not None:
            asked_at, uncertainty = self._ours[answer.rq_id]
            offset = asked_at - answer.created
            bounds = (offset - uncertainty, offset + uncertainty)
            self._offsets = [*self._offsets, bounds][-_OFFSETS_REMEMBERED:]

    @property
    def _offset(self) -> float:
        """Seconds from the server's clock to ours: what all calls agree on, else the last one."""
        least = max(bounds[0] for bounds in self._offsets)
        most = min(bounds[1] for bounds in self._offsets)
        return (least + most) / 2 if least <= most else sum(self._offsets[-1]) / 2

    def _on_our_clock(self, date: float | None, now: float) -> float:
        """Return a date of the server on our own clock: at most `now`, and `now` if unknown."""
        if date is None or not self._offsets:
            return now
        return min(date + self._offset, now)


def _dated(request: PendingRequest, answer: StatusAnswer) -> list[DatedExport]:
    """Return an export that ended, with its dates. Empty if a date is missing."""
    if answer.started is None or answer.finished is None or answer.finished < answer.started:
        return []
    created = answer.started if answer.created is None else answer.created
    return [DatedExport(request.number, created, answer.started, answer.finished)]


def _by_time(end: _RequestEnd) -> float:
    return end.at
