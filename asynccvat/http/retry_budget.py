"""The retry budget of one server, shared by its calls and by the archives being read.

`core.wire.retry` makes the decisions.
"""

from __future__ import annotations

from asynccvat.core.wire.retry import GiveUp, RetryAfter, RetryBudget, RetryPolicy, decide
from asynccvat.errors import AsyncCvatError
from asynccvat.http.retry_after import Timing


class SharedBudget:
    """Keep a retry budget between decisions.

    Attributes:
        left: The current budget.
    """

    def __init__(self) -> None:
        """Begin with a full budget."""
        self.left = RetryBudget()

    def decide(
        self, error: AsyncCvatError, attempt: int, policy: RetryPolicy, timing: Timing
    ) -> RetryAfter | GiveUp:
        """Decide whether a failed step is retried, and take the retry from the budget.

        Args:
            error: The failure.
            attempt: The number of retries of this step so far.
            policy: The bounds of retries and delays.
            timing: Time and randomness.
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
