"""Learn how long the server's exports and calls take, and how many exports run at once.

The model is a frozen value that grows by observations. `admission` and `polling` decide by it. All
times are seconds. Only differences between the server's own dates are used, so the two clocks need
not agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import fmean, median

# An export this many exports ago says nothing about the server now.
_MEMORY = 64
# The latest are always remembered: if the dates of few exports are seen, few would be left.
_LEAST_REMEMBERED = 12
_EXPORTS_TO_LEARN_FROM = 4
_SMOOTHING = 0.3
# After this many lists, the time of the last status call says nothing any more.
_LISTS_UNTIL_STALE = 8
# One wrong prediction more or less must not change how requests are polled.
_HIT_RATE_SMOOTHING = 0.15
# Starts are compared over at least this many exports.
_EXPORTS_FOR_AN_INTERVAL = 8
# A prediction that is too late is never noticed, one that is too early always is. So each right
# prediction makes the next one a little earlier, until about every fourth is wrong.
_EARLIER, _LATER = 0.94, 1.25
_LEAST_EARLY_RATE, _MOST_EARLY_RATE = 0.25, 4.0
# Exports that begin at less than this share of the workers' usual rate mean that workers are gone.
_WORKERS_LOST = 0.7
# An export that began sooner than this after it was queued did not wait for a worker.
_AT_ONCE = 0.05


@dataclass(frozen=True, slots=True)
class DatedExport:
    """An export with the dates that the server sent, on the server's own clock.

    Attributes:
        number: Its place in the order in which exports were requested.
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
        exports: Exports whose dates were seen lately, in the order of their numbers.
        ended: How many exports are known to have ended, with dates or without.
        workers: How many exports run at once. At first as many as CVAT has by default. 1 if the
            server runs a user's exports one by one.
        call_seconds: Smoothed time of a status call, None before the first.
        list_seconds: Smoothed time of a filtered list of requests, None before the first. Infinite
            if the server cannot filter the list, or takes too long over it.
        lists_since_call: How many lists were read since the last status call.
        hit_rate: Smoothed share of predictions that were right.
        early_rate: Factor on the predicted time between our exports. Below 1 after predictions
            that were right and perhaps late, above 1 after predictions that were too early.
    """

    exports: tuple[DatedExport, ...] = ()
    ended: int = 0
    workers: int = 2
    call_seconds: float | None = None
    list_seconds: float | None = None
    lists_since_call: int = 0
    hit_rate: float = 1.0
    early_rate: float = 1.0

    def with_exports(self, exports: Sequence[DatedExport]) -> ServerModel:
        """Remember exports and their dates. Forget those of long ago."""
        known = {export.number: export for export in self.exports}
        known |= {export.number: export for export in exports}
        newest = max(known, default=0)
        model = replace(
            self,
            early_rate=math.sqrt(self.early_rate) if exports else self.early_rate,
            exports=tuple(
                known[number]
                for rank, number in enumerate(sorted(known, reverse=True))
                if rank < _LEAST_REMEMBERED or number > newest - _MEMORY
            )[::-1],
        )
        return replace(model, workers=_count_workers(model))

    def with_ended(self) -> ServerModel:
        """Count one more export that ended."""
        return replace(self, ended=self.ended + 1)

    def with_call(self, seconds: float) -> ServerModel:
        """Remember how long a status call took."""
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
        """Remember that this server cannot be polled with lists."""
        return replace(self, list_seconds=math.inf)

    def with_prediction(self, *, right: bool) -> ServerModel:
        """Remember whether a prediction was right."""
        return replace(self, hit_rate=self.hit_rate + _HIT_RATE_SMOOTHING * (right - self.hit_rate))

    def with_probe(self, *, right: bool) -> ServerModel:
        """Predict a little earlier after a right prediction of a probe, later after a wrong one."""
        early_rate = self.early_rate * (_EARLIER if right else _LATER)
        return replace(self, early_rate=max(_LEAST_EARLY_RATE, min(early_rate, _MOST_EARLY_RATE)))

    @property
    def is_learning(self) -> bool:
        """Whether too few exports were seen to predict anything."""
        return len(self.exports) < _EXPORTS_TO_LEARN_FROM

    @property
    def calls_are_stale(self) -> bool:
        """Whether too many lists were read since the last status call for its time to be current.

        That call may have waited at the server, for example behind a list. While its time counts,
        lists seem cheap in comparison, and so no other call corrects it.
        """
        return self.lists_since_call >= _LISTS_UNTIL_STALE

    @property
    def is_idle(self) -> bool:
        """Whether the server had a free worker for the last dated export."""
        return bool(self.exports) and _began_at_once(self.exports[-1])

    @cached_property
    def export_seconds(self) -> float | None:
        """Median seconds that a worker spends on an export. None before the first was seen."""
        return median(self.durations) if self.durations else None

    @cached_property
    def spread(self) -> float:
        """Mean distance of an export's seconds from their mean."""
        if not self.durations:
            return 0.0
        mean = fmean(self.durations)
        return fmean(abs(seconds - mean) for seconds in self.durations)

    @cached_property
    def occupied_seconds(self) -> float:
        """Seconds from the start of one of our exports on a worker to that of our next one.

        This is the time of our export and of other users' exports that run before our next one.
        """
        if not self.durations:
            return 0.0
        if self.start_interval is None:
            return fmean(self.durations)
        return self.workers * self.start_interval

    @cached_property
    def durations(self) -> list[float]:
        """Seconds of each dated export."""
        return [export.finished - export.started for export in self.exports]

    @cached_property
    def start_interval(self) -> float | None:
        """Seconds from the start of one of our exports to that of the next, while they queue.

        The shortest that was seen over several exports. If the queue ran dry in between, the time
        was longer. Predicting with that time would let the queue run dry again.
        """
        intervals = []
        first = None
        for export in self.exports:
            if _began_at_once(export):
                # It did not wait for a worker, so its start shows our rate, not the server's.
                first = export
            elif first is not None and export.number - first.number >= _EXPORTS_FOR_AN_INTERVAL:
                exports = export.number - first.number
                intervals.append((export.started - first.started) / exports)
                first = export
            first = first or export
        return min(intervals, default=None)


def _count_workers(model: ServerModel) -> int:
    """Count how many exports run at once, from the dated ones.

    As many as overlapped. If the dates of few exports are seen, these can be far apart and never
    overlap. Then the number follows from the interval at which exports began.
    """
    edges = sorted(
        edge for export in model.exports for edge in ((export.started, 1), (export.finished, -1))
    )
    running = most = 0
    for _, change in edges:
        # At equal times -1 sorts first: an export that begins as another ends does not overlap it.
        running += change
        most = max(most, running)
    if model.start_interval is None:
        return max(most, model.workers)
    by_interval = round(median(model.durations) / max(model.start_interval, 0.001))
    fewer = fmean(model.durations) < _WORKERS_LOST * model.workers * model.start_interval
    return max(1, most, by_interval if fewer else max(by_interval, model.workers))


def _began_at_once(export: DatedExport) -> bool:
    return export.started - export.created <= _AT_ONCE


def _smoothed(old: float | None, new: float) -> float:
    if old is None:
        return new
    return old if math.isinf(old) else old + _SMOOTHING * (new - old)
