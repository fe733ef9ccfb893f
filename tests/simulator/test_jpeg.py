"""Simulated frames are JPEG files: small, repeatable, and of the given length."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.simulator.world.jpeg import draw_jpeg

NATURAL = len(draw_jpeg(1))


def markers(data: bytes) -> list[int]:
    """Return the markers up to the start of the scan, and the end marker."""
    assert data[:2] == b"\xff\xd8"
    found, position = [0xD8], 2
    while found[-1] != 0xDA:
        prefix, marker, length = struct.unpack_from(">BBH", data, position)
        assert prefix == 0xFF
        found.append(marker)
        position += 2 + length
    scan = data[position:-2]
    assert b"\xff" not in scan.replace(b"\xff\x00", b"")
    assert data[-2:] == b"\xff\xd9"
    return [*found, 0xD9]


def test_a_picture_has_the_segments_of_a_baseline_jpeg() -> None:
    found = markers(draw_jpeg(7))
    assert found == [0xD8, 0xE0, 0xDB, 0xC0, 0xC4, 0xC4, 0xC4, 0xFE, 0xDA, 0xD9]


def test_the_frame_header_has_the_size_of_the_picture() -> None:
    data = draw_jpeg(7, 320, 200)
    place = data.index(b"\xff\xc0")
    assert struct.unpack_from(">HH", data, place + 5) == (200, 320)


@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    seed=st.integers(0, 2**64),
)
def test_an_imaging_library_decodes_every_picture(width: int, height: int, seed: int) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow checks the pictures where it is")
    with image.open(io.BytesIO(draw_jpeg(seed, width, height))) as picture:
        picture.load()
        assert picture.size == (width, height)


def test_the_same_seed_gives_the_same_bytes_and_others_give_others() -> None:
    assert draw_jpeg(5, 64, 48) == draw_jpeg(5, 64, 48)
    assert len({draw_jpeg(seed, 64, 48) for seed in range(200)}) == 200


@given(size=st.integers(NATURAL, NATURAL + 400_000))
def test_padding_reaches_the_wanted_length_exactly(size: int) -> None:
    data = draw_jpeg(1, size=size)
    assert len(data) == size
    assert markers(data)[-2:] == [0xDA, 0xD9]


@pytest.mark.parametrize(
    "over",
    [65_520, 65_530, 65_531, 65_532, 65_533, 65_534, 65_537, 65_540, *range(131_050, 131_080)],
)
def test_padding_is_exact_where_a_comment_segment_is_full(over: int) -> None:
    assert len(draw_jpeg(1, size=NATURAL + over)) == NATURAL + over


def test_a_picture_longer_than_wanted_stays_unchanged() -> None:
    assert draw_jpeg(1, size=10) == draw_jpeg(1)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (70_000, 5), (5, 70_000)])
def test_a_picture_that_a_jpeg_cannot_hold_is_refused(width: int, height: int) -> None:
    with pytest.raises(ValueError, match="1 to 65535 pixels"):
        draw_jpeg(1, width, height)
