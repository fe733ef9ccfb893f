"""Waiting: before something is tried again, and for the bandwidth that all transfers share.

The decisions are those of `core.retry` and `core.bandwidth`; here they meet clock, chance and
sleep.
"""

from __future__ import annotations

from collections.abc import Callable

from asynccvat.core.bandwidth import TokenBucket
from asynccvat.core.retry import GiveUp, RetryPolicy
from asynccvat.errors import AsyncCvatError
from asynccvat.http import SharedBudget
from asynccvat.http.retry_after import Timing

# So much has to come before a broken connection is a new trouble rather than the same.
_PROGRESS_BYTES = 1024 * 1024


class Backoff:
    """Waits before one thing is tried again, more and more, until that is hopeless.

    As long as bytes come in between, a failure is a new trouble and not the same once more.
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
            policy: How patient to be.
            budget: What all who ask the server share.
            on_retry: Told of each failure that is borne, and of the seconds until the next try.
            timing: Time and chance.
        """
        self._policy = policy
        self._budget = budget
        self._on_retry = on_retry
        self._timing = timing
        self._attempt = 0
        self._received = 0

    def progress(self, size: int) -> None:
        """Note that `size` bytes came."""
        self._received += size
        if self._received >= _PROGRESS_BYTES:
            self._attempt = 0

    async def retry_or_raise(self, error: AsyncCvatError) -> None:
        """Wait until it is time for the next try.

        Raises:
            AsyncCvatError: The error itself, when there is none.
        """
        decision = self._budget.decide(error, self._attempt, self._policy, self._timing)
        if isinstance(decision, GiveUp):
            raise error
        self._attempt += 1
        self._received = 0
        self._on_retry(error, decision.delay)
        await self._timing.sleep(decision.delay)


class Bandwidth:
    """A limit that all transfers keep to together."""

    def __init__(self, rate: int, timing: Timing) -> None:
        """Set the limit.

        Args:
            rate: Bytes a second.
            timing: Time and chance.
        """
        self._bucket = TokenBucket(rate)
        self._timing = timing

    async def take(self, size: int) -> None:
        """Wait until `size` bytes that have come may count as received."""
        delay = self._bucket.take(size, self._timing.clock())
        if delay > 0:
            await self._timing.sleep(delay)
