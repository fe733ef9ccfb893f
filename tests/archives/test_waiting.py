"""Bandwidth shared, and patience with connections that break."""

from __future__ import annotations

import pytest
from archive_site import FakeTime
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.archives.backoff import Backoff
from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.core.bandwidth import TokenBucket
from asynccvat.core.retry import RetryBudget, RetryPolicy
from asynccvat.errors import AsyncCvatError, ProtocolError, ReadError
from asynccvat.http import SharedBudget
from asynccvat.http.retry_after import Timing

pytestmark = pytest.mark.anyio


def timing(fake_time: FakeTime) -> Timing:
    return Timing(clock=fake_time.clock, sleep=fake_time.sleep, jitter=lambda: 1.0)


async def test_a_burst_comes_at_once_and_the_rest_at_the_rate(fake_time: FakeTime) -> None:
    bandwidth = Bandwidth(1000, timing(fake_time))

    for _ in range(10):
        await bandwidth.take(500)

    assert fake_time.now - 1000 == pytest.approx((5000 - 250) / 1000)


async def test_a_pause_saves_up_one_burst_and_no_more(fake_time: FakeTime) -> None:
    bandwidth = Bandwidth(1000, timing(fake_time))
    await bandwidth.take(250)
    fake_time.now += 3600

    await bandwidth.take(250)
    assert fake_time.slept == []
    await bandwidth.take(100)
    assert fake_time.slept == [pytest.approx(0.1)]


@given(
    st.lists(st.tuples(st.integers(1, 10**7), st.floats(0, 10)), min_size=1), st.integers(1, 10**9)
)
def test_takers_never_get_more_than_the_rate_and_a_burst(
    takes: list[tuple[int, float]], rate: int
) -> None:
    bucket = TokenBucket(rate)
    now = start = 5.0
    for size, idle in takes:
        now += idle
        now += bucket.take(size, now)
    taken = sum(size for size, _ in takes)
    # What rounding costs grows with the figures.
    assert taken <= (now - start) * rate + rate * 0.25 + taken * 1e-6 + 1


async def test_patience_ends_with_the_very_error(fake_time: FakeTime) -> None:
    told: list[tuple[AsyncCvatError, float]] = []
    patience = Backoff(
        RetryPolicy(attempts=2, base=1.0),
        SharedBudget(),
        lambda error, delay: told.append((error, delay)),
        timing(fake_time),
    )
    error = ReadError("broken")

    await patience.retry_or_raise(error)
    await patience.retry_or_raise(error)
    with pytest.raises(ReadError) as raised:
        await patience.retry_or_raise(error)

    assert raised.value is error
    assert fake_time.slept == [1.0, 2.0]
    assert told == [(error, 1.0), (error, 2.0)]


async def test_progress_makes_a_new_trouble_of_the_next_failure(fake_time: FakeTime) -> None:
    patience = Backoff(
        RetryPolicy(attempts=1, base=1.0), SharedBudget(), lambda *_: None, timing(fake_time)
    )

    for _ in range(10):
        await patience.retry_or_raise(ReadError("broken"))
        patience.progress(600_000)
        patience.progress(600_000)

    assert fake_time.slept == [1.0] * 10


async def test_a_trickle_is_no_progress(fake_time: FakeTime) -> None:
    patience = Backoff(RetryPolicy(attempts=1), SharedBudget(), lambda *_: None, timing(fake_time))
    await patience.retry_or_raise(ReadError("broken"))
    patience.progress(1000)

    with pytest.raises(ReadError):
        await patience.retry_or_raise(ReadError("broken"))


async def test_what_cannot_pass_is_not_borne(fake_time: FakeTime) -> None:
    patience = Backoff(RetryPolicy(), SharedBudget(), lambda *_: None, timing(fake_time))

    with pytest.raises(ProtocolError):
        await patience.retry_or_raise(ProtocolError("no archive"))
    assert fake_time.slept == []


async def test_archives_that_break_share_the_budget_of_all_calls(fake_time: FakeTime) -> None:
    budget = SharedBudget()
    budget.left = RetryBudget(capacity=3, rate=1.0, patience=0.0, level=3, at=fake_time.now)
    policy = RetryPolicy(base=0.0)
    each = [Backoff(policy, budget, lambda *_: None, timing(fake_time)) for _ in range(4)]
    for patience in each[:3]:
        await patience.retry_or_raise(ReadError("broken"))
    with pytest.raises(ReadError):
        await each[3].retry_or_raise(ReadError("broken"))
