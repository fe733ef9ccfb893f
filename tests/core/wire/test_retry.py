"""Check retry decisions. They are computed from values, so no test waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.wire.retry import GiveUp, RetryAfter, RetryBudget, RetryPolicy, decide
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    DiskFullError,
    ExportNotReadyError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ReadError,
    ServerError,
    StallError,
)

POLICY = RetryPolicy()


def decision(
    error: AsyncCvatError,
    *,
    attempt: int = 0,
    budget: RetryBudget | None = None,
    now: float = 0.0,
    jitter: float = 1.0,
    policy: RetryPolicy = POLICY,
) -> RetryAfter | GiveUp:
    return decide(
        error,
        attempt=attempt,
        budget=budget or RetryBudget(),
        now=now,
        jitter=jitter,
        policy=policy,
    )[0]


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("refused"),
        ReadError("broken"),
        StallError("silent"),
        ServerError("bad gateway", status=502),
        RateLimitError("slow down", status=429),
        ExportNotReadyError("not finished"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_passing_errors_are_retried(error: AsyncCvatError) -> None:
    assert decision(error) == RetryAfter(0.5)


@pytest.mark.parametrize(
    "error",
    [
        DiskFullError("no room", retryable=True),
        PermissionDeniedError("no", status=403, retryable=True),
        AuthenticationError("no", status=401, retryable=True),
        ConfigError("no", retryable=True),
        NotFoundError("no", status=404),
        ConnectError("certificate", retryable=False),
    ],
    ids=lambda error: type(error).__name__,
)
def test_permanent_errors_are_not_retried(error: AsyncCvatError) -> None:
    assert decision(error) == GiveUp("permanent")


def test_the_backoff_doubles_up_to_its_cap() -> None:
    policy = RetryPolicy(attempts=1000, base=1.0, cap=10.0)
    delays = [
        decision(ReadError("x"), attempt=attempt, policy=policy) for attempt in (0, 1, 2, 3, 4, 999)
    ]
    assert delays == [RetryAfter(delay) for delay in (1.0, 2.0, 4.0, 8.0, 10.0, 10.0)]


def test_jitter_takes_off_up_to_half() -> None:
    assert decision(ReadError("x"), jitter=0.0) == RetryAfter(0.25)
    assert decision(ReadError("x"), jitter=0.5) == RetryAfter(0.375)


def test_attempts_are_bounded() -> None:
    policy = RetryPolicy(attempts=2)
    assert isinstance(decision(ReadError("x"), attempt=1, policy=policy), RetryAfter)
    assert decision(ReadError("x"), attempt=2, policy=policy) == GiveUp("attempts")


def test_rate_limited_calls_have_more_attempts() -> None:
    policy = RetryPolicy(attempts=2, rate_limited_attempts=7)
    error = RateLimitError("x", status=429, retry_after=1.0)
    assert isinstance(decision(error, attempt=6, policy=policy), RetryAfter)
    assert decision(error, attempt=7, policy=policy) == GiveUp("attempts")


def test_retry_after_is_honoured_when_it_is_longer_than_the_backoff() -> None:
    assert decision(ServerError("x", status=503, retry_after=26.0)) == RetryAfter(26.0)
    assert decision(ServerError("x", status=503, retry_after=0.1)) == RetryAfter(0.5)


@pytest.mark.parametrize("absurd", [1e6, 1e300, float("inf")])
def test_an_absurd_retry_after_is_capped(absurd: float) -> None:
    assert decision(RateLimitError("x", status=429, retry_after=absurd)) == RetryAfter(300.0)


def test_a_negative_retry_after_is_no_pause() -> None:
    assert POLICY.pause(-5.0) == 0.0


def test_retries_of_all_calls_have_one_bounded_rate() -> None:
    budget = RetryBudget(capacity=3, rate=2.0, patience=10.0, level=3)
    policy = RetryPolicy(base=0.0)
    delays: list[float] = []
    for _ in range(7):
        step, budget = decide(
            ReadError("x"), attempt=0, budget=budget, now=0.0, jitter=0.0, policy=policy
        )
        assert isinstance(step, RetryAfter)
        delays.append(step.delay)
    assert delays == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_retry_that_would_wait_too_long_for_its_token_is_given_up() -> None:
    budget = RetryBudget(capacity=1, rate=1.0, patience=1.0, level=-1.0)
    step, after = decide(
        ReadError("x"), attempt=0, budget=budget, now=0.0, jitter=0.0, policy=POLICY
    )
    assert step == GiveUp("budget")
    assert after == budget


def test_time_refills_the_budget_up_to_its_capacity() -> None:
    empty = RetryBudget(capacity=4, rate=2.0, level=0.0, at=10.0)
    assert empty.take(11.0) == (0.0, RetryBudget(capacity=4, rate=2.0, level=1.0, at=11.0))
    assert empty.take(1e9) == (0.0, RetryBudget(capacity=4, rate=2.0, level=3.0, at=1e9))


def test_a_clock_that_stands_still_or_goes_back_refills_nothing() -> None:
    budget = RetryBudget(capacity=4, rate=2.0, level=1.0, at=10.0)
    taken = budget.take(5.0)
    assert taken == (0.0, RetryBudget(capacity=4, rate=2.0, level=0.0, at=10.0))


def test_rate_limits_do_not_draw_on_the_budget() -> None:
    empty = RetryBudget(level=-1e9)
    error = RateLimitError("x", status=429, retry_after=3.0)
    step, after = decide(error, attempt=0, budget=empty, now=0.0, jitter=0.0, policy=POLICY)
    assert step == RetryAfter(3.0)
    assert after is empty


@given(
    attempt=st.integers(0, 10**6),
    jitter=st.floats(0.0, 1.0),
    base=st.floats(0.0, 100.0),
    cap=st.floats(0.0, 1000.0),
)
def test_backoff_never_exceeds_its_cap(
    attempt: int, jitter: float, base: float, cap: float
) -> None:
    delay = RetryPolicy(base=base, cap=cap).backoff(attempt, jitter)
    assert 0.0 <= delay <= cap


@given(moments=st.lists(st.floats(0.0, 100.0), max_size=60))
def test_no_sequence_of_retries_starts_faster_than_the_budget_allows(
    moments: list[float],
) -> None:
    budget = RetryBudget(capacity=5, rate=2.0, patience=1e9, level=5)
    starts: list[float] = []
    for now in sorted(moments):
        reserved = budget.take(now)
        assert reserved is not None
        wait, budget = reserved
        starts.append(now + wait)
    for index, start in enumerate(starts):
        in_a_second = sum(start <= other < start + 1.0 - 1e-6 for other in starts[index:])
        assert in_a_second <= 5 + 2
