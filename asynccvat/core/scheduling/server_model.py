"""What is known of the server: how long exports and calls take, and how many of them run at once.

A frozen value that grows by observations; admission and polling decide by it. All times are
seconds, and only differences of the server's own dates are used, so clocks need not agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, median

# Exports further back than this, counted in exports, tell nothing of today's server.
_MEMORY = 64
# But for these, as where few are seen, few would be left.
_LEAST_REMEMBERED = 12
_EXPORTS_TO_LEARN_FROM = 4
_SMOOTHING = 0.3
# After so many lists it is not known any more how long a call about one request takes.
_LISTS_UNTIL_STALE = 8
# One try more or less must not turn a policy round.
_HIT_RATE_SMOOTHING = 0.15
_EXPORTS_FOR_A_PACE = 8
# What is predicted too late is never noticed, what is predicted too early always: so each right
# one makes the next a little earlier, until every fourth or so is wrong.
_HASTEN, _SLACKEN = 0.94, 1.25
_LEAST_EARLY_RATE, _MOST_EARLY_RATE = 0.25, 4.0
# Workers are gone if all that there were would have begun exports so much faster.
_WORKERS_LOST = 0.7
# An export that began sooner than this after it was asked for did not wait for a worker.
_AT_ONCE = 0.05


@dataclass(frozen=True, slots=True)
class Seen:
    """An export whose dates the server told, on the server's own clock.

    Attributes:
        number: Its place in the order in which exports were asked for.
        created: When it was queued.
        started: When a worker began it.
        finished: When it ended.
    """

    number: int
    created: float
    started: float
    finished: float


@dataclass(frozen=True, kw_only=True)
class ServerModel:
    """Observations of one server.

    Attributes:
        exports: Exports whose dates were seen lately, by their number.
        ended: How many exports are known to have ended, with dates or without.
        workers: How many exports run at once, at first as many as CVAT comes with; 1 where the
            server serialises a user's.
        call_seconds: Smoothed time of a call about one request, None before the first.
        list_seconds: Smoothed time of a filtered list of requests, None before the first;
            infinite where the server cannot give one, or not in reasonable time.
        lists_since_call: How many lists were asked for since the last call about one request.
        early_rate: Factor on the time between our exports, by which those predicted were too late
            or too early.
        hit_rate: Smoothed share of the exports that had ended when it was predicted.
    """

    exports: tuple[Seen, ...] = ()
    ended: int = 0
    workers: int = 2
    call_seconds: float | None = None
    list_seconds: float | None = None
    lists_since_call: int = 0
    hit_rate: float = 1.0
    early_rate: float = 1.0

    def with_exports(self, exports: Sequence[Seen]) -> ServerModel:
        """Remember exports by their dates; those of long ago are forgotten."""
        known = {export.number: export for export in self.exports}
        known |= {export.number: export for export in exports}
        newest = max(known, default=0)
        seen = replace(
            self,
            early_rate=math.sqrt(self.early_rate) if exports else self.early_rate,
            exports=tuple(
                known[number]
                for rank, number in enumerate(sorted(known, reverse=True))
                if rank < _LEAST_REMEMBERED or number > newest - _MEMORY
            )[::-1],
        )
        return replace(seen, workers=_count_workers(seen))

    def with_ended(self) -> ServerModel:
        """Remember that one more export ended."""
        return replace(self, ended=self.ended + 1)

    def with_call(self, seconds: float) -> ServerModel:
        """Remember how long a call about one request took."""
        old = None if self.calls_are_stale else self.call_seconds
        return replace(self, call_seconds=_smoothed(old, seconds), lists_since_call=0)

    def with_list(self, seconds: float) -> ServerModel:
        """Remember how long a filtered list of requests took."""
        return replace(
            self,
            list_seconds=_smoothed(self.list_seconds, seconds),
            lists_since_call=self.lists_since_call + 1,
        )

    def without_lists(self) -> ServerModel:
        """Remember that this server is not to be asked with lists."""
        return replace(self, list_seconds=math.inf)

    def with_prediction(self, *, right: bool) -> ServerModel:
        """Remember whether an export had ended when it was predicted."""
        return replace(self, hit_rate=self.hit_rate + _HIT_RATE_SMOOTHING * (right - self.hit_rate))

    def with_probe(self, *, right: bool) -> ServerModel:
        """Foretell a little earlier after an export had ended as predicted, and later if not."""
        early_rate = self.early_rate * (_HASTEN if right else _SLACKEN)
        return replace(self, early_rate=max(_LEAST_EARLY_RATE, min(early_rate, _MOST_EARLY_RATE)))

    @property
    def is_learning(self) -> bool:
        """Whether too little was seen yet to predict anything."""
        return len(self.exports) < _EXPORTS_TO_LEARN_FROM

    @property
    def calls_are_stale(self) -> bool:
        """Whether so many lists came since the last call that its time tells nothing of today.

        It may have been a call that the server kept waiting, behind such a list for one; and as
        long as it counts, lists seem cheap beside it, and no other call sets it right.
        """
        return self.lists_since_call >= _LISTS_UNTIL_STALE

    @property
    def is_idle(self) -> bool:
        """Whether the server had a worker free for the last export that was seen."""
        return bool(self.exports) and _began_at_once(self.exports[-1])

    @cached_property
    def export_seconds(self) -> float | None:
        """The median time that a worker of the server spends on an export."""
        return median(self.spans) if self.spans else None

    @cached_property
    def spread(self) -> float:
        """The mean distance of an export's time from the mean of all."""
        if not self.spans:
            return 0.0
        mean = fmean(self.spans)
        return fmean(abs(span - mean) for span in self.spans)

    @cached_property
    def occupied_seconds(self) -> float:
        """How long one of our exports keeps a worker from the next one of ours.

        Its own time, and that of the exports of others which come between.
        """
        if not self.spans:
            return 0.0
        return fmean(self.spans) if self.pace is None else self.workers * self.pace

    @cached_property
    def spans(self) -> list[float]:
        """The seconds of each export that was seen."""
        return [seen.finished - seen.started for seen in self.exports]

    @cached_property
    def pace(self) -> float | None:
        """Seconds from the start of one of our exports to that of the next, while they queue.

        The least that was seen over several exports: where the queue had run dry in between, it
        took longer, and to believe that would let it run dry again.
        """
        paces = []
        first = None
        for seen in self.exports:
            if _began_at_once(seen):
                # It began at once, at our own pace and not at the server's.
                first = seen
            elif first is not None and seen.number - first.number >= _EXPORTS_FOR_A_PACE:
                paces.append((seen.started - first.started) / (seen.number - first.number))
                first = seen
            first = first or seen
        return min(paces, default=None)


def _count_workers(model: ServerModel) -> int:
    """How many exports run at once, from those that were seen.

    As many as overlapped. Where few were seen, these can be far apart and never overlap:
    then as many as it takes for exports to begin at the pace at which they did.
    """
    edges = sorted(
        edge for seen in model.exports for edge in ((seen.started, 1), (seen.finished, -1))
    )
    running = most = 0
    for _, change in edges:
        # At equal times -1 sorts first: an export that begins as another ends is no overlap.
        running += change
        most = max(most, running)
    if model.pace is None:
        return max(most, model.workers)
    by_pace = round(median(model.spans) / max(model.pace, 0.001))
    fewer = fmean(model.spans) < _WORKERS_LOST * model.workers * model.pace
    return max(1, most, by_pace if fewer else max(by_pace, model.workers))


def _began_at_once(seen: Seen) -> bool:
    return seen.started - seen.created <= _AT_ONCE


def _smoothed(old: float | None, new: float) -> float:
    if old is None:
        return new
    return old if math.isinf(old) else old + _SMOOTHING * (new - old)
