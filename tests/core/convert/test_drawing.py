"""Masks, polygons and ellipses cover the pixels that CVAT's libraries say.

`drawn_polygons.json` holds areas by pycocotools, `drawn_ellipses.json` first and last pixel of each
row by OpenCV.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.convert.ellipses import ellipse_bits
from asynccvat.core.convert.masks import coco_mask, polygon_area

HERE = Path(__file__).parent


@pytest.mark.parametrize("case", json.loads((HERE / "drawn_polygons.json").read_bytes()))
def test_a_polygon_has_the_area_that_pycocotools_counts(case: dict[str, Any]) -> None:
    assert polygon_area(case["points"], case["width"], case["height"]) == case["area"]


@pytest.mark.parametrize("case", json.loads((HERE / "drawn_ellipses.json").read_bytes()))
def test_an_ellipse_covers_the_pixels_that_opencv_fills(case: dict[str, Any]) -> None:
    found = ellipse_bits(case["points"], case["rotation"], case["width"], case["height"])
    rows = []
    if found is not None:
        for place in range(0, len(found.inside), found.wide):
            row = found.inside[place : place + found.wide]
            if 1 in row:
                first, last = row.index(1), row.rindex(1)
                assert row.count(1) == last - first + 1
                y = found.top + place // found.wide
                rows.append([y, found.left + first, found.left + last])
    assert rows == case["rows"]


def test_an_ellipse_without_an_area_is_one_pixel() -> None:
    found = ellipse_bits([5, 6, 5, 6], 0, 20, 20)
    assert found is not None
    assert [n for n, inside in enumerate(found.inside) if inside] == [
        (6 - found.top) * found.wide + 5 - found.left
    ]


def test_an_ellipse_across_the_left_border_is_refused() -> None:
    with pytest.raises(ValueError, match="crosses the left border"):
        ellipse_bits([2, 9, 8, 4], 0, 20, 20)


@st.composite
def masks(draw: st.DrawFn) -> tuple[list[list[int]], int, int, int, int]:
    """Rows of bits, where they lie, and the size of the image."""
    wide, high = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    left, top = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    row = st.lists(st.integers(0, 1), min_size=wide, max_size=wide)
    rows = draw(st.lists(row, min_size=high, max_size=high))
    right, below = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    return rows, left, top, left + wide + right, top + high + below


def runs_of(bits: list[int]) -> list[int]:
    runs = [(bit, len(list(same))) for bit, same in groupby(bits)]
    return [*([0] if runs[0][0] else []), *(length for _, length in runs)]


@given(masks())
def test_a_mask_keeps_its_pixels(mask: tuple[list[list[int]], int, int, int, int]) -> None:
    rows, left, top, width, height = mask
    wide, high = len(rows[0]), len(rows)
    inside = [(left + x, top + y) for y in range(high) for x in range(wide) if rows[y][x]]
    corners = (left, top, left + wide - 1, top + high - 1)
    points = [*runs_of([bit for row in rows for bit in row]), *corners]
    found = coco_mask(points, width, height)
    image = [int((x, y) in inside) for x in range(width) for y in range(height)]
    assert found.counts == runs_of(image)
    assert found.area == len(inside)
    if inside:
        xs, ys = zip(*inside, strict=True)
        box = (min(xs), min(ys), max(xs) - min(xs) + 1, max(ys) - min(ys) + 1)
        assert found.box == box
    else:
        assert found.box == (0, 0, 0, 0)


@pytest.mark.parametrize("points", [[1, 2, 0, 0, 1, 1], [0, 4, 9, 0, 10, 1]])
def test_a_mask_that_does_not_fit_is_refused(points: list[float]) -> None:
    with pytest.raises(ValueError, match="do not fill its box"):
        coco_mask(points, 10, 10)
