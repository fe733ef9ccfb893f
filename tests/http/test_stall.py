"""What counts as a sign of life in a body that is read piece by piece."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.http.failures import TrickleError
from asynccvat.http.stall import SIGN_OF_LIFE, StallDetector


def test_a_trickle_is_borne_as_long_as_silence() -> None:
    stall = StallDetector(60.0)
    for _ in range(6):
        stall.received(1, 10.0)
    with pytest.raises(TrickleError):
        stall.received(1, 0.1)


@given(st.lists(st.tuples(st.integers(1, 4000), st.floats(0, 59.9))))
def test_what_brings_a_kib_within_each_stall_timeout_goes_on(
    pieces: list[tuple[int, float]],
) -> None:
    stall = StallDetector(60.0)
    waited, size = 0.0, 0
    for length, seconds in pieces:
        waited, size = waited + seconds, size + length
        if size < SIGN_OF_LIFE and waited > 60.0:
            with pytest.raises(TrickleError):
                stall.received(length, seconds)
            return
        stall.received(length, seconds)
        if size >= SIGN_OF_LIFE:
            waited, size = 0.0, 0
