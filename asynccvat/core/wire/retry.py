"""Decide whether and when to retry a failed call.

Backoff is exponential with jitter. All calls of a client share one budget, a token bucket. When a
server is in trouble, retries come at a bounded rate, however many calls wait. So a server that
recovers meets no storm. The caller passes clock and random numbers in. `http.retries` sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from asynccvat.core.numbers import check_number, check_whole
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    DiskFullError,
    PermissionDeniedError,
    RateLimitError,
)

# A retry would fail in the same way, even if the error says that it is retryable.
_PERMANENT = (AuthenticationError, ConfigError, DiskFullError, PermissionDeniedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how long failed calls are retried.

    Attributes:
        attempts: Retries after the first failure.
        rate_limited_attempts: Retries after answers with status 429. More are allowed, since the
            server is well, and a call that competes with many others can be unlucky several times.
        base: Seconds before the first retry, doubled for each further one.
        cap: Seconds that the backoff does not exceed.
        retry_after_cap: Most seconds of a Retry-After that are waited. A longer one is a mistake of
            a clock or a configuration.

    Raises:
        ConfigError: A value is negative.
        TypeError: A value is no number.
    """

    attempts: int = 5
    rate_limited_attempts: int = 20
    base: float = 0.5
    cap: float = 30.0
    retry_after_cap: float = 300.0

    def __post_init__(self) -> None:
        for name in ("attempts", "rate_limited_attempts"):
            check_whole(name, getattr(self, name))
        for name in ("base", "cap", "retry_after_cap"):
            check_number(name, getattr(self, name))

    def pause(self, retry_after: float) -> float:
        """Return the seconds to wait for a Retry-After: not negative, and at most the cap."""
        return min(max(0.0, retry_after), self.retry_after_cap)

    def backoff(self, attempt: int, jitter: float) -> float:
        """Return the seconds before a retry: half of the backoff is fixed, half is by `jitter`.

        Args:
            attempt: How many retries there were before, 0 for the first one.
            jitter: A random number from 0 to 1.
        """
        # The exponent is bounded, since a larger one overflows a float.
        full = min(self.cap, self.base * 2.0 ** min(attempt, 64))
        return full * (0.5 + jitter / 2)


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """A token bucket: each retry takes a token, and tokens come back with time.

    A retry that finds no token reserves the next one, so the level can be negative.

    Attributes:
        capacity: Tokens in a full bucket, and so retries that may start at once.
        rate: Tokens per second.
        patience: Most seconds that a retry waits for its token. A longer wait gives the call up.
        level: Tokens at the time `at`. Negative while retries wait for theirs.
        at: The time of `level`, in seconds of any monotonic clock.
    """

    capacity: float = 32.0
    rate: float = 8.0
    patience: float = 60.0
    level: float = 32.0
    at: float = 0.0

    def take(self, now: float) -> tuple[float, RetryBudget] | None:
        """Reserve a token. Returns the seconds to wait and the new budget, None if too long."""
        elapsed = max(0.0, now - self.at)
        level = min(self.capacity, self.level + elapsed * self.rate) - 1.0
        wait = max(0.0, -level / self.rate)
        if wait > self.patience:
            return None
        return wait, replace(self, level=level, at=max(now, self.at))


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Retry after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not retry. `reason` says why."""

    reason: str


def decide(
    error: AsyncCvatError,
    *,
    attempt: int,
    budget: RetryBudget,
    now: float,
    jitter: float,
    policy: RetryPolicy,
) -> tuple[RetryAfter | GiveUp, RetryBudget]:
    """Decide about one failure.

    Args:
        error: The failure.
        attempt: How many retries of this call there were before, 0 after the first attempt.
        budget: The shared budget now.
        now: Seconds of the budget's clock.
        jitter: A random number from 0 to 1.
        policy: How often and how long to retry.

    Returns:
        The decision, and the budget after it.
    """
    if isinstance(error, _PERMANENT) or not error.retryable:
        return GiveUp("permanent"), budget
    rate_limited = isinstance(error, RateLimitError)
    allowed = policy.rate_limited_attempts if rate_limited else policy.attempts
    if attempt >= allowed:
        return GiveUp("attempts"), budget
    delay = policy.backoff(attempt, jitter)
    if error.retry_after is not None:
        delay = max(delay, policy.pause(error.retry_after))
    if rate_limited:
        # All calls pause at once already, so one such answer per call and pause is no storm.
        return RetryAfter(delay), budget
    reserved = budget.take(now)
    if reserved is None:
        return GiveUp("budget"), budget
    wait, budget = reserved
    return RetryAfter(max(delay, wait)), budget
