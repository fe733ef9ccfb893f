"""Waits before broken connections are made again, and the end of retrying."""

from __future__ import annotations

import pytest
from archive_site import FakeTime

from asynccvat.archives.backoff import Backoff
from asynccvat.core.wire.retry import RetryBudget, RetryPolicy
from asynccvat.errors import AsyncCvatError, ProtocolError, ReadError
from asynccvat.http import SharedBudget
from asynccvat.http.retry_after import Timing

pytestmark = pytest.mark.anyio


def timing(fake_time: FakeTime) -> Timing:
    return Timing(clock=fake_time.clock, sleep=fake_time.sleep, jitter=lambda: 1.0)


async def test_the_last_failure_is_raised_itself(fake_time: FakeTime) -> None:
    told: list[tuple[AsyncCvatError, float]] = []
    backoff = Backoff(
        RetryPolicy(attempts=2, base=1.0),
        SharedBudget(),
        lambda error, delay: told.append((error, delay)),
        timing(fake_time),
    )
    error = ReadError("broken")

    await backoff.retry_or_raise(error)
    await backoff.retry_or_raise(error)
    with pytest.raises(ReadError) as raised:
        await backoff.retry_or_raise(error)

    assert raised.value is error
    assert fake_time.slept == [1.0, 2.0]
    assert told == [(error, 1.0), (error, 2.0)]


async def test_after_progress_the_next_failure_counts_as_the_first(fake_time: FakeTime) -> None:
    backoff = Backoff(
        RetryPolicy(attempts=1, base=1.0), SharedBudget(), lambda *_: None, timing(fake_time)
    )

    for _ in range(10):
        await backoff.retry_or_raise(ReadError("broken"))
        backoff.progress(600_000)
        backoff.progress(600_000)

    assert fake_time.slept == [1.0] * 10


async def test_a_trickle_is_no_progress(fake_time: FakeTime) -> None:
    backoff = Backoff(RetryPolicy(attempts=1), SharedBudget(), lambda *_: None, timing(fake_time))
    await backoff.retry_or_raise(ReadError("broken"))
    backoff.progress(1000)

    with pytest.raises(ReadError):
        await backoff.retry_or_raise(ReadError("broken"))


async def test_a_lasting_failure_is_not_retried(fake_time: FakeTime) -> None:
    backoff = Backoff(RetryPolicy(), SharedBudget(), lambda *_: None, timing(fake_time))

    with pytest.raises(ProtocolError):
        await backoff.retry_or_raise(ProtocolError("no archive"))
    assert fake_time.slept == []


async def test_archives_that_break_share_the_budget_of_all_calls(fake_time: FakeTime) -> None:
    budget = SharedBudget()
    budget.left = RetryBudget(capacity=3, rate=1.0, patience=0.0, level=3, at=fake_time.now)
    policy = RetryPolicy(base=0.0)
    each = [Backoff(policy, budget, lambda *_: None, timing(fake_time)) for _ in range(4)]
    for backoff in each[:3]:
        await backoff.retry_or_raise(ReadError("broken"))
    with pytest.raises(ReadError):
        await each[3].retry_or_raise(ReadError("broken"))
