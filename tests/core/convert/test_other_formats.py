"""Rectangles become what CVAT 2.54 exported to VOC, Datumaro and YOLO.

No JSON of that task was recorded: it is made of what "Datumaro 1.0" says of the task.
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from task_files import files_of

from asynccvat.core.convert.formats import convert_task
from asynccvat.core.convert.task_json import read_task_json
from asynccvat.errors import InexactConversionError

NAMES = {
    "Datumaro 1.0": "datumaro-10",
    "PASCAL VOC 1.1": "pascal-voc-11",
    "Ultralytics YOLO Detection 1.0": "ultralytics-yolo-detection-10",
    "COCO 1.0": "coco-10",
}
SPECS = [
    {"id": 1, "name": "parked", "mutable": True, "input_type": "checkbox"},
    {"id": 2, "name": "make", "mutable": False, "input_type": "select"},
    {"id": 3, "name": "note", "mutable": False, "input_type": "text"},
]


def exported(shared: Path, format_name: str) -> dict[str, bytes]:
    path = shared / "contract" / "exports" / f"task10_{NAMES[format_name]}_annotations.zip"
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def converted(raw: dict[str, Any], format_name: str) -> dict[str, bytes]:
    source = read_task_json(files_of(raw))
    return {one.path: b"".join(one.chunks) for one in convert_task(source, format_name)}


def label(number: int, name: str, specs: list[dict[str, Any]]) -> dict[str, Any]:
    specs = [{**spec, "default_value": "", "values": []} for spec in specs]
    return {"id": number, "name": name, "color": "#000000", "type": "any", "attributes": specs}


def task_of(items: list[dict[str, Any]], subset: str) -> dict[str, Any]:
    """Return the JSON of a task with the annotations of Datumaro's items."""
    date = "2026-11-23T12:39:39Z"
    task = {"id": 10, "name": "street", "created_date": date, "updated_date": date}
    frames = []
    for item in items:
        height, width = item["image"]["size"]
        frames.append({"name": item["image"]["path"], "width": width, "height": height})
    shapes = [
        shape_of(annotation, frame)
        for frame, item in enumerate(items)
        for annotation in item["annotations"]
    ]
    return {
        "task": {**task, "mode": "annotation", "subset": subset},
        "labels": [label(1, "car", SPECS[:2]), label(2, "person", SPECS[2:])],
        "jobs": [],
        "meta": {"size": len(items), "frames": frames},
        "annotations": {"shapes": shapes},
    }


def shape_of(annotation: dict[str, Any], frame: int) -> dict[str, Any]:
    values = annotation["attributes"]
    shape = {
        "frame": frame,
        "label_id": annotation["label_id"] + 1,
        "type": "polygon",
        "points": annotation.get("points"),
        "occluded": values["occluded"],
        "z_order": annotation["z_order"],
        "attributes": [
            {"spec_id": spec["id"], "value": str(values[spec["name"]])}
            for spec in SPECS
            if spec["name"] in values
        ],
    }
    if annotation["type"] == "bbox":
        left, top, wide, high = annotation["bbox"]
        return {**shape, "type": "rectangle", "points": [left, top, left + wide, top + high]}
    return shape


@pytest.fixture
def recorded_task(shared: Path) -> dict[str, Any]:
    """The recorded task as JSON."""
    (content,) = exported(shared, "Datumaro 1.0").values()
    return task_of(json.loads(content)["items"], "Train")


@pytest.mark.parametrize("format_name", NAMES)
def test_the_recorded_task_becomes_what_was_exported(
    format_name: str, recorded_task: dict[str, Any], shared: Path
) -> None:
    wanted = exported(shared, format_name)
    found = converted(recorded_task, format_name)
    assert found.keys() == wanted.keys()
    for path, content in wanted.items():
        if path.endswith(".json"):
            assert json.loads(found[path]) == json.loads(content)
        elif path.endswith(".yaml"):
            assert yaml.safe_load(found[path]) == yaml.safe_load(content)
        else:
            assert found[path].decode() == content.decode()


def small_task(subset: str = "", **shape: Any) -> dict[str, Any]:
    box = {"id": 0, "type": "bbox", "label_id": 0, "z_order": 0, "bbox": [10, 20, 30, 40]}
    box["attributes"] = {"parked": False, "make": "kia", "occluded": False}
    items: list[dict[str, Any]] = [
        {"image": {"path": "a/one.v2.jpg", "size": [100, 200]}, "annotations": [box]},
        {"image": {"path": "b.jpg", "size": [100, 200]}, "annotations": []},
    ]
    raw = task_of(items, subset)
    raw["annotations"]["shapes"][0].update(shape)
    return raw


def test_yolo_names_classes_images_and_boxes() -> None:
    assert converted(small_task(), "YOLO 1.1") == {
        "obj_train_data/a/one.v2.txt": b"0 0.125000 0.400000 0.150000 0.400000\n",
        "obj_train_data/b.txt": b"",
        "train.txt": b"data/obj_train_data/a/one.v2.jpg\ndata/obj_train_data/b.jpg\n",
        "obj.names": b"car\nperson\n",
        "obj.data": b"classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n"
        b"backup = backup/\n",
    }


def test_names_of_classes_are_quoted_in_yaml() -> None:
    raw = small_task()
    raw["labels"][1]["name"] = "no: yes # 'é'"
    text = converted(raw, "Ultralytics YOLO Detection 1.0")["data.yaml"]
    assert yaml.safe_load(text) == {
        "train": "train.txt",
        "names": {0: "car", 1: "no: yes # 'é'"},
        "path": ".",
    }


def test_an_image_without_boxes_has_no_voc_file() -> None:
    found = converted(small_task(), "PASCAL VOC 1.1")
    assert sorted(found) == [
        "Annotations/a/one.v2.xml",
        "ImageSets/Main/default.txt",
        "labelmap.txt",
    ]
    assert found["ImageSets/Main/default.txt"] == b"a/one.v2\nb\n"


def test_frames_of_a_video_are_numbered() -> None:
    raw = small_task()
    raw["task"]["mode"] = "interpolation"
    raw["meta"]["frames"] = [{"name": "v.mp4", "width": 200, "height": 100}]
    (content,) = converted(raw, "Datumaro 1.0").values()
    items = json.loads(content)["items"]
    assert [(one["id"], one["image"]["path"]) for one in items] == [
        ("frame_000000", "frame_000000.png"),
        ("frame_000001", "frame_000001.png"),
    ]


def rename_attribute(raw: dict[str, Any]) -> None:
    raw["labels"][0]["attributes"][0]["name"] = "truncated"


def rename_label(raw: dict[str, Any]) -> None:
    raw["labels"][0]["name"] = "background"


def add_skeleton(raw: dict[str, Any]) -> None:
    raw["labels"].append({**label(3, "body", []), "type": "skeleton"})


def add_tag(raw: dict[str, Any]) -> None:
    raw["annotations"]["tags"] = [{"label_id": 1, "frame": 0}]


def make_mask(raw: dict[str, Any]) -> None:
    raw["annotations"]["shapes"][0]["type"] = "mask"


def make_ellipse(raw: dict[str, Any]) -> None:
    raw["annotations"]["shapes"][0]["type"] = "ellipse"


def reserve_subset(raw: dict[str, Any]) -> None:
    raw["task"]["subset"] = "names"


@pytest.mark.parametrize(
    ("alter", "format_name", "why"),
    [
        (rename_attribute, "PASCAL VOC 1.1", "the attribute 'truncated' is reserved"),
        (rename_label, "PASCAL VOC 1.1", "the label 'background' is reserved"),
        (make_mask, "PASCAL VOC 1.1", "writes the type 'mask' to VOC"),
        (add_skeleton, "Datumaro 1.0", "a label of a skeleton"),
        (make_ellipse, "Datumaro 1.0", "writes the type 'ellipse' to Datumaro"),
        (reserve_subset, "YOLO 1.1", "the subset 'names' is reserved"),
    ],
)
def test_what_is_not_recorded_is_refused(alter: Any, format_name: str, why: str) -> None:
    raw = small_task()
    alter(raw)
    with pytest.raises(InexactConversionError, match=re.escape(why)):
        converted(raw, format_name)


def test_tags_are_lists_of_images_in_voc() -> None:
    raw = small_task("val")
    add_tag(raw)
    found = converted(raw, "PASCAL VOC 1.1")
    lists = {path: text for path, text in found.items() if path.startswith("ImageSets/Main/")}
    assert lists == {
        "ImageSets/Main/val.txt": b"a/one.v2\nb\n",
        "ImageSets/Main/background_val.txt": b"a/one.v2 -1\n",
        "ImageSets/Main/car_val.txt": b"a/one.v2  1\n",
        "ImageSets/Main/person_val.txt": b"a/one.v2 -1\n",
    }


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ({"type": "polyline", "points": [1, 2, 3, 4]}, {"points": [1, 2, 3, 4]}),
        (
            {"type": "points", "points": [1, 2, 3, 4]},
            {"points": [1, 2, 3, 4], "visibility": [2, 2]},
        ),
        (
            # Two rows of two pixels, of which three are covered.
            {"type": "mask", "points": [1, 3, 0, 0, 1, 1]},
            {"rle": {"counts": "11R31hZc0", "size": [100, 200]}},
        ),
    ],
)
def test_datumaro_has_lines_points_and_masks(shape: dict[str, Any], wanted: dict[str, Any]) -> None:
    (content,) = converted(small_task(**shape), "Datumaro 1.0").values()
    (found,) = json.loads(content)["items"][0]["annotations"]
    assert found["type"] == shape["type"]
    assert {name: found[name] for name in wanted} == wanted


def test_datumaro_has_tags_before_shapes() -> None:
    raw = small_task()
    add_tag(raw)
    raw["annotations"]["tags"][0]["group"] = 3
    (content,) = converted(raw, "Datumaro 1.0").values()
    tag, box = json.loads(content)["items"][0]["annotations"]
    assert (tag["type"], tag["label_id"], tag["group"], box["type"]) == ("label", 0, 3, "bbox")
    assert tag["attributes"] == {"parked": False, "make": ""}


def test_polygons_are_left_out_of_voc() -> None:
    raw = small_task(type="polygon", points=[1, 2, 3, 4, 5, 7])
    assert not any(path.startswith("Annotations") for path in converted(raw, "PASCAL VOC 1.1"))
