"""The budget of retries that all who ask one server share: its calls, and archives being read."""

from __future__ import annotations

from asynccvat.core.retry import GiveUp, RetryAfter, RetryBudget, RetryPolicy, decide
from asynccvat.errors import AsyncCvatError
from asynccvat.http.retry_after import Timing


class SharedBudget:
    """Where the budget is kept between two decisions.

    Attributes:
        left: The budget as it is.
    """

    def __init__(self) -> None:
        """Begin with a full one."""
        self.left = RetryBudget()

    def decide(
        self, error: AsyncCvatError, attempt: int, policy: RetryPolicy, timing: Timing
    ) -> RetryAfter | GiveUp:
        """Decide about one failure, out of the budget.

        Args:
            error: What happened.
            attempt: How many retries of it there were.
            policy: How patient to be.
            timing: Time and chance.
        """
        decision, self.left = decide(
            error,
            attempt=attempt,
            budget=self.left,
            now=timing.clock(),
            jitter=timing.jitter(),
            policy=policy,
        )
        return decision
