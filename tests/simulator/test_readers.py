"""Annotation files are read into simulated tasks: exports can be imported again."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.formats.readers import ImporterError, read_annotations
from asynccvat.simulator.world.annotations import (
    Annotations,
    AttributeValues,
    Shape,
    ShapeType,
    Tag,
    Track,
    TrackedShape,
)
from asynccvat.simulator.world.generation import generate_tasks
from asynccvat.simulator.world.masks import (
    bits_of_counts,
    coco_counts,
    mask_points,
    pack_counts,
    shape_bits,
    unpack_counts,
)
from asynccvat.simulator.world.tasks import Task

IMPORTERS = {
    "CVAT for images 1.1": "CVAT 1.1",
    "CVAT for video 1.1": "CVAT 1.1",
    "COCO 1.0": "COCO 1.0",
    "Datumaro 1.0": "Datumaro 1.0",
    "PASCAL VOC 1.1": "PASCAL VOC 1.1",
    "Ultralytics YOLO Detection 1.0": "Ultralytics YOLO Detection 1.0",
}
BOX_FORMATS = ("PASCAL VOC 1.1", "Ultralytics YOLO Detection 1.0")
POINTS: dict[ShapeType, tuple[float, ...]] = {
    "rectangle": (100.0, 110.0, 150.5, 180.25),
    "polygon": (1.0, 2.0, 50.0, 2.5, 30.0, 60.0),
    "polyline": (100.0, 100.0, 150.0, 80.0),
    "points": (5.25, 6.5),
    "ellipse": (100.0, 100.0, 150.0, 80.0),
    "cuboid": tuple(float(number) for number in range(16)),
    "mask": (0, 1, 8, 1, 10, 10, 14, 11),
}


@pytest.fixture
def task() -> Task:
    return generate_tasks(1, 6).tasks[1]


def shape_of(task: Task, kind: ShapeType, number: int, **more: Any) -> Shape:
    label = task.labels[1]
    values: AttributeValues = ((label.attributes[0], "x"),)
    return Shape(number, kind, label, 1, POINTS[kind], True, number, values, **more)


def track_of(task: Task) -> Track:
    """A car that is visible on frames 1 to 3."""
    label = task.labels[0]
    parked, make = label.attributes

    def seen(frame: int, points: tuple[float, ...], *, outside: bool = False) -> TrackedShape:
        return TrackedShape(
            frame, "rectangle", frame, points, False, outside, attributes=((parked, "true"),)
        )

    shapes = (
        seen(1, (10.0, 10.0, 50.0, 50.0)),
        seen(3, (20.0, 20.0, 60.0, 70.0)),
        seen(4, (20.0, 20.0, 60.0, 70.0), outside=True),
    )
    return Track(9, label, shapes, attributes=((make, "audi"),))


def given_to(task: Task, *shapes: Shape, **more: Any) -> Task:
    return task.annotated(Annotations(shapes, **more), task.updated_date)


def read(task: Task, path: Path, importer: str) -> Annotations:
    return read_annotations(path, importer, task, itertools.count(1))


def exported_and_read(task: Task, exporter: str, folder: Path) -> Annotations:
    path = folder / "archive.zip"
    path.write_bytes(export_archive(task, exporter, save_images=False))
    return read(task, path, IMPORTERS[exporter])


def looks(annotations: Annotations) -> list[Any]:
    """Shapes without their ids and their order."""
    return sorted(
        (shape.frame, shape.type, shape.label.name, shape.points, shape.attributes)
        for shape in annotations.shapes
    )


def zipped(folder: Path, members: Mapping[str, str]) -> Path:
    path = folder / "given.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def failure(task: Task, path: Path, importer: str) -> str:
    with pytest.raises(ImporterError) as caught:
        read(task, path, importer)
    return str(caught.value)


# --- What was exported comes back -----------------------------------------------------------------


@pytest.mark.parametrize("exporter", ["CVAT for images 1.1", "Datumaro 1.0"])
@pytest.mark.parametrize("unicode_tasks", [0, 1])
def test_all_annotations_of_generated_tasks_are_read_back(
    exporter: str, unicode_tasks: int, tmp_path: Path
) -> None:
    task = generate_tasks(1, 12, unicode_tasks=unicode_tasks).tasks[1]
    held = task.annotations()
    found = exported_and_read(task, exporter, tmp_path)
    assert looks(found) == looks(held)
    assert [(tag.frame, tag.label) for tag in found.tags] == [
        (tag.frame, tag.label) for tag in held.tags
    ]
    order = [(shape.z_order, shape.occluded) for shape in found.shapes]
    assert sorted(order) == sorted((shape.z_order, shape.occluded) for shape in held.shapes)


def test_coco_reads_back_boxes_and_polygons(task: Task, tmp_path: Path) -> None:
    held = [one for one in looks(task.annotations()) if one[1] != "points"]
    assert looks(exported_and_read(task, "COCO 1.0", tmp_path)) == held


def test_box_formats_read_back_boxes(task: Task, tmp_path: Path) -> None:
    held = [one for one in looks(task.annotations()) if one[1] == "rectangle"]
    assert looks(exported_and_read(task, "PASCAL VOC 1.1", tmp_path)) == held
    by_yolo = looks(exported_and_read(task, "Ultralytics YOLO Detection 1.0", tmp_path))
    assert [one[:4] for one in by_yolo] == [one[:4] for one in held]


@pytest.mark.parametrize("exporter", ["CVAT for images 1.1", "Datumaro 1.0"])
@pytest.mark.parametrize("kind", list(POINTS))
def test_every_type_of_shape_is_read_back(
    task: Task, exporter: str, kind: ShapeType, tmp_path: Path
) -> None:
    turns = {"rotation": 30.0} if kind in ("rectangle", "ellipse") else {}
    shape = shape_of(task, kind, 5, **turns)
    (found,) = exported_and_read(given_to(task, shape), exporter, tmp_path).shapes
    assert (found.type, found.points, found.rotation) == (kind, shape.points, shape.rotation)
    assert (found.occluded, found.z_order, found.attributes) == (True, 5, shape.attributes)


def test_coco_turns_masks_and_ellipses_into_runs(task: Task, tmp_path: Path) -> None:
    held = given_to(task, shape_of(task, "mask", 1), shape_of(task, "ellipse", 2))
    mask, ellipse = exported_and_read(held, "COCO 1.0", tmp_path).shapes
    assert mask.points == POINTS["mask"]
    assert ellipse.type == "mask"
    assert ellipse.points[-4:] == (50, 80, 150, 120)


def test_tracks_are_read_back_by_keyframes(task: Task, tmp_path: Path) -> None:
    held = given_to(task, tracks=(track_of(task),))
    for exporter in ("CVAT for video 1.1", "Datumaro 1.0", "COCO 1.0", "PASCAL VOC 1.1"):
        found = exported_and_read(held, exporter, tmp_path)
        assert not found.shapes, exporter
        (track,) = found.tracks
        assert track.attributes == track_of(task).attributes
        assert [(one.frame, one.points, one.outside, one.attributes) for one in track.shapes] == [
            (one.frame, one.points, one.outside, one.attributes) for one in track_of(task).shapes
        ], exporter


def test_formats_without_tracks_show_each_frame_of_them(task: Task, tmp_path: Path) -> None:
    held = given_to(task, tracks=(track_of(task),))
    for exporter in ("CVAT for images 1.1", "Ultralytics YOLO Detection 1.0"):
        found = exported_and_read(held, exporter, tmp_path)
        assert [(shape.frame, shape.points) for shape in found.shapes] == [
            (1, (10.0, 10.0, 50.0, 50.0)),
            (2, (15.0, 15.0, 55.0, 60.0)),  # half way
            (3, (20.0, 20.0, 60.0, 70.0)),
        ]


def test_a_track_rotates_the_shorter_way_and_masks_do_not_move(task: Task) -> None:
    first, last, _ = track_of(task).shapes
    turning = dataclasses.replace(
        track_of(task),
        shapes=(dataclasses.replace(first, rotation=350.0), dataclasses.replace(last, rotation=10)),
    )
    assert [shape.rotation for shape in turning.shapes_until(5, 0)] == [350.0, 0.0, 10, 10]
    masks = dataclasses.replace(
        turning,
        shapes=tuple(
            dataclasses.replace(one, type="mask", points=POINTS["mask"]) for one in turning.shapes
        ),
    )
    assert {shape.points for shape in masks.shapes_until(6, 0)} == {POINTS["mask"]}


def test_groups_are_read_back(task: Task, tmp_path: Path) -> None:
    shapes = [shape_of(task, "rectangle", number, group=7) for number in (1, 2)]
    held = given_to(task, *shapes, shape_of(task, "polygon", 3, group=8))
    by_cvat = exported_and_read(held, "CVAT for images 1.1", tmp_path)
    assert [shape.group for shape in by_cvat.shapes] == [7, 7, 8]
    by_datumaro = exported_and_read(held, "Datumaro 1.0", tmp_path)
    assert [shape.group for shape in by_datumaro.shapes] == [1, 1, 0], "one alone is no group"


def test_attributes_of_tags_are_read_back(task: Task, tmp_path: Path) -> None:
    label = task.labels[1]
    tag = Tag(1, label, 2, 3, attributes=((label.attributes[0], "<seen>"),))
    for exporter in ("CVAT for images 1.1", "Datumaro 1.0"):
        (found,) = exported_and_read(given_to(task, tags=(tag,)), exporter, tmp_path).tags
        assert (found.label, found.frame, found.attributes) == (label, 2, tag.attributes)


@pytest.mark.parametrize("exporter", list(IMPORTERS))
def test_archives_of_a_real_server_are_read(shared: Path, exporter: str) -> None:
    folder = shared / "contract" / "exports"
    task = dataclasses.replace(generate_tasks(1, 60).tasks[1], size=120)
    index = json.loads((folder / "index.json").read_bytes())
    read_count = 0
    for one in index:
        if one["format"] == exporter and one["task_id"] in (10, 280, 288, 296):
            found = read(task, folder / one["file"], IMPORTERS[exporter])
            assert found.shapes or found.tracks
            read_count += 1
    assert read_count


def test_real_archives_of_a_task_have_the_same_boxes_in_each_format(shared: Path) -> None:
    folder = shared / "contract" / "exports"
    task = dataclasses.replace(generate_tasks(1, 60).tasks[1], size=60)
    found = []
    for one in json.loads((folder / "index.json").read_bytes()):
        if one["task_id"] == 10 and not one["save_images"]:
            annotations = read(task, folder / one["file"], IMPORTERS[one["format"]])
            boxes = [shape for shape in annotations.shapes if shape.type == "rectangle"]
            found.append(sorted((box.frame, *box.points) for box in boxes))
    first, *others = found
    assert (len(first), len(others)) == (10, 4)
    for other in others:
        for box, same in zip(other, first, strict=True):
            assert box == pytest.approx(same, abs=0.01)


# --- Frames, labels, attributes -------------------------------------------------------------------


def test_images_are_found_by_name_then_by_number(task: Task, tmp_path: Path) -> None:
    box = '<box label="car" xtl="1" ytl="2" xbr="3" ybr="4"/>'
    path = tmp_path / "a.xml"
    path.write_text(
        f'<annotations><image id="0" name="street_0002.png">{box}</image>'
        f'<image id="4" name="other.jpg">{box}</image></annotations>'
    )
    assert [shape.frame for shape in read(task, path, "CVAT 1.1").shapes] == [2, 4]
    path.write_text(f'<annotations><image id="99" name="other.jpg">{box}</image></annotations>')
    assert failure(task, path, "CVAT 1.1") == (
        "cvat.apps.dataset_manager.bindings.CvatImportError: "
        "Could not match item id: 'other' with any task frame\n"
    )


def test_names_may_be_relative_to_a_folder_of_the_task(tmp_path: Path) -> None:
    task = generate_tasks(1, 8, unicode_tasks=1).tasks[1]
    nested = next(frame for frame in task.frames() if frame.name == "a/b/c/d/e/f/plain.jpg")
    path = zipped(
        tmp_path,
        {
            "data.yaml": "names: [car]\n",
            "labels/train/e/f/plain.txt": "0 0.5 0.5 0.25 0.25\n\n",
        },
    )
    (shape,) = read(task, path, "Ultralytics YOLO Detection 1.0").shapes
    assert shape.frame == nested.index
    assert shape.points == (240.0, 180.0, 400.0, 300.0)


def test_darknet_archives_are_read(task: Task, tmp_path: Path) -> None:
    members = {
        "obj.names": "person\ncar\n",
        "obj_train_data/street_0003.txt": "1 0.5 0.5 0.25 0.25",
    }
    (shape,) = read(task, zipped(tmp_path, members), "YOLO 1.1").shapes
    assert (shape.frame, shape.label.name) == (3, "car")


def test_polygons_of_one_coco_annotation_are_a_group(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    polygon = [1, 2, 3, 4, 5, 6]
    annotation = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4]}
    document = {
        "categories": [{"id": 3, "name": "car"}],
        "images": [{"id": 7, "file_name": "street_0001.jpg", "width": 640, "height": 480}],
        "annotations": [{**annotation, "segmentation": [polygon, polygon]}],
    }
    path.write_text(json.dumps(document))
    assert [one.group for one in read(task, path, "COCO 1.0").shapes] == [1, 1]
    document["annotations"] = [{**annotation, "category_id": 9}]
    path.write_text(json.dumps(document))
    assert "annotation has no label" in failure(task, path, "COCO 1.0")


def test_tracks_past_the_end_are_dropped(task: Task, tmp_path: Path) -> None:
    held = given_to(task, tracks=(track_of(task),))
    path = tmp_path / "video.zip"
    path.write_bytes(export_archive(held, "CVAT for video 1.1", save_images=False))
    short = dataclasses.replace(task, size=1)
    assert read(short, path, "CVAT 1.1") == Annotations()


def test_a_track_is_closed_where_it_is_invisible(task: Task, tmp_path: Path) -> None:
    def item(frame: int) -> dict[str, Any]:
        attributes = {"track_id": 1, "keyframe": frame == 0}
        annotation = {
            "type": "bbox",
            "bbox": [1, 2, 3, 4],
            "label_id": 0,
            "attributes": attributes,
        }
        return {"id": f"street_{frame:04d}", "annotations": [annotation]}

    path = tmp_path / "datumaro.json"
    labels = {"label": {"labels": [{"name": "car"}]}}
    items = [item(frame) for frame in (0, 1, 4)]
    path.write_text(json.dumps({"categories": labels, "items": items}))
    (track,) = read(task, path, "Datumaro 1.0").tracks
    assert [(one.frame, one.outside) for one in track.shapes] == [
        (0, False),
        (2, True),
        (4, False),
        (5, True),
    ]


# --- What is refused ------------------------------------------------------------------------------

MAYBE = '<attribute name="parked">maybe</attribute>'
WRONG_XML = {
    "no label of the task": (
        '<image id="0" name="a.jpg"><tag label="nope"/></image>',
        "ValueError: Label 'nope' is not registered for this task\n",
    ),
    "no label at all": ('<image id="0" name="a.jpg"><tag/></image>', "KeyError: 'label'\n"),
    "no number": (
        '<image id="0" name="a.jpg"><box label="car" xtl="x" ytl="2" xbr="3" ybr="4"/></image>',
        "ValueError: could not convert string to float: 'x'\n",
    ),
    "half a point": (
        '<image id="0" name="a.jpg"><points label="car" points="1,2;3"/></image>',
        "ValueError: 3 numbers make no points\n",
    ),
    "no such value": (
        f'<image id="0" name="a.jpg"><tag label="car">{MAYBE}</tag></image>',
        "Exception: Failed to convert attribute 'parked'='maybe': \n",
    ),
}


@pytest.mark.parametrize(("body", "message"), WRONG_XML.values(), ids=WRONG_XML)
def test_wrong_xml_fails_with_cvats_message(
    task: Task, tmp_path: Path, body: str, message: str
) -> None:
    path = tmp_path / "wrong.xml"
    path.write_text(f"<annotations>{body}</annotations>")
    assert failure(task, path, "CVAT 1.1") == message


@pytest.mark.parametrize(
    ("importer", "members", "words"),
    [
        ("COCO 1.0", {"a.json": "{}"}, "dataset must contain a file matching pattern"),
        ("COCO 1.0", {"annotations/instances_a.json": "{}"}, "Failed to import dataset 'coco_inst"),
        ("Datumaro 1.0", {"annotations/a.json": "[1]"}, "Failed to import dataset 'datumaro'"),
        ("PASCAL VOC 1.1", {"a.txt": ""}, "dataset must contain a file matching pattern"),
        ("PASCAL VOC 1.1", {"Annotations/a.xml": "<a"}, "Failed to import dataset 'voc'"),
        (
            "PASCAL VOC 1.1",
            {"Annotations/0.xml": "<a><object><name>car</name></object></a>"},
            "Failed to import dataset 'voc'",
        ),
        ("YOLO 1.1", {"a.txt": ""}, "dataset must contain a file matching pattern 'obj.names'"),
        ("YOLO 1.1", {"obj.names": "car", "obj_train_data/0.txt": "0 1"}, "Failed to import"),
        ("Ultralytics YOLO Detection 1.0", {"data.yaml": "{"}, "Failed to import dataset 'yolo"),
        ("Ultralytics YOLO Detection 1.0", {"data.yaml": "- a"}, "Failed to import dataset 'yolo"),
        (
            "YOLO 1.1",
            {"obj.names": "car", "obj_train_data/0.txt": "5 .5 .5 .1 .1"},
            "Image 0: can't import annotation #0 (bbox): annotation has no label",
        ),
        (
            "YOLO 1.1",
            {"obj.names": "nope", "obj_train_data/0.txt": "0 .5 .5 .1 .1"},
            "(bbox): Label 'nope' is not registered for this task",
        ),
        ("MOT 1.1", {"gt/gt.txt": ""}, "The simulator does not read MOT 1.1, only CVAT 1.1"),
    ],
)
def test_wrong_archives_fail(
    task: Task, tmp_path: Path, importer: str, members: dict[str, str], words: str
) -> None:
    assert words in failure(task, zipped(tmp_path, members), importer)


def test_a_file_that_is_not_a_zip_fails_if_the_format_needs_one(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK no zip")
    assert failure(task, path, "YOLO 1.1") == "zipfile.BadZipFile: File is not a zip file\n"
    assert "Failed to import dataset" in failure(task, path, "COCO 1.0")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_only_fail(content: bytes) -> None:
    task = generate_tasks(1, 1).tasks[1]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("annotations.xml", "data.yaml", "annotations/instances_a.json", "obj.names"):
            archive.writestr(name, content)
    with tempfile.NamedTemporaryFile() as file:
        path = Path(file.name)
        for importer in {*IMPORTERS.values(), "YOLO 1.1"}:
            for data in (content, stream.getvalue()):
                path.write_bytes(data)
                with contextlib.suppress(ImporterError):
                    assert read(task, path, importer) == Annotations()


# --- Masks ----------------------------------------------------------------------------------------


@given(st.data(), st.integers(1, 7), st.integers(1, 7))
def test_masks_keep_their_pixels_in_every_form(
    data: st.DataObject, width: int, height: int
) -> None:
    size = width * height
    bits = bytes(data.draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)))
    counts = coco_counts(bits, width)
    assert bits_of_counts(counts, width, height) == bits
    assert unpack_counts(pack_counts(counts)) == counts
    points = mask_points(bits, width)
    assert (points is None) == (not any(bits))
    if points is not None:
        label = generate_tasks(1, 1).tasks[1].labels[0]
        shape = Shape(1, "mask", label, 0, points, False, 0, ())
        assert shape_bits(shape, width, height) == bits


@given(st.lists(st.integers(0, 10**6)))
def test_packed_counts_are_unpacked(counts: list[int]) -> None:
    assert unpack_counts(pack_counts(counts)) == counts


def test_counts_are_packed_as_pycocotools_packs_them() -> None:
    # By hand: digits of five bits, the lowest first; differences from the fourth count on.
    assert pack_counts([2, 2, 2]) == "222"
    assert pack_counts([100, 1, 200, 4]) == "T31X63"
    with pytest.raises(ValueError, match="end within a number"):
        unpack_counts("T")
    with pytest.raises(ValueError, match="3 pixels instead of 2 times 2"):
        bits_of_counts([1, 2], 2, 2)
