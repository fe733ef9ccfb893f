"""Which exports to look at next, how, and when.

The server's queue is first in, first out, and its requests carry dates; so it can be predicted
when which of them ends. What must have ended by now is not asked about but tried: its archive is
asked for, which costs nothing where the prediction was right. While more exports are to come, one
try deep in the queue tells of all before it; at the end of a run each is tried when it is due.

Where prediction fails, or a result cannot be tried, requests are asked about: one filtered list
answers for all, but grows with every request that the server remembers; single calls cost the
same always. Whichever has been measured to be cheaper for what is due is used.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from asynccvat.core.scheduling.server_model import ServerModel

SHORTEST_INTERVAL = 0.25
LONGEST_INTERVAL = 5.0
_SHORTEST_PAUSE = 0.1
_FIRST_LOOK = 0.3
_EXPORTS_PER_LOOK = 8
# Some before the one that is looked at may still be running, on the other workers: few of many.
_EXPORTS_PER_LOOK_AND_WORKER = 4
# No list is waited for much longer; what it would save is not worth it any more.
_LONGEST_LIST = 1.5
_LONGEST_PROBE = 1.0
# An export that is overdue is looked at again after this share of the time it has taken so far.
_OVERDUE_SHARE = 0.15
_STUCK_AFTER = 4
# Clocks are compared by calls, whose way takes some time.
_CLOCK_SLACK = 0.03
# Of the predicted ends so many must be right for tries to be worth while.
_HIT_RATE_NEEDED = 0.4
# Before anything can be predicted, so many are asked about at once.
_CALLS_WHILE_LEARNING = 2
# So many have to be due for the first list, which tells what lists cost.
_DUE_TO_TRY_A_LIST = 4
# After so many exports that told no dates one is asked about.
_EXPORTS_WITHOUT_DATES = 24
# Sooner where they differ by much, as then few tell little.
_UNEVEN, _EXPORTS_WITHOUT_DATES_IF_UNEVEN = 0.3, 8
# Where the next of our exports begins only after so many seconds, a call is nothing beside it.
_PACE_TO_ASK_ALWAYS = 0.5
_SOONER_WHERE_IDLE = 4
# Likewise once each is tried when it is due, for which the time has to be known better.
_EXPORTS_WITHOUT_DATES_AT_THE_END = 3


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that is not known to have ended.

    Attributes:
        rq_id: Its id.
        number: Its place in the order in which exports were asked for.
        asked_at: When it was asked for, seconds of our own clock.
        started_at: When it began, on our own clock; None while it is queued as far as we know.
        queued_at: When it was last seen in the queue, None where it was not.
        looked_at: When it was last known not to have ended, None before the first look.
        predictable: Whether its result can be asked for before it is known to have ended.
        doubtful: Whether the last try came too early, so that the next look should ask.
        fetching: Whether its predicted result is being fetched.
    """

    rq_id: str
    number: int
    asked_at: float
    started_at: float | None = None
    queued_at: float | None = None
    looked_at: float | None = None
    predictable: bool = True
    doubtful: bool = False
    fetching: bool = False


@dataclass(frozen=True, slots=True)
class Demand:
    """What a run needs of the server's queue at the moment.

    Attributes:
        more_to_request: Whether more requests wait for a slot in flight.
        may_fetch: Whether results may be fetched before they are known to be there.
        has_room: Whether a fetch would begin at once.
    """

    more_to_request: bool = False
    may_fetch: bool = False
    has_room: bool = True


class How(Enum):
    """How to look."""

    FETCH = "fetch the results: they should be there"
    ASK = "ask about each by itself"
    LIST = "ask about all with one list"


@dataclass(frozen=True, slots=True)
class Look:
    """What to look at next: these requests, in this way, at the time `at`."""

    at: float
    rq_ids: tuple[str, ...]
    how: How


@dataclass(frozen=True, slots=True)
class Queue:
    """What is known of the exports in flight.

    Attributes:
        pending: Those not known to have ended, in the order in which they were asked for.
        more_to_request: Whether exports wait for a place in flight.
        last_look: When the last look was answered, on our own clock.
        ends: When the last exports ended, on our own clock: their workers were not free before.
        overtaken: Exports with smaller numbers must have ended, as one behind them has.
        probing_until: Until when a try that is under way is waited for, as it tells of all before
            it; None where there is none.
        missed: How many looks in a row found nothing ended.
        without_dates: How many exports ended since dates of any were seen.
        unsure: Whether nothing was asked since the last export was asked for.
    """

    pending: Sequence[Pending]
    more_to_request: bool = False
    last_look: float = 0.0
    ends: Sequence[float] = ()
    overtaken: int = 0
    probing_until: float | None = None
    missed: int = 0
    without_dates: int = 0
    unsure: bool = False


def look_interval(model: ServerModel) -> float:
    """Seconds between two looks in the middle of a run.

    Long enough for a look to find several exports ended, and for polling to stay a small share
    of the calls; short enough for nobody to wait long.
    """
    if model.is_learning:
        return SHORTEST_INTERVAL
    batch = _exports_per_look(model) * model.occupied_seconds / model.workers
    if model.is_idle:
        # It can do more than was asked of it: find out soon how much.
        batch /= _SOONER_WHERE_IDLE
    return _clamp(batch, SHORTEST_INTERVAL, LONGEST_INTERVAL)


def lead_seconds(model: ServerModel) -> float:
    """Seconds from the time for a look until what comes next lies in the server's queue.

    That of the look itself, and of asking for new exports, beside the archives that it released.
    """
    return (3 + _exports_per_look(model) / 4) * (model.call_seconds or 0.0) + _CLOCK_SLACK


def probe_patience(model: ServerModel) -> float:
    """Seconds for which a try that tells of others is waited for: its answer comes at once."""
    return _LONGEST_PROBE + 10 * (model.call_seconds or 0.0)


def list_patience(model: ServerModel) -> float:
    """Seconds after which a list is given up: its cost grows with all that a server remembers."""
    return _LONGEST_LIST + 10 * (model.call_seconds or 0.0)


def due_times(model: ServerModel, queue: Queue) -> list[float]:
    """When each of the pending exports should end, on our own clock.

    Returns:
        One time for each, in the same order; 0 for those that must have ended.
    """
    service = model.export_seconds if model.export_seconds is not None else _FIRST_LOOK
    occupied = (model.occupied_seconds or service) * (
        model.early_rate if queue.more_to_request else 1.0
    )
    due = {
        request.rq_id: _due_without_queueing(request, queue, service) for request in queue.pending
    }
    workers = sorted([*queue.ends, *[0.0] * model.workers])[-model.workers :]
    running = sorted(
        _frees_worker(request, at, service)
        for request in queue.pending
        if (at := due[request.rq_id])
    )
    for at in running[: len(workers)]:
        heapq.heapreplace(workers, at)
    for request in queue.pending:
        if due[request.rq_id] is not None:
            continue
        begins = max(workers[0], request.asked_at, request.queued_at or 0.0)
        due[request.rq_id] = at = _patiently(request, begins + service)
        heapq.heapreplace(workers, at - service + occupied)
    return [at or 0.0 for at in due.values()]


def _frees_worker(request: Pending, due: float, service: float) -> float:
    """When its worker goes on to the next one.

    One that takes much longer than others may be stuck, and must not put off for ever all that
    are behind it: they are looked at as if it had just ended.
    """
    looked_at = request.looked_at
    if looked_at is None or looked_at - _begun(request) <= _STUCK_AFTER * service:
        return due
    return looked_at


def _due_without_queueing(request: Pending, queue: Queue, service: float) -> float | None:
    """When it should end if that follows from what is known of it alone."""
    if request.started_at is not None:
        return _patiently(request, request.started_at + service)
    if request.number >= queue.overtaken:
        return None
    return 0.0 if request.looked_at is None else _patiently(request, 0.0)


def next_look(model: ServerModel, queue: Queue, *, may_fetch: bool, room: bool) -> Look | None:
    """Decide the next look.

    Args:
        model: What is known of the server.
        queue: The exports in flight.
        may_fetch: Whether results can be asked for before they are known to be there.
        room: Whether a result that is tried is asked for at once, as one has to be that is to tell
            of others.

    Returns:
        What to do next and when, or None where nothing is to be done before something happens.
    """
    due = due_times(model, queue)
    rows = sorted(
        (
            Due(at, request)
            for at, request in zip(due, queue.pending, strict=True)
            if not request.fetching
        ),
        key=_in_time,
    )
    if not rows:
        return None
    may_fetch = may_fetch and not model.is_learning
    if not queue.more_to_request or len(queue.pending) <= model.workers:
        return _look_at_due(model, queue, rows, may_fetch=may_fetch)
    return _look_at_many(model, queue, rows, may_fetch=may_fetch, room=room)


@dataclass(frozen=True, slots=True)
class Due:
    """A pending request, and when it should end."""

    at: float
    request: Pending


def _in_time(row: Due) -> tuple[float, int]:
    return row.at, row.request.number


def _look_at_due(model: ServerModel, queue: Queue, rows: Sequence[Due], *, may_fetch: bool) -> Look:
    """Nothing else is to come, or to keep the workers busy: look when the next is due."""
    running = [row for row in rows if row.request.number >= queue.overtaken][: model.workers]
    if queue.unsure and may_fetch and running:
        # Those that run now tell when all that are behind them will end.
        return _look(model, queue.last_look, running, rows, may_fetch=False)
    at = max(rows[0].at + _CLOCK_SLACK, _not_before(queue))
    due = [row for row in rows if row.at + _CLOCK_SLACK <= at]
    if queue.without_dates >= _EXPORTS_WITHOUT_DATES_AT_THE_END:
        return _look(model, at, due[:1], rows, may_fetch=False)
    return _look(model, at, due, rows, may_fetch=may_fetch)


def _look_at_many(
    model: ServerModel, queue: Queue, rows: Sequence[Due], *, may_fetch: bool, room: bool
) -> Look:
    """There is time until the server's queue runs dry: look when several have ended.

    One that is deep in the queue is looked at. If it has ended, those before it have, too, but
    for some that the other workers may still be at.
    """
    may_fetch = may_fetch and model.hit_rate >= _HIT_RATE_NEEDED
    looks = []
    overtaken = [row for row in rows if row.request.number < queue.overtaken]
    if may_fetch and overtaken:
        at = max(overtaken[0].at, queue.last_look)
        ended = [row for row in overtaken if row.at <= at]
        looks.append(_look(model, at, ended, rows, may_fetch=True))
    probe = _probe(model, queue, rows, may_fetch=may_fetch, room=room)
    if queue.probing_until is not None:
        # It should tell soon; if it hangs, the others must not wait for it.
        probe = replace(probe, at=max(probe.at, queue.probing_until))
    return min([*looks, probe], key=lambda look: look.at)


def _probe(
    model: ServerModel, queue: Queue, rows: Sequence[Due], *, may_fetch: bool, room: bool
) -> Look:
    slack = [_slack(model, number) for number in range(1, len(rows) + 1)]
    many = min(_exports_per_look(model), len(rows))
    dry = rows[max(0, len(rows) - model.workers - 1)].at - slack[-1] - lead_seconds(model)
    at = min(rows[many - 1].at + slack[many - 1], dry, queue.last_look + look_interval(model))
    at = max(at, rows[0].at + slack[0], _not_before(queue))
    ended = [row for row, wait in zip(rows, slack, strict=True) if row.at + wait <= at]
    if queue.missed:
        ended = ended[: (len(ended) + 1) // 2]
    ended.sort(key=_by_number)
    if not (may_fetch and ended[-1].request.predictable):
        return _look(model, at, ended, rows, may_fetch=False)
    if model.is_idle:
        # How many run at once shows in the dates of neighbours.
        return _look(model, at, ended[-2 * model.workers :], rows, may_fetch=False)
    tell_dates = (
        queue.without_dates
        >= (
            _EXPORTS_WITHOUT_DATES_IF_UNEVEN
            if model.spread > _UNEVEN * model.occupied_seconds
            else _EXPORTS_WITHOUT_DATES
        )
        or model.occupied_seconds / model.workers >= _PACE_TO_ASK_ALWAYS
    )
    return _look(model, at, ended[-1:], rows, may_fetch=room and not tell_dates)


def _by_number(row: Due) -> int:
    return row.request.number


def _look(
    model: ServerModel, at: float, due: Sequence[Due], rows: Sequence[Due], *, may_fetch: bool
) -> Look:
    """Look at what is due: try what can be tried, else ask, in the way that is cheaper.

    Where nobody knows any more what a single call costs, one is asked about, to measure it.
    """
    tries = tuple(
        row.request.rq_id
        for row in due
        if may_fetch and row.request.predictable and not row.request.doubtful
    )
    if tries:
        return Look(at, tries, How.FETCH)
    if model.is_learning and all(row.request.predictable for row in due):
        due = due[:_CALLS_WHILE_LEARNING]
    if _list_is_cheaper(model, len(due)):
        if not model.calls_are_stale:
            return Look(at, tuple(row.request.rq_id for row in rows), How.LIST)
        due = due[:1]
    return Look(at, tuple(row.request.rq_id for row in due), How.ASK)


def _not_before(queue: Queue) -> float:
    """A look that found nothing is not followed by another one at once."""
    return queue.last_look + (_SHORTEST_PAUSE if queue.missed else 0.0)


def _exports_per_look(model: ServerModel) -> int:
    return max(_EXPORTS_PER_LOOK, _EXPORTS_PER_LOOK_AND_WORKER * model.workers)


def _slack(model: ServerModel, exports: int) -> float:
    """Seconds by which so many exports may end sooner or later without surprise."""
    return _CLOCK_SLACK + model.spread * math.sqrt(exports / model.workers) / 2


def _patiently(request: Pending, due: float) -> float:
    """When it should end; of one that is overdue, after a further part of its age."""
    if request.looked_at is None:
        return due
    age = request.looked_at - _begun(request)
    return max(
        due, request.looked_at + _clamp(_OVERDUE_SHARE * age, _SHORTEST_PAUSE, LONGEST_INTERVAL)
    )


def _begun(request: Pending) -> float:
    """When it began, or at the earliest could have."""
    return request.asked_at if request.started_at is None else request.started_at


def _list_is_cheaper(model: ServerModel, due: int) -> bool:
    """Whether one list costs less than asking about each that is due."""
    if due <= 1:
        # One single call never costs more than a list that finds the same one.
        return False
    if model.list_seconds is None:
        # What it costs here is not known before one was asked for, and it can be much.
        return due >= _DUE_TO_TRY_A_LIST
    if model.call_seconds is None:
        return not math.isinf(model.list_seconds)
    return model.list_seconds <= due * model.call_seconds


def _clamp(value: float, least: float, most: float) -> float:
    return max(least, min(value, most))
