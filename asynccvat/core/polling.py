"""Which requests to ask about next, how, and when.

The server's queue is first in, first out, and its requests carry dates; so it can be foretold
when which of them is due. Asking costs the server time that exports need: one filtered list
answers for all, but grows with every request that the server remembers; single calls cost the
same always. Whichever has been measured to be cheaper for what is due is used.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from asynccvat.core.servermodel import ServerModel

SHORTEST_INTERVAL = 0.25
LONGEST_INTERVAL = 5.0
_SHORTEST_PAUSE = 0.1
_FIRST_LOOK = 0.3
_EXPORTS_PER_LOOK = 8
# Polls take at most this share of one connection's time.
_POLLING_SHARE = 0.08
# No list is waited for much longer; what it would save is not worth it any more.
_LONGEST_LIST = 1.5
# An export that is overdue is looked at again after this share of the time it has taken so far.
_OVERDUE_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that has not ended yet.

    Attributes:
        rq_id: Its id.
        asked_at: When it was asked for, seconds of our own clock.
        started_at: When it began, on our own clock; None while it is queued as far as we know.
        looked_at: When it was last seen not to have ended, None before the first look.
    """

    rq_id: str
    asked_at: float
    started_at: float | None = None
    looked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What to ask next: all of `rq_ids` with one list, or each by itself, at the time `at`."""

    at: float
    rq_ids: tuple[str, ...]
    as_list: bool


def poll_interval(model: ServerModel) -> float:
    """Seconds between two looks in the middle of a run.

    Long enough for a look to find several exports ended, and for polling to stay a small share
    of the calls; short enough for nobody to wait long.
    """
    batch = _EXPORTS_PER_LOOK * (model.export_seconds or 0.0) / model.workers
    return _clamp(
        max(_list_seconds(model) / _POLLING_SHARE, batch), SHORTEST_INTERVAL, LONGEST_INTERVAL
    )


def list_patience(model: ServerModel) -> float:
    """Seconds after which a list is given up: its cost grows with all that a server remembers."""
    return _LONGEST_LIST + 10 * (model.call_seconds or 0.0)


def due_times(
    model: ServerModel, pending: Sequence[Pending], ended_at: Sequence[float] = ()
) -> list[float]:
    """When a look at each of the pending requests is worth while, on our own clock.

    Args:
        model: What is known of the server.
        pending: In the order in which they were asked for, which is the order of the queue.
        ended_at: When the last exports ended: their workers were not free before.

    Returns:
        One time for each, in the same order.
    """
    service = model.export_seconds if model.export_seconds is not None else _FIRST_LOOK
    running = {
        request.rq_id: _patiently(request, request.started_at + service)
        for request in pending
        if request.started_at is not None
    }
    workers = sorted([*ended_at, *[0.0] * model.workers])[-model.workers :]
    for end in sorted(running.values())[: len(workers)]:
        heapq.heapreplace(workers, end)
    due: list[float] = []
    for request in pending:
        if request.rq_id in running:
            due.append(running[request.rq_id])
            continue
        # What was seen in the queue at the last look cannot have begun before it.
        begins = max(workers[0], request.asked_at, request.looked_at or 0.0)
        heapq.heapreplace(workers, begins + service)
        due.append(_patiently(request, begins + service))
    return due


def next_look(
    model: ServerModel,
    pending: Sequence[Pending],
    *,
    last_look: float,
    more_to_ask: bool,
    ended_at: Sequence[float] = (),
) -> Look:
    """Decide the next look at a non-empty sequence of pending requests.

    While more exports wait for a place, looks keep their interval, but for two reasons: nothing
    can have ended yet, or the server's queue is about to run dry. At the end of a run each look
    waits for half of the rest, so the last one is seen soon after it ends.

    Args:
        model: What is known of the server.
        pending: In the order in which they were asked for.
        last_look: When the last look was answered, on our own clock.
        more_to_ask: Whether exports wait for a place in flight.
        ended_at: When the last exports ended, on our own clock.
    """
    due_at = due_times(model, pending, ended_at)
    wakes = sorted((due, request.rq_id) for request, due in zip(pending, due_at, strict=True))
    if more_to_ask:
        interval = SHORTEST_INTERVAL if model.is_learning else poll_interval(model)
        # A look takes its time, and so does asking for what comes next.
        runs_dry = wakes[max(0, len(wakes) - model.workers - 1)][0] - _look_seconds(model)
        at = max(wakes[0][0], min(runs_dry, last_look + interval))
    else:
        at = wakes[(len(wakes) - 1) // 2][0]
    at = max(at, last_look + _SHORTEST_PAUSE)
    due_ids = tuple(rq_id for wake, rq_id in wakes if wake <= at)
    if _list_is_cheaper(model, len(due_ids)):
        return Look(at, tuple(request.rq_id for request in pending), as_list=True)
    return Look(at, due_ids, as_list=False)


def _patiently(request: Pending, due: float) -> float:
    """When it should end; of one that is overdue, after a further part of its age."""
    if request.looked_at is None:
        return due
    begun = request.started_at if request.started_at is not None else request.asked_at
    patience = _clamp(
        _OVERDUE_SHARE * (request.looked_at - begun), _SHORTEST_PAUSE, LONGEST_INTERVAL
    )
    return max(due, request.looked_at + patience)


def _look_seconds(model: ServerModel) -> float:
    return _list_seconds(model) + (model.call_seconds or 0.0)


def _list_seconds(model: ServerModel) -> float:
    """What a look costs that is worth a list; single calls are paid by the export."""
    seconds = model.list_seconds
    return 0.0 if seconds is None or math.isinf(seconds) else seconds


def _list_is_cheaper(model: ServerModel, due: int) -> bool:
    if due <= 1:
        # One single call never costs more than a list that finds the same one.
        return False
    if model.list_seconds is None:
        return True
    if model.call_seconds is None:
        return not math.isinf(model.list_seconds)
    return model.list_seconds <= due * model.call_seconds


def _clamp(value: float, least: float, most: float) -> float:
    return max(least, min(value, most))
