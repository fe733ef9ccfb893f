"""Predict when each request in flight will end.

The server's queue is first in, first out. The order of the requests, the number of workers and the
usual length of an export tell when each worker will be free. From that follows when each request
ends. `polling` decides by these times.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from asynccvat.core.scheduling import intervals
from asynccvat.core.scheduling.intervals import clamp
from asynccvat.core.scheduling.server_model import ServerModel

# An overdue request is polled again after this share of the time it has taken so far.
_OVERDUE_SHARE = 0.15
# A request that takes this many times the usual time may be stuck.
_STUCK_AFTER = 4


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request that is not known to have ended.

    Attributes:
        rq_id: Its id.
        number: Its place in the order in which requests were sent.
        asked_at: When it was sent, seconds of our own clock.
        started_at: When it began, on our own clock. None while it is queued as far as we know.
        queued_at: When it was last seen in the queue, None if it never was.
        polled_at: When it was last known not to have ended, None before the first poll.
        predictable: Whether its result can be fetched before it is known to have ended.
        doubtful: Whether the last speculative fetch came too early. The next poll then makes a
            status call.
        fetching: Whether its predicted result is being fetched.
    """

    rq_id: str
    number: int
    asked_at: float
    started_at: float | None = None
    queued_at: float | None = None
    polled_at: float | None = None
    predictable: bool = True
    doubtful: bool = False
    fetching: bool = False


@dataclass(frozen=True, slots=True)
class ServerQueue:
    """What is known of the requests in flight.

    Attributes:
        pending: Those not known to have ended, in the order in which they were sent.
        more_to_request: Whether more requests wait for a slot in flight.
        last_poll: When the last poll was answered, on our own clock.
        ends: When the last requests ended, on our own clock. Their workers were busy until then.
        overtaken: Requests with smaller numbers must have ended, since a later one has.
        probing_until: Until when to wait for the probe under way, None if there is none.
        missed: How many polls in a row found no request ended.
        without_dates: How many requests ended since the dates of one were seen.
        unsure: Whether no status was read since the last request was sent.
    """

    pending: Sequence[PendingRequest]
    more_to_request: bool = False
    last_poll: float = 0.0
    ends: Sequence[float] = ()
    overtaken: int = 0
    probing_until: float | None = None
    missed: int = 0
    without_dates: int = 0
    unsure: bool = False


def due_times(model: ServerModel, queue: ServerQueue) -> list[float]:
    """Predict when each pending request ends, on our own clock.

    Returns:
        One time for each, in the same order. 0 for a request that must have ended.
    """
    service = model.export_seconds if model.export_seconds is not None else intervals.FIRST_POLL
    occupied = (model.occupied_seconds or service) * (
        model.early_rate if queue.more_to_request else 1.0
    )
    due = {
        request.rq_id: _due_without_queueing(request, queue, service) for request in queue.pending
    }
    free_at = sorted([*queue.ends, *[0.0] * model.workers])[-model.workers :]
    running = sorted(
        _frees_worker(request, at, service)
        for request in queue.pending
        if (at := due[request.rq_id])
    )
    for at in running[: len(free_at)]:
        heapq.heapreplace(free_at, at)
    for request in queue.pending:
        if due[request.rq_id] is not None:
            continue
        begins = max(free_at[0], request.asked_at, request.queued_at or 0.0)
        due[request.rq_id] = at = _postponed_if_overdue(request, begins + service)
        heapq.heapreplace(free_at, at - service + occupied)
    return [at or 0.0 for at in due.values()]


def _frees_worker(request: PendingRequest, due: float, service: float) -> float:
    """When a running request's worker is free for the next one.

    A request that takes much longer than the others may be stuck. The requests behind it must not
    wait for it for ever, so it counts as if it had just ended.
    """
    polled_at = request.polled_at
    if polled_at is None or polled_at - _earliest_start(request) <= _STUCK_AFTER * service:
        return due
    return polled_at


def _due_without_queueing(
    request: PendingRequest, queue: ServerQueue, service: float
) -> float | None:
    """When a request ends, if that follows without the queue. None if it does not."""
    if request.started_at is not None:
        return _postponed_if_overdue(request, request.started_at + service)
    if request.number >= queue.overtaken:
        return None
    return 0.0 if request.polled_at is None else _postponed_if_overdue(request, 0.0)


def _postponed_if_overdue(request: PendingRequest, due: float) -> float:
    """When a request ends. An overdue one counts as due after a further share of its age."""
    if request.polled_at is None:
        return due
    age = request.polled_at - _earliest_start(request)
    wait = clamp(_OVERDUE_SHARE * age, intervals.SHORTEST_PAUSE, intervals.LONGEST_INTERVAL)
    return max(due, request.polled_at + wait)


def _earliest_start(request: PendingRequest) -> float:
    """When a request began, or at the earliest could have begun."""
    return request.asked_at if request.started_at is None else request.started_at
