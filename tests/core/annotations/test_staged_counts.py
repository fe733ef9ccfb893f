"""Check the counts of staged exports, whatever the pieces in which their bytes come."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.annotations.staged_counts import CountingRule, StagedCounter, counting_rule
from asynccvat.simulator.formats.archives import WRITTEN_FORMATS, export_archive
from asynccvat.simulator.world.generation import generate_tasks

CVAT, COCO, DATUMARO = "CVAT for images 1.1", "COCO 1.0", "Datumaro 1.0"


def counted(text: bytes, export_format: str, piece: int = 1 << 20) -> int:
    counter = StagedCounter(rule_of(export_format))
    for start in range(0, len(text), piece):
        counter.feed(text[start : start + piece])
    return counter.total()


def rule_of(export_format: str) -> CountingRule:
    rule = counting_rule(export_format)
    assert rule is not None
    return rule


def exported(export_format: str, boxes: int) -> dict[str, bytes]:
    task = generate_tasks(1, 3, boxes_per_frame=boxes).tasks[1]
    if export_format.startswith("Kitti"):
        task = dataclasses.replace(task, dimension="3d")
    with zipfile.ZipFile(io.BytesIO(export_archive(task, export_format, True))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("export_format", WRITTEN_FORMATS)
def test_every_format_counts_what_it_holds(export_format: str, piece: int) -> None:
    rule = rule_of(export_format)

    def count(boxes: int) -> int:
        texts = [
            data for name, data in exported(export_format, boxes).items() if rule.files.search(name)
        ]
        assert texts
        return sum(counted(text, export_format, piece) for text in texts)

    assert count(0) == 0
    # Two boxes on each of three frames, and what the format carries of a polygon, points and a tag.
    assert 6 <= count(2) <= 9


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (b"<annotations/>", 0),
        (b'<track id="0"><box frame="0"/><box frame="1"/></track><track/>', 2),
        (b'<image><box x="1"/><tag label="a"></tag><skeleton>', 3),
        (b"<boxes/><points2/><maskx></maskx>", 0),
    ],
)
def test_the_shapes_of_a_track_are_one_annotation(text: bytes, count: int) -> None:
    assert counted(text, "CVAT for video 1.1") == count


@pytest.mark.parametrize(
    ("export_format", "text", "count"),
    [
        (COCO, b'{"annotations": [], "categories": [{"name": "image_id"}]}', 0),
        (COCO, b'{"a": "\\"image_id\\": 1", "annotations": [{"image_id" : 1}]}', 1),
        (DATUMARO, b'{"items": [{"annotations": [{"type": "bbox"}, {"type": "label"}]}]}', 2),
        (DATUMARO, b'{"media_type": 2, "items": [{"attr": {"type": "day"}}]}', 0),
        ("YOLO 1.1", b"0 1 1 1 1\n\n  \n1 2 2 2 2", 2),
        ("MOT 1.1", b"1,1,2,3\n2,1,2,3\n", 2),
    ],
)
def test_only_annotations_count(export_format: str, text: bytes, count: int) -> None:
    for piece in (1, 5, 1000):
        assert counted(text, export_format, piece) == count


@pytest.mark.parametrize(
    "export_format", ["Ultralytics YOLO Classification 1.0", "Datumaro 3D 1.0", "LFW 1.0"]
)
def test_formats_that_cannot_be_counted_are_not(export_format: str) -> None:
    assert counting_rule(export_format) is None


def test_a_text_without_any_delimiter_stays_bounded() -> None:
    counter = StagedCounter(rule_of(COCO))
    for _ in range(100):
        counter.feed(b"x" * 10_000)
        assert len(counter._rest) <= 1 << 16
    counter.feed(b'"image_id":1')
    assert counter.total() == 1


@given(st.lists(st.sampled_from([b'"image_id"', b":", b" ", b",", b"{", b"x"]), max_size=30))
def test_the_pieces_do_not_matter(parts: list[bytes]) -> None:
    text = b"".join(parts)
    counter = StagedCounter(rule_of(COCO))
    for part in parts:
        counter.feed(part)
    assert counter.total() == counted(text, COCO)
