"""How many bytes count as progress in a body that is read piece by piece."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.http.failures import TrickleError
from asynccvat.http.stall import PROGRESS_BYTES, StallDetector


def test_a_trickle_is_a_stall_after_as_long_as_silence() -> None:
    stall = StallDetector(60.0)
    for _ in range(6):
        stall.received(1, 10.0)
    with pytest.raises(TrickleError):
        stall.received(1, 0.1)


@given(st.lists(st.tuples(st.integers(1, 4000), st.floats(0, 59.9))))
def test_a_kib_within_each_stall_timeout_is_no_stall(
    pieces: list[tuple[int, float]],
) -> None:
    stall = StallDetector(60.0)
    waited, size = 0.0, 0
    for length, seconds in pieces:
        waited, size = waited + seconds, size + length
        if size < PROGRESS_BYTES and waited > 60.0:
            with pytest.raises(TrickleError):
                stall.received(length, seconds)
            return
        stall.received(length, seconds)
        if size >= PROGRESS_BYTES:
            waited, size = 0.0, 0
