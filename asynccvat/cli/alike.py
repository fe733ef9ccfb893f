"""Limit the lines that a run writes about failures for one cause. The summary counts them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from asynccvat.events import Event, TaskDone
from asynccvat.progress import cause_key

MOST_FAILURES_ALIKE = 3
"""The most failures for one cause that get a line on a terminal during the run.

Elsewhere this holds for what the plan refused: no work was done for it, and there may be thousands.
"""

_STEPS_OF_PLANS = ("plan", "list")


class AlikeFailures:
    """Limits the lines of failures for one cause."""

    def __init__(self, where: str, *, of_plans: bool = False) -> None:
        """Begin with none.

        Args:
            where: What has all failures, for the line that stands for the others.
            of_plans: Limit only what plans refused.
        """
        self._where = where
        self._of_plans = of_plans
        self._shown: Counter[str] = Counter()

    def limited(self, event: Event, lines: Iterable[str]) -> Iterable[str]:
        """Return the lines of an event, without those of one failure too many."""
        if not isinstance(event, TaskDone) or event.outcome.ok:
            return lines
        error = event.outcome.error
        if self._of_plans and (error is None or error.step not in _STEPS_OF_PLANS):
            return lines
        key = cause_key(event.outcome)
        self._shown[key] += 1
        if self._shown[key] <= MOST_FAILURES_ALIKE:
            return lines
        is_first = self._shown[key] == MOST_FAILURES_ALIKE + 1
        return [f"failed: more for the same cause; {self._where}."] if is_first else []
