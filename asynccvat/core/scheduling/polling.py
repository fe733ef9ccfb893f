"""Decide which requests to poll next, how, and when.

`end_times` predicts when each request ends. When a request should have ended, its status is not
read. Its archive is fetched instead: this is a speculative fetch, a fetch of a predicted result
before the server said that it is there. If the prediction was right, finding out has cost no call.

While more requests are to come, one speculative fetch deep in the queue is enough. This probe tells
about all requests before it, because the queue is first in, first out. At the end of a run each
request is fetched when it is due.

Where predictions fail, or a result cannot be predicted, the status of requests is read. One
filtered list answers for all of them, but its cost grows with every request that the server
remembers. Single calls always cost the same. Both are measured, and the cheaper way is used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from asynccvat.core.scheduling import intervals
from asynccvat.core.scheduling.end_times import PendingRequest, ServerQueue, due_times
from asynccvat.core.scheduling.intervals import exports_per_poll, lead_seconds, poll_interval
from asynccvat.core.scheduling.server_model import ServerModel

# Speculative fetches are worth while only if at least this share of predictions is right.
_HIT_RATE_NEEDED = 0.4
# Status calls at once, before anything can be predicted.
_CALLS_WHILE_LEARNING = 2
# This many requests must be due for the first list, which shows what lists cost.
_DUE_TO_TRY_A_LIST = 4
# After this many requests ended without dates, the status of one is read for its dates.
_EXPORTS_WITHOUT_DATES = 24
# After fewer if exports differ by much: a few dates then say little.
_UNEVEN, _EXPORTS_WITHOUT_DATES_IF_UNEVEN = 0.3, 8
# After fewer still at the end of a run: each request is then fetched when it is due, so its time
# must be known better.
_EXPORTS_WITHOUT_DATES_AT_THE_END = 3
# If our exports begin at least this many seconds apart, a status call costs little in comparison.
_INTERVAL_TO_READ_DATES_ALWAYS = 0.5


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


class PollMethod(Enum):
    """How to find out whether requests have ended."""

    FETCH = "fetch the predicted results"
    CALLS = "read the status of each request with a call"
    LIST = "read the status of all requests with one list"


@dataclass(frozen=True, slots=True)
class Poll:
    """Poll these requests, by this method, at the time `at` of our own clock."""

    at: float
    rq_ids: tuple[str, ...]
    method: PollMethod


@dataclass(frozen=True, slots=True)
class _DueRequest:
    """A pending request, and when it should end."""

    at: float
    request: PendingRequest


def next_poll(
    model: ServerModel, queue: ServerQueue, *, may_fetch: bool, room: bool
) -> Poll | None:
    """Decide the next poll.

    Args:
        model: What is known of the server.
        queue: The requests in flight.
        may_fetch: Whether results may be fetched before they are known to be there.
        room: Whether a fetch would begin at once. A probe has to.

    Returns:
        What to do next and when. None if there is nothing to do before something else happens.
    """
    rows = sorted(
        (
            _DueRequest(at, request)
            for at, request in zip(due_times(model, queue), queue.pending, strict=True)
            if not request.fetching
        ),
        key=_by_time,
    )
    if not rows:
        return None
    may_fetch = may_fetch and not model.is_learning
    if not queue.more_to_request or len(queue.pending) <= model.workers:
        return _poll_when_due(model, queue, rows, may_fetch=may_fetch)
    return _poll_in_batches(model, queue, rows, may_fetch=may_fetch, room=room)


def _poll_when_due(
    model: ServerModel, queue: ServerQueue, rows: Sequence[_DueRequest], *, may_fetch: bool
) -> Poll:
    """Poll when the next request is due: no more are to come, or the queue is nearly empty."""
    running = [row for row in rows if row.request.number >= queue.overtaken][: model.workers]
    if queue.unsure and may_fetch and running:
        # The dates of those that run now tell when all requests behind them will end.
        return _poll(model, queue.last_poll, running, rows, may_fetch=False)
    at = max(rows[0].at + intervals.CLOCK_SLACK, _earliest_poll(queue))
    due = [row for row in rows if row.at + intervals.CLOCK_SLACK <= at]
    if queue.without_dates >= _EXPORTS_WITHOUT_DATES_AT_THE_END:
        return _poll(model, at, due[:1], rows, may_fetch=False)
    return _poll(model, at, due, rows, may_fetch=may_fetch)


def _poll_in_batches(
    model: ServerModel,
    queue: ServerQueue,
    rows: Sequence[_DueRequest],
    *,
    may_fetch: bool,
    room: bool,
) -> Poll:
    """Poll when several requests have ended: the server's queue is long enough until then.

    A request deep in the queue is probed. If it has ended, those before it have ended, too, except
    for a few that other workers may still run.
    """
    may_fetch = may_fetch and model.hit_rate >= _HIT_RATE_NEEDED
    polls = []
    overtaken = [row for row in rows if row.request.number < queue.overtaken]
    if may_fetch and overtaken:
        at = max(overtaken[0].at, queue.last_poll)
        ended = [row for row in overtaken if row.at <= at]
        polls.append(_poll(model, at, ended, rows, may_fetch=True))
    probe = _probe(model, queue, rows, may_fetch=may_fetch, room=room)
    if queue.probing_until is not None:
        # The probe under way should tell soon. If it hangs, the others must not wait for it.
        probe = replace(probe, at=max(probe.at, queue.probing_until))
    return min([*polls, probe], key=lambda poll: poll.at)


def _probe(
    model: ServerModel,
    queue: ServerQueue,
    rows: Sequence[_DueRequest],
    *,
    may_fetch: bool,
    room: bool,
) -> Poll:
    """Choose the request deep in the queue to poll, and when."""
    slack = [_slack(model, number) for number in range(1, len(rows) + 1)]
    many = min(exports_per_poll(model), len(rows))
    dry = rows[max(0, len(rows) - model.workers - 1)].at - slack[-1] - lead_seconds(model)
    at = min(rows[many - 1].at + slack[many - 1], dry, queue.last_poll + poll_interval(model))
    at = max(at, rows[0].at + slack[0], _earliest_poll(queue))
    ended = [row for row, wait in zip(rows, slack, strict=True) if row.at + wait <= at]
    if queue.missed:
        ended = ended[: (len(ended) + 1) // 2]
    ended.sort(key=_by_number)
    if not (may_fetch and ended[-1].request.predictable):
        return _poll(model, at, ended, rows, may_fetch=False)
    if model.is_idle:
        # The dates of neighbours show how many run at once.
        return _poll(model, at, ended[-2 * model.workers :], rows, may_fetch=False)
    may_fetch = room and not _needs_dates(model, queue)
    return _poll(model, at, ended[-1:], rows, may_fetch=may_fetch)


def _needs_dates(model: ServerModel, queue: ServerQueue) -> bool:
    """Whether the status of the next request should be read for its dates."""
    if model.occupied_seconds / model.workers >= _INTERVAL_TO_READ_DATES_ALWAYS:
        return True
    uneven = model.spread > _UNEVEN * model.occupied_seconds
    enough = _EXPORTS_WITHOUT_DATES_IF_UNEVEN if uneven else _EXPORTS_WITHOUT_DATES
    return queue.without_dates >= enough


def _poll(
    model: ServerModel,
    at: float,
    due: Sequence[_DueRequest],
    rows: Sequence[_DueRequest],
    *,
    may_fetch: bool,
) -> Poll:
    """Fetch the results that are due and predictable. If there are none, read statuses.

    If the cost of a single call is not known any more, one call is made to measure it.
    """
    fetches = tuple(
        row.request.rq_id
        for row in due
        if may_fetch and row.request.predictable and not row.request.doubtful
    )
    if fetches:
        return Poll(at, fetches, PollMethod.FETCH)
    if model.is_learning and all(row.request.predictable for row in due):
        due = due[:_CALLS_WHILE_LEARNING]
    if _list_is_cheaper(model, len(due)):
        if not model.calls_are_stale:
            return Poll(at, tuple(row.request.rq_id for row in rows), PollMethod.LIST)
        due = due[:1]
    return Poll(at, tuple(row.request.rq_id for row in due), PollMethod.CALLS)


def _earliest_poll(queue: ServerQueue) -> float:
    """When the next poll may be: not at once after one that found no request ended."""
    return queue.last_poll + (intervals.SHORTEST_PAUSE if queue.missed else 0.0)


def _slack(model: ServerModel, exports: int) -> float:
    """Seconds by which the end of this many exports usually differs from its prediction."""
    return intervals.CLOCK_SLACK + model.spread * math.sqrt(exports / model.workers) / 2


def _list_is_cheaper(model: ServerModel, due: int) -> bool:
    """Whether one list costs less than a call for each request that is due."""
    if due <= 1:
        # A single call never costs more than a list that finds the same request.
        return False
    if model.list_seconds is None:
        # The cost of a list is not known before the first one, and it can be high.
        return due >= _DUE_TO_TRY_A_LIST
    if model.call_seconds is None:
        return not math.isinf(model.list_seconds)
    return model.list_seconds <= due * model.call_seconds


def _by_time(row: _DueRequest) -> tuple[float, int]:
    return row.at, row.request.number


def _by_number(row: _DueRequest) -> int:
    return row.request.number
