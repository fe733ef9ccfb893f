"""A task that cannot be converted exactly is refused, with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from task_files import files_of

from asynccvat.core.convert.formats import (
    CONVERTED_FORMATS,
    convert_task,
    convertible_names,
    find_format,
    wanted_format,
)
from asynccvat.core.convert.task_json import read_task_json
from asynccvat.errors import ConfigError, InexactConversionError

CVAT = "CVAT for images 1.1"
VIDEO = "CVAT for video 1.1"
COCO = "COCO 1.0"

RECORDED = json.loads(Path(__file__).with_name("recorded_264.json").read_bytes())


def recorded(number: int = 341) -> dict[str, Any]:
    """Return a recorded task, to be changed."""
    found: dict[str, Any] = json.loads(json.dumps(RECORDED[str(number)]["raw"]))
    return found


def convert(raw: dict[str, Any], format_name: str = CVAT) -> bytes:
    source = read_task_json(files_of(raw))
    return b"".join(chunk for one in convert_task(source, format_name) for chunk in one.chunks)


Change = Callable[[dict[str, Any]], None]


def shapes(raw: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [shape for shape in raw["annotations"]["shapes"] if shape["type"] == kind]


def change(part: str, **fields: Any) -> Change:
    return lambda raw: raw[part].update(fields)


def change_shape(kind: str, **fields: Any) -> Change:
    return lambda raw: shapes(raw, kind)[0].update(fields)


def change_attribute(**fields: Any) -> Change:
    return lambda raw: raw["labels"][0]["attributes"][2].update(fields)


def group_boxes(raw: dict[str, Any]) -> None:
    for shape in shapes(raw, "rectangle"):
        shape.update(group=7, frame=0)


def track_a_skeleton(raw: dict[str, Any]) -> None:
    keyframes = [{"frame": 0, "type": "skeleton", "points": []}]
    raw["annotations"]["tracks"] = [{"label_id": 39, "frame": 0, "shapes": keyframes}]


def delete_a_tracked_frame(raw: dict[str, Any]) -> None:
    keyframes = [{"frame": 0, "type": "points", "points": [1, 2]}]
    raw["annotations"]["tracks"] = [{"label_id": 31, "frame": 0, "shapes": keyframes}]
    raw["meta"]["deleted_frames"] = [2]


@pytest.mark.parametrize(
    ("alter", "format_name", "why"),
    [
        (change("task", dimension="3d"), CVAT, "its media are 3d"),
        (change("meta", size=0, frames=[]), CVAT, "it has no data"),
        (change("task", validation_mode="gt_pool"), CVAT, "honeypots"),
        (change("meta", included_frames=[0]), CVAT, "only some of its frames"),
        (change("meta", frames=[]), CVAT, "0 frames are described instead of 6"),
        (delete_a_tracked_frame, VIDEO, "tracks and deleted frames"),
        (change_shape("rectangle", score=0.5), CVAT, "a score"),
        (change_shape("rectangle", frame=6), CVAT, "on frame 6, and it has 6 frames"),
        (change_shape("rectangle", shape_uuid="x"), CVAT, "annotations.json .* `shape_uuid`"),
        (change_shape("rectangle", type="star"), CVAT, "annotations.json .* 'star'"),
        (change_shape("rectangle", label_id=99), CVAT, "the label 99, which"),
        (
            change_shape("rectangle", attributes=[{"spec_id": 98, "value": ""}]),
            CVAT,
            "the attribute 98, which",
        ),
        (change_shape("rectangle", points=[1, 2]), CVAT, "a rectangle has 2 numbers"),
        (change("task", created_date="soon"), CVAT, "'soon' is no date"),
        (track_a_skeleton, CVAT, "a track of a skeleton"),
        (track_a_skeleton, VIDEO, "a track of a skeleton"),
        (group_boxes, COCO, "joins the shapes of a group"),
        (change_attribute(name="score"), COCO, "the attribute 'score' is reserved in COCO"),
        (change_shape("rectangle", points=[1, 2]), COCO, "a rectangle has 2 numbers"),
        (change_shape("rectangle", points=[9, 2, 3, 4]), COCO, "the wrong way round"),
        (change_shape("polygon", points=[1, 2, 3, 4]), COCO, "a polygon has 4 numbers"),
        (change_shape("mask", points=[1, 0, 0, 9, 9]), COCO, "do not fill its box"),
        (change_shape("ellipse", points=[-90, 9, -80, 4]), COCO, "outside of the image"),
        (change_shape("ellipse", points=[1, 9, 80, 4]), COCO, "crosses the left border"),
        (
            change_shape("rectangle", attributes=[{"spec_id": 4, "value": "many"}]),
            COCO,
            "'many' is no number, as the attribute 'n' needs",
        ),
    ],
)
def test_what_is_not_known_to_be_exact_is_refused(
    alter: Change, format_name: str, why: str
) -> None:
    raw = recorded()
    alter(raw)
    with pytest.raises(InexactConversionError, match=why) as caught:
        convert(raw, format_name)
    assert caught.value.reason in str(caught.value)
    assert "Export it from the server instead." in str(caught.value)


@pytest.mark.parametrize("name", ["frames.json", "jobs.json"])
def test_a_missing_file_is_named(name: str) -> None:
    files = files_of(recorded())
    del files[name]
    with pytest.raises(InexactConversionError, match=f"{name} is missing"):
        read_task_json(files)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("MOT 1.1", r"only the server writes 'MOT 1.1'. Export .* --format \"MOT 1.1\"`"),
        ("yolo-seg", "only the server writes 'Ultralytics YOLO Segmentation 1.0'"),
        (
            "icdar",
            "only the server writes 'ICDAR Localization 1.0', .* and 'ICDAR Segmentation 1.0'",
        ),
        ("json", "the mirror holds that already"),
        ("cocoa", "there is no such format"),
    ],
)
def test_a_format_that_cannot_be_made_is_refused_with_what_to_do(given: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot convert to '{given}': {why}") as caught:
        find_format(given)
    assert "hoose one of cvat, cvat-for-images, cvat-for-video, coco, " in str(caught.value)


def test_each_format_has_a_word_of_its_own_that_finds_it() -> None:
    words = convertible_names()
    assert set(words.values()) == {"CVAT", *CONVERTED_FORMATS}
    assert {word: find_format(word) for word in words} == words


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("coco", COCO),
        ("cvat", "CVAT"),
        ("CVAT 1.1", "CVAT"),
        ("voc", "PASCAL VOC 1.1"),
        ("yolo", "YOLO 1.1"),
        ("yolov8", "Ultralytics YOLO Detection 1.0"),
    ],
)
def test_a_format_may_be_named_in_short(given: str, name: str) -> None:
    assert find_format(given) == name


@pytest.mark.parametrize(("number", "name"), [(341, CVAT), (340, VIDEO)])
def test_cvat_stands_for_the_flavour_of_the_media(number: int, name: str) -> None:
    source = read_task_json(files_of(recorded(number)))
    assert wanted_format(source, "CVAT") == name
    assert wanted_format(source, COCO) == COCO


def test_a_track_of_a_skeleton_is_not_in_coco() -> None:
    raw = recorded()
    expected = convert(raw, COCO)
    track_a_skeleton(raw)
    assert convert(raw, COCO) == expected


def test_a_shape_in_a_group_of_its_own_comes_after_those_without() -> None:
    raw = recorded()
    boxes = shapes(raw, "rectangle")
    boxes[0].update(group=7)
    annotations = json.loads(convert(raw, COCO))["annotations"]
    on_first = [one for one in annotations if one["image_id"] == 1]
    assert [one["category_id"] for one in on_first] == [3, 5, 7, 1]


def test_deleted_frames_are_left_out_with_their_annotations() -> None:
    raw = recorded()
    raw["meta"]["deleted_frames"] = [0, 4]
    images = json.loads(convert(raw, COCO))["images"]
    assert [one["file_name"] for one in images] == [f"mix_00{place}.jpg" for place in (1, 2, 3, 5)]
    assert convert(raw).count(b"<image ") == 4


def test_users_dates_and_sizes_are_shown() -> None:
    raw = recorded()
    raw["task"].update(owner=None, assignee={"username": "<ann>"}, overlap=None, bug_tracker=None)
    raw["task"].update(created_date="2026-11-03T04:05:06Z")
    text = convert(raw).decode()
    assert "<owner></owner>" in text
    assert "<username>&lt;ann&gt;</username>" in text
    assert "<overlap>None</overlap>" in text
    assert "<created>2026-11-03 04:05:06+00:00</created>" in text
