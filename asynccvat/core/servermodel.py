"""What is known of the server: how many exports it runs at once, how long they and calls take.

A frozen value that grows by observations; admission and polling decide by it. All times are
seconds, and only differences of the server's own dates are used, so clocks need not agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

from asynccvat.core.models import ExportRequest

_EXPORTS_REMEMBERED = 48
_EXPORTS_TO_LEARN_FROM = 8
_SMOOTHING = 0.3


@dataclass(frozen=True, kw_only=True)
class ServerModel:
    """Observations of one server.

    Attributes:
        exports: `(started, finished)` of the exports that ended last, server's clock.
        call_seconds: Smoothed time of a call about one request, None before the first.
        list_seconds: Smoothed time of a filtered list of requests, None before the first;
            infinite where the server cannot give one, or not in reasonable time.
    """

    exports: tuple[tuple[float, float], ...] = ()
    call_seconds: float | None = None
    list_seconds: float | None = None

    def with_ended(self, requests: Iterable[ExportRequest]) -> ServerModel:
        """Remember exports that ended; those whose dates are not filled in tell nothing."""
        spans = tuple(
            (request.started_date.timestamp(), request.finished_date.timestamp())
            for request in requests
            if request.started_date is not None
            and request.finished_date is not None
            and request.finished_date >= request.started_date
        )
        if not spans:
            return self
        return replace(self, exports=(self.exports + spans)[-_EXPORTS_REMEMBERED:])

    def with_call(self, seconds: float) -> ServerModel:
        """Remember how long a call about one request took."""
        return replace(self, call_seconds=_smoothed(self.call_seconds, seconds))

    def with_list(self, seconds: float) -> ServerModel:
        """Remember how long a filtered list of requests took."""
        return replace(self, list_seconds=_smoothed(self.list_seconds, seconds))

    def without_lists(self) -> ServerModel:
        """Remember that this server is not to be asked with lists."""
        return replace(self, list_seconds=math.inf)

    @property
    def is_learning(self) -> bool:
        """Whether too little was seen yet to foretell anything."""
        return len(self.exports) < _EXPORTS_TO_LEARN_FROM

    @cached_property
    def export_seconds(self) -> float | None:
        """The median time that a worker of the server spends on an export."""
        if not self.exports:
            return None
        return median(finished - started for started, finished in self.exports)

    @cached_property
    def workers(self) -> int:
        """How many exports ran at once lately: 1 where the server serialises a user's."""
        edges = sorted(
            edge for started, finished in self.exports for edge in ((started, 1), (finished, -1))
        )
        running = most = 0
        for _, change in edges:
            # At equal times -1 sorts first: an export that begins as another ends is no overlap.
            running += change
            most = max(most, running)
        return max(most, 1)


def _smoothed(old: float | None, new: float) -> float:
    return new if old is None else old + _SMOOTHING * (new - old)
