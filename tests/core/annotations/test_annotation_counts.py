"""Count annotations in the server's JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from asynccvat.core.annotations.counts import AnnotationCounts, read_task_annotations
from asynccvat.errors import ProtocolError


def counted(**document: Any) -> AnnotationCounts:
    return read_task_annotations(7, json.dumps({"version": 0, **document}).encode()).counts


def test_each_kind_of_annotation_is_counted() -> None:
    counts = counted(
        tags=[{"id": 1, "label_id": 2, "frame": 0, "group": None, "attributes": [{"spec_id": 1}]}],
        shapes=[
            {"type": "rectangle", "frame": 0, "group": 4, "points": [1, 2, 3, 4], "elements": []},
            {"type": "mask", "frame": 1, "group": 0, "points": [5], "attributes": []},
            {"type": "skeleton", "frame": 1, "elements": [{"type": "points"}, {"type": "points"}]},
        ],
        tracks=[
            {"frame": 0, "shapes": [{"type": "polygon"}, {"type": "polygon"}], "elements": []},
            {"frame": 0, "shapes": [{"type": "skeleton", "attributes": [{"spec_id": 3}]}]},
            {"frame": 0, "shapes": None},
        ],
    )
    assert counts == AnnotationCounts(
        tags=1,
        shapes=3,
        tracks=3,
        types={"rectangle": 1, "mask": 1, "skeleton": 2, "polygon": 1, "unknown": 1},
        grouped=1,
        attributed=2,
    )
    assert (counts.total, counts.skeletons, counts.masks) == (7, 2, 1)
    assert str(counts) == "3 tracks, 3 shapes and 1 tag"
    assert counts.to_json() == {"tags": 1, "shapes": 3, "tracks": 3}


def test_what_a_server_leaves_out_or_sends_otherwise_is_counted_as_far_as_it_goes() -> None:
    assert counted() == AnnotationCounts()
    assert str(counted(tags=None, shapes=None, tracks=None)) == "no annotations"
    assert counted(shapes=[{"type": 5, "group": "a", "attributes": {"a": 1}}]).total == 1


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"shapes": 5}', b"\xff"])
def test_anything_else_is_refused_with_the_task(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match="cannot read the annotations of task 7"):
        read_task_annotations(7, raw)
