"""Wait before a broken connection is made again; `core.wire.retry` decides how long."""

from __future__ import annotations

from collections.abc import Callable

from asynccvat.core.wire.retry import GiveUp, RetryPolicy
from asynccvat.errors import AsyncCvatError
from asynccvat.http import SharedBudget
from asynccvat.http.retry_after import Timing

# After this many bytes, a broken connection counts as a new failure.
_PROGRESS_BYTES = 1024 * 1024


class Backoff:
    """Wait longer before each retry of one transfer.

    After enough bytes have come, the next failure counts as the first.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        budget: SharedBudget,
        on_retry: Callable[[AsyncCvatError, float], None],
        timing: Timing,
    ) -> None:
        """Begin without a failure.

        Args:
            policy: How many attempts there are, and how long the waits.
            budget: The retries that all callers of the server share.
            on_retry: Called with each failure that is retried, and the seconds until then.
            timing: Clock, sleep and jitter.
        """
        self._policy = policy
        self._budget = budget
        self._on_retry = on_retry
        self._timing = timing
        self._attempt = 0
        self._received = 0

    def progress(self, size: int) -> None:
        """Count bytes that came."""
        self._received += size
        if self._received >= _PROGRESS_BYTES:
            self._attempt = 0

    async def retry_or_raise(self, error: AsyncCvatError) -> None:
        """Wait until the next attempt is due.

        Raises:
            AsyncCvatError: The error itself, if no attempt is left.
        """
        decision = self._budget.decide(error, self._attempt, self._policy, self._timing)
        if isinstance(decision, GiveUp):
            raise error
        self._attempt += 1
        self._received = 0
        self._on_retry(error, decision.delay)
        await self._timing.sleep(decision.delay)
