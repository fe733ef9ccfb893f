"""Whatever a file of JSON holds, a conversion gives files or the reason why it does not."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_files import files_of

from asynccvat.core.convert.formats import CONVERTED_FORMATS, convert_task
from asynccvat.core.convert.task_json import TASK_FILES, read_task_json
from asynccvat.errors import InexactConversionError

RECORDED = json.loads(Path(__file__).with_name("recorded_264.json").read_bytes())

KINDS = (
    "rectangle",
    "polygon",
    "polyline",
    "points",
    "ellipse",
    "cuboid",
    "mask",
    "skeleton",
)
NUMBERS = st.integers(-3, 700).map(float) | st.floats(-1e6, 1e6)
POINTS = st.lists(NUMBERS, max_size=18)


def convert_to_all(raw: dict[str, Any]) -> None:
    """Convert to all formats; a refusal is fine, any other error is not."""
    for format_name in CONVERTED_FORMATS:
        with contextlib.suppress(InexactConversionError):
            for one in convert_task(read_task_json(files_of(raw)), format_name):
                for chunk in one.chunks:
                    assert isinstance(chunk, bytes)


def bare_task() -> dict[str, Any]:
    """Return a recorded task without its annotations."""
    raw: dict[str, Any] = json.loads(json.dumps(RECORDED["4"]["raw"]))
    raw["annotations"] = {"version": 0, "tags": [], "shapes": [], "tracks": []}
    return raw


@given(st.sampled_from(KINDS), POINTS, st.integers(-2, 7), st.floats(-720, 720))
def test_any_points_of_a_shape(kind: str, points: list[float], frame: int, turn: float) -> None:
    raw = bare_task()
    shape = {"type": kind, "points": points, "frame": frame, "rotation": turn, "label_id": 7}
    raw["annotations"]["shapes"] = [shape]
    convert_to_all(raw)


@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(-2, 7), POINTS), max_size=3))
def test_any_keyframes_of_a_track(kind: str, keyframes: list[tuple[int, list[float]]]) -> None:
    raw = bare_task()
    shapes = [{"type": kind, "points": points, "frame": frame} for frame, points in keyframes]
    raw["annotations"]["tracks"] = [{"label_id": 7, "frame": 0, "shapes": shapes}]
    convert_to_all(raw)


@given(st.integers(0, 3), st.integers(0, 3))
def test_any_size_of_an_image(width: int, height: int) -> None:
    raw = json.loads(json.dumps(RECORDED["341"]["raw"]))
    for frame in raw["meta"]["frames"]:
        frame.update(width=width, height=height)
    convert_to_all(raw)


@pytest.mark.parametrize("name", TASK_FILES)
@given(content=st.binary(max_size=30) | st.sampled_from([b"[]", b"{}", b"null", b"[{}]"]))
def test_any_bytes_of_a_file(name: str, content: bytes) -> None:
    files = {**files_of(bare_task()), name: content}
    with contextlib.suppress(InexactConversionError):
        source = read_task_json(files)
        for one in convert_task(source, "CVAT for images 1.1"):
            assert b"".join(one.chunks)
