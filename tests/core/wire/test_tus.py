"""Pieces of an upload cover the file, in few calls, and become shorter where a gateway refuses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.wire.tus import LARGEST, SMALLEST, chunk_length, shorter


@given(size=st.integers(1, 1 << 34), most=st.sampled_from([SMALLEST, 1 << 19, 1 << 20, LARGEST]))
def test_pieces_cover_the_file_and_none_exceeds_what_is_allowed(size: int, most: int) -> None:
    length = chunk_length(size, 0, most=most)
    assert 0 < length <= min(size, most)
    assert chunk_length(size, size - 1, most=most) == 1


@given(st.integers(1, LARGEST))
def test_refused_pieces_are_halved_down_to_the_smallest(refused: int) -> None:
    tries = 0
    while (fewer := shorter(refused)) is not None:
        assert SMALLEST <= fewer < refused
        refused, tries = fewer, tries + 1
    assert refused <= SMALLEST
    assert tries <= 9
