"""A track is on each frame where CVAT's own code puts it.

`interpolated_tracks.json` holds tracks, and the shapes that `TrackManager.get_interpolated_shapes`
of CVAT makes of them for a task of ten frames.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from asynccvat.core.convert.interpolation import tracked_shapes
from asynccvat.core.convert.task_json import Track
from asynccvat.errors import InexactConversionError

CASES = json.loads(Path(__file__).with_name("interpolated_tracks.json").read_text(encoding="utf-8"))


def keyframe(frame: int, kind: str, points: list[float], **more: Any) -> dict[str, Any]:
    return {"frame": frame, "type": kind, "points": points, **more}


def track(*keyframes: dict[str, Any]) -> Track:
    given = {"label_id": 1, "frame": keyframes[0]["frame"], "shapes": keyframes}
    return msgspec.convert(given, Track)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["track"]["shapes"][0]["type"])
def test_a_track_is_where_cvat_puts_it(case: dict[str, Any]) -> None:
    found = list(tracked_shapes(msgspec.convert(case["track"], Track), 0, 10))
    expected = case["shapes"]
    assert [one.frame for one in found] == [one["frame"] for one in expected]
    for one, wanted in zip(found, expected, strict=True):
        assert one.points == pytest.approx(wanted["points"], abs=1e-9)
        assert one.rotation == pytest.approx(wanted["rotation"], abs=1e-9)
        assert (one.keyframe, one.outside) == (wanted["keyframe"], wanted["outside"])
        # The values of the track come after those of the shape.
        values = [[value.spec_id, value.value] for value in one.attributes]
        assert values == [*wanted["attributes"], [9, "x"]]


def test_frames_before_the_track_and_past_the_task_are_left_out() -> None:
    late = msgspec.structs.replace(
        track(keyframe(1, "points", [1, 2]), keyframe(9, "points", [5, 6])), frame=3
    )
    assert [one.frame for one in tracked_shapes(late, 0, 6)] == [3, 4, 5]


@pytest.mark.parametrize(
    ("keyframes", "why"),
    [
        ([keyframe(0, "mask", [0, 4, 0, 0, 1, 1])], "a track has the type 'mask'"),
        ([keyframe(0, "skeleton", [])], "a track has the type 'skeleton'"),
        (
            [keyframe(0, "points", [1, 2]), keyframe(0, "points", [1, 2])],
            "two keyframes on frame 0",
        ),
        (
            [keyframe(0, "points", [1, 2]), keyframe(2, "polyline", [1, 2, 3, 4])],
            "changes its type from 'points' to 'polyline'",
        ),
        (
            [keyframe(0, "rectangle", [1, 2, 3, 4]), keyframe(2, "rectangle", [1, 2])],
            "changes its number of points",
        ),
        (
            [
                keyframe(0, "polygon", [1, 1, 1, 1, 1, 1]),
                keyframe(2, "polygon", [1, 2, 3, 4, 5, 7]),
            ],
            "a keyframe without length",
        ),
    ],
)
def test_a_track_that_cvat_may_follow_otherwise_is_refused(
    keyframes: list[dict[str, Any]], why: str
) -> None:
    with pytest.raises(InexactConversionError, match=why):
        list(tracked_shapes(track(*keyframes), 0, 10))
