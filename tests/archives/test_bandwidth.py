"""One bandwidth that all archives share."""

from __future__ import annotations

import pytest
from archive_site import FakeTime
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.archives.bandwidth import Bandwidth
from asynccvat.core.bandwidth import TokenBucket
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
def test_callers_never_get_more_than_the_rate_and_a_burst(
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
