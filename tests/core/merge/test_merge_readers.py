"""Check what is read of tasks, what of it stays, and which files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from asynccvat.core.convert.task_json import Job
from asynccvat.core.merge.categories import Categories
from asynccvat.core.merge.coco import read_coco
from asynccvat.core.merge.cvat import read_cvat
from asynccvat.core.merge.filters import MergeFilter
from asynccvat.core.merge.values import (
    MergeImage,
    MergeLabel,
    MergeObject,
    MergeTask,
    data_set_format,
)
from asynccvat.core.merge.yolo import data_yaml, read_yolo
from asynccvat.errors import ConfigError, InexactConversionError

COCO = "annotations/instances_default.json"


def coco(**changes: Any) -> bytes:
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "segmentation": [],
        "area": 4.0,
        "bbox": [0, 0, 2, 2],
        "iscrowd": 0,
        **changes,
    }
    document = {
        "categories": [{"id": 1, "name": "car"}],
        "images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 4}],
        "annotations": [annotation],
    }
    return json.dumps(document).encode()


def xml(inside: str, head: str = "") -> bytes:
    return f"<annotations><meta><task>{head}</task></meta>{inside}</annotations>".encode()


def box(shape: str) -> bytes:
    return xml(f'<image id="0" name="a.jpg" width="8" height="4">{shape}</image>')


def read(reader: Callable[..., MergeTask], files: Mapping[str, bytes], **options: Any) -> MergeTask:
    return reader(list(files), files.get, **options)


YOLO = {
    "data.yaml": b"train: train.txt\nnames:\n  0: car\npath: .\n",
    "train.txt": b"data/images/train/a.jpg\n\ndata/images/train/b.jpg\n",
    "labels/train/a.txt": b"0 0.5 0.5 0.25 0.5\n",
    "images/train/a.jpg": b"",
}
OLD_YOLO = {
    "obj.names": b"car\n",
    "train.txt": b"data/obj_train_data/a.jpg\n",
    "obj_train_data/a.txt": b"0 0.5 0.5 0.25 0.5\n",
    "obj_train_data/a.jpg": b"",
}


@pytest.mark.parametrize(
    ("reader", "files", "file"),
    [
        (read_coco, {COCO: coco(), "images/default/a.jpg": b""}, "images/default/a.jpg"),
        (read_yolo, YOLO, "images/train/a.jpg"),
        (read_yolo, OLD_YOLO, "obj_train_data/a.jpg"),
        (
            read_cvat,
            {
                "annotations.xml": box('<box label="car" xtl="0" ytl="0" xbr="2" ybr="2"/>'),
                "images/a.jpg": b"",
            },
            "images/a.jpg",
        ),
    ],
)
def test_an_image_is_read_with_its_file_and_objects(
    reader: Callable[..., MergeTask], files: Mapping[str, bytes], file: str
) -> None:
    options = {"sizes": [(8, 4), (8, 4)]} if reader is read_yolo else {}
    first = read(reader, files, **options).images[0]
    assert (first.name, first.file, first.width, first.height) == ("a.jpg", file, 8, 4)
    assert [(one.label, one.area) for one in first.objects] == [("car", 4)]


@pytest.mark.parametrize(
    ("reader", "files", "why"),
    [
        (read_coco, {}, "it has no file annotations/instances_"),
        (read_coco, {COCO: b"{}"}, "is not as CVAT writes it"),
        (read_coco, {COCO: coco(image_id=2)}, "annotation 1 names an image"),
        (read_coco, {COCO: coco(keypoints=[])}, "unknown field `keypoints`"),
        (read_yolo, {}, "data.yaml is missing"),
        (read_yolo, {"data.yaml": b"a: b"}, "data.yaml is not as CVAT writes it"),
        (read_yolo, {"data.yaml": b"\xff"}, "no text in UTF-8"),
        (read_yolo, {**YOLO, "labels/train/a.txt": b"0 1 2\n"}, "no rectangle: '0 1 2'"),
        (read_yolo, {**YOLO, "labels/train/a.txt": b"1 1 1 1 1\n"}, "no rectangle"),
        (read_yolo, {**YOLO, "labels/train/a.txt": b"-1 1 1 1 1\n"}, "no rectangle"),
        (read_cvat, {}, "annotations.xml is not as CVAT writes it"),
        (read_cvat, {"annotations.xml": xml("<track/>")}, "it has tracks"),
        (read_cvat, {"annotations.xml": box("<box/>")}, "not as CVAT writes it"),
        (
            read_cvat,
            {"annotations.xml": b'<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>'},
            "declares a document type",
        ),
    ],
)
def test_files_that_cvat_does_not_write_are_refused(
    reader: Callable[..., MergeTask], files: Mapping[str, bytes], why: str
) -> None:
    with pytest.raises(InexactConversionError, match=why):
        read(reader, files)


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        ('<ellipse label="car" cx="1" cy="1" rx="2" ry="3"/>', 18.85),
        ('<polygon label="car" points="0,0;4,0;4,3"/>', 6),
        ('<mask label="car" rle="1, 3, 2, 4" left="0" top="0" width="5" height="2"/>', 7),
        ('<points label="car" points="0,0"/>', None),
    ],
)
def test_the_area_is_that_of_the_shape(shape: str, area: float | None) -> None:
    objects = read(read_cvat, {"annotations.xml": box(shape)}).images[0].objects
    assert [one.area and round(one.area, 2) for one in objects] == [area]


def test_the_points_of_a_skeleton_belong_to_its_label() -> None:
    labels = (
        "<labels><label><name>1</name><type>points</type><parent>man</parent></label>"
        "<label><name>man</name><type>skeleton</type></label>"
        "<label><name>1</name><type>any</type><attributes><attribute><name>a</name></attribute>"
        "</attributes></label></labels>"
    )
    found = read(read_cvat, {"annotations.xml": xml("", labels)}).labels
    assert [label.name for label in found] == ["man", "1"]
    assert "<parent>man</parent>" in found[0].text
    assert found[1].details == "1: any\nname=a"


def test_frames_are_told_from_images_by_their_names() -> None:
    def named(*names: str) -> bytes:
        images = "".join(f'<image id="0" name="{one}" width="1" height="1"/>' for one in names)
        return xml(images, "<mode>interpolation</mode>")

    assert read(read_cvat, {"annotations.xml": named("frame_000001")}).is_video
    assert not read(read_coco, {COCO: coco()}).is_video
    frames = coco().replace(b"a.jpg", b"frame_000001.png")
    assert read(read_coco, {COCO: frames}).is_video
    assert not read(read_yolo, {**YOLO, "train.txt": b""}).is_video


def test_names_of_yolo_may_be_a_list() -> None:
    files = {**YOLO, "data.yaml": b"train: train.txt\nnames: [car]\n"}
    assert [label.name for label in read(read_yolo, files).labels] == ["car"]
    assert read(read_yolo, files).images[0].objects[0].area is None


def test_the_parts_that_ultralytics_needs_are_always_there() -> None:
    categories = Categories(["car"])
    assert data_yaml(["test"], categories) == (
        b"test: images/test\ntrain: images/test\nval: images/test\nnames:\n  0: car\n"
    )
    assert data_yaml([], categories) == b"names:\n  0: car\n"


def test_labels_are_united_and_conflicts_told_once() -> None:
    categories = Categories()
    for task in ("task 1", "task 2", "task 3"):
        details = "any" if task == "task 1" else "points"
        categories.add([MergeLabel("car", task, details), MergeLabel("Car")], task)
    assert categories.names == ["car", "Car"]
    assert [label.text for label in categories.labels] == ["task 1", ""]
    assert categories.index("Car") == 1
    assert categories.conflicts == [
        "the labels 'car' and 'Car' differ by case alone; they stay two labels",
        (
            "the label 'car' has another type or other attributes in task 2 than in task 1; "
            "they are one label here"
        ),
    ]


def test_wanted_labels_keep_their_order() -> None:
    categories = Categories(["b", "a", "none", "b"])
    categories.add([MergeLabel("a"), MergeLabel("b"), MergeLabel("c")], "task 1")
    assert (categories.names, categories.missing) == (["b", "a", "none"], ["none"])
    assert not categories.is_wanted("c")


def test_objects_and_images_are_left_out() -> None:
    wanted = MergeFilter(only_annotated=True, min_area=10)
    small, large, line = (MergeObject("car", area, "") for area in (9.0, 10.0, None))
    other = MergeObject("dog", 100, "")
    one = MergeImage("a", 1, 1, "", None, [small, large, line, other])
    empty = MergeImage("b", 1, 1, "", None, [small])
    assert list(wanted.images([one, empty], Categories(["car"]))) == [one]
    assert one.objects == [large, line]
    assert list(MergeFilter().images([empty], Categories())) == [empty]


def test_every_job_of_a_frame_must_be_in_the_wanted_state() -> None:
    jobs = [
        Job(1, 0, 2, stage="acceptance", state="completed"),
        Job(2, 2, 3, stage="acceptance", state="new"),
        Job(3, 0, 9, type="ground_truth", stage="acceptance", state="new"),
    ]
    completed = MergeFilter(states=["completed"])
    assert completed.needs_jobs
    assert completed.frames(jobs, 5) == [True, True, False, False, False]
    accepted = MergeFilter(stages=["acceptance"])
    assert accepted.frames(jobs, 4) == [True] * 4
    assert not MergeFilter().needs_jobs


def test_wrong_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="'done' is no state of a job"):
        MergeFilter(states=["done"])
    with pytest.raises(ConfigError, match="'end' is no stage of a job"):
        MergeFilter(stages=["end"])
    for area in (-1, float("nan")):
        with pytest.raises(ConfigError, match="the smallest area cannot be"):
            MergeFilter(min_area=area)
    with pytest.raises(ConfigError, match="cannot merge to 'voc'"):
        data_set_format("voc")
