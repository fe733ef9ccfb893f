"""Whether and when to try again: error, attempt and budget in, a decision out.

Backoff is exponential with jitter. One budget, a token bucket as a value, is shared by all calls
of a client: when a server is in trouble its clients' retries come at a bounded rate, however many
calls are waiting, so recovery is not met by a storm. Clock and chance are passed in; sleeping is
left to whoever asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    DiskFullError,
    PermissionDeniedError,
    RateLimitError,
)

# Another try meets the same wall, whatever the error says of itself.
_PERMANENT = (AuthenticationError, ConfigError, DiskFullError, PermissionDeniedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient to be.

    Attributes:
        attempts: Tries again after the first failure.
        rate_limited_attempts: The same for 429: the server is well and asked for patience, and
            many callers of one server can lose several races in a row.
        base: Seconds before the first retry, doubled for each one after it.
        cap: Seconds that the backoff does not exceed.
        retry_after_cap: Seconds that a Retry-After is believed; beyond it, somebody's clock or
            configuration is wrong.
    """

    attempts: int = 5
    rate_limited_attempts: int = 20
    base: float = 0.5
    cap: float = 30.0
    retry_after_cap: float = 300.0

    def pause(self, retry_after: float) -> float:
        """Seconds to wait for a Retry-After of so many: never negative, never absurd."""
        return min(max(0.0, retry_after), self.retry_after_cap)

    def backoff(self, attempt: int, jitter: float) -> float:
        """Seconds before retry number `attempt` (from 0): half of it fixed, half by `jitter`.

        Args:
            attempt: How many retries there were.
            jitter: A random number from 0 to 1.
        """
        # The exponent is bounded because a float is.
        full = min(self.cap, self.base * 2.0 ** min(attempt, 64))
        return full * (0.5 + jitter / 2)


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """A token bucket as a value: each retry takes a token, time brings them back.

    A retry that finds no token waits for the next one: the level goes below zero by reservation.

    Attributes:
        capacity: Tokens in a full bucket: retries that may start at once.
        rate: Tokens a second.
        patience: Seconds that a retry may have to wait for its token; beyond, it is given up.
        level: Tokens at `at`; negative while retries wait for theirs.
        at: The moment of `level`, in seconds of any monotonic clock.
    """

    capacity: float = 32.0
    rate: float = 8.0
    patience: float = 60.0
    level: float = 32.0
    at: float = 0.0

    def take(self, now: float) -> tuple[float, RetryBudget] | None:
        """Reserve a token: the seconds until it is there and the new budget, None if too far."""
        elapsed = max(0.0, now - self.at)
        level = min(self.capacity, self.level + elapsed * self.rate) - 1.0
        wait = max(0.0, -level / self.rate)
        if wait > self.patience:
            return None
        return wait, replace(self, level=level, at=max(now, self.at))


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again; `reason` says why."""

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
        error: What happened.
        attempt: How many retries of this call there were, 0 after the first try.
        budget: The shared budget as it is.
        now: Seconds of the budget's clock.
        jitter: A random number from 0 to 1.
        policy: How patient to be.

    Returns:
        The decision and the budget as it is afterwards.
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
        # Everyone pauses together already, and one such answer a pause and call is no storm.
        return RetryAfter(delay), budget
    reserved = budget.take(now)
    if reserved is None:
        return GiveUp("budget"), budget
    wait, budget = reserved
    return RetryAfter(max(delay, wait)), budget
