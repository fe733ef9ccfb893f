"""Exports are archives as CVAT writes them: layout, form and annotation files."""

from __future__ import annotations

import dataclasses
import io
import json
import struct
import xml.etree.ElementTree as ET
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asynccvat.simulator.formats.archives import (
    WRITTEN_FORMATS,
    ExportUnavailableError,
    export_archive,
    write_archive,
)
from asynccvat.simulator.world.generation import generate_tasks
from asynccvat.simulator.world.tasks import Task

NOON = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
IMAGES, COCO, DATUMARO = "CVAT for images 1.1", "COCO 1.0", "Datumaro 1.0"


def task(**options: object) -> Task:
    return generate_tasks(1, 3, **options).tasks[1]  # type: ignore[arg-type]  # options by name


def archive(
    of: Task, format_name: str, *, images: bool = True, at: datetime = NOON
) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(export_archive(of, format_name, images, exported_at=at)))


@pytest.mark.parametrize("format_name", WRITTEN_FORMATS)
@pytest.mark.parametrize("images", [True, False])
def test_every_member_is_stored_plainly_with_sizes_in_its_local_header(
    format_name: str, images: bool
) -> None:
    data = export_archive(task(unicode_tasks=1), format_name, images, exported_at=NOON)
    position = 0
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        for entry in opened.infolist():
            assert entry.header_offset == position  # nothing between the members
            signature, version, flags, method = struct.unpack_from("<4sHHH", data, position)
            crc, packed, size, name, extra = struct.unpack_from("<IIIHH", data, position + 14)
            assert (signature, version, method, extra) == (b"PK\x03\x04", 20, 0, 0)
            assert flags == (0 if entry.filename.isascii() else 0x800)
            assert (crc, packed, size) == (entry.CRC, entry.file_size, entry.file_size)
            assert (entry.create_system, entry.external_attr) == (3, 0o100644 << 16)
            assert entry.date_time == (2026, 11, 23, 12, 0, 0)
            assert not entry.is_dir()
            position += 30 + name + size
        assert len(set(opened.namelist())) == len(opened.namelist())
    assert data[position : position + 4] == b"PK\x01\x02"


@pytest.mark.parametrize(
    ("format_name", "subset", "expected"),
    [
        (IMAGES, "", {"annotations.xml", "images/street_0000.jpg"}),
        (IMAGES, "val", {"annotations.xml", "images/street_0000.jpg"}),
        ("CVAT for video 1.1", "", {"annotations.xml", "images/street_0000.jpg"}),
        (COCO, "", {"annotations/instances_default.json", "images/default/street_0000.jpg"}),
        (COCO, "val", {"annotations/instances_val.json", "images/val/street_0000.jpg"}),
        (DATUMARO, "val", {"annotations/val.json", "images/val/street_0000.jpg"}),
        (
            "PASCAL VOC 1.1",
            "val",
            {
                "labelmap.txt",
                "ImageSets/Main/val.txt",
                "JPEGImages/street_0000.jpg",
                "Annotations/street_0000.xml",
            },
        ),
        (
            "Ultralytics YOLO Detection 1.0",
            "val",
            {
                "val.txt",
                "data.yaml",
                "images/val/street_0000.jpg",
                "labels/val/street_0000.txt",
            },
        ),
        (
            "Ultralytics YOLO Detection 1.0",
            "",
            {
                "train.txt",
                "data.yaml",
                "images/train/street_0000.jpg",
                "labels/train/street_0000.txt",
            },
        ),
    ],
)
def test_the_layout_is_that_of_the_format(
    format_name: str, subset: str, expected: set[str]
) -> None:
    one = dataclasses.replace(task(), size=1, subset=subset)
    assert set(archive(one, format_name).namelist()) == expected
    without = {name for name in expected if not name.endswith(".jpg")}
    assert set(archive(one, format_name, images=False).namelist()) == without


@pytest.mark.parametrize("format_name", WRITTEN_FORMATS)
def test_a_cold_export_differs_in_its_times_and_never_in_an_image(format_name: str) -> None:
    one = task()
    first, second = (archive(one, format_name, at=NOON + n * timedelta(minutes=1)) for n in (0, 1))
    assert first.namelist() == second.namelist()
    assert {entry.date_time for entry in first.infolist()}.isdisjoint(
        entry.date_time for entry in second.infolist()
    )
    for name in first.namelist():
        if name.endswith(".jpg"):
            assert first.getinfo(name).CRC == second.getinfo(name).CRC
        elif name != "annotations.xml":  # a CVAT XML says when it was dumped
            assert first.read(name) == second.read(name)


def test_an_edit_changes_the_annotations_and_no_image() -> None:
    one = task()
    before, after = archive(one, COCO), archive(one.edited(NOON), COCO)
    changed = [
        name for name in before.namelist() if before.getinfo(name).CRC != after.getinfo(name).CRC
    ]
    assert changed == ["annotations/instances_default.json"]


def test_the_cvat_xml_describes_the_task_and_its_shapes() -> None:
    one = dataclasses.replace(task(boxes_per_frame=4), subset="val")
    root = ET.fromstring(archive(one, IMAGES, images=False).read("annotations.xml"))
    assert root.findtext("meta/task/id") == "1"
    assert root.findtext("meta/task/name") == one.name
    assert root.findtext("meta/task/size") == "3"
    assert root.findtext("meta/task/subset") == "val"
    assert root.findtext("meta/task/updated") == str(one.updated_date)
    assert root.findtext("meta/dumped") == str(NOON)
    assert len(root.findall("image")) == 3
    assert len(root.findall("image/box")) == 12
    assert len(root.findall("image/polygon")) == 1
    assert len(root.findall("image/points")) == 1
    assert len(root.findall("image/tag")) == 1
    assert root.findtext("image/polygon/attribute", "").endswith(' <é & "q">')


def test_a_track_of_a_video_is_written_on_each_frame_on_which_it_is_visible() -> None:
    video = task(video_tasks=1)
    root = ET.fromstring(archive(video, "CVAT for video 1.1").read("annotations.xml"))
    assert root.findtext("meta/task/mode") == "interpolation"
    tracks = root.findall("track")
    assert len(tracks) == len(video.annotations().tracks) > 0
    for track in tracks:
        shown = [(box.get("frame"), box.get("keyframe"), box.get("outside")) for box in track]
        assert shown == [("0", "1", "0"), ("1", "0", "0"), ("2", "1", "0")]


def test_the_video_xml_ends_each_track_after_its_frame_except_on_the_last() -> None:
    root = ET.fromstring(archive(task(), "CVAT for video 1.1").read("annotations.xml"))
    tracks = [
        [(int(box.get("frame", "")), box.get("outside")) for box in track.findall("box")]
        for track in root.findall("track")
    ]
    boxes = [boxes for boxes in tracks if boxes]
    assert boxes == [
        [(0, "0"), (1, "1")],
        [(0, "0"), (1, "1")],
        [(1, "0")],
        [(1, "0")],
        [(2, "0")],
        [(2, "0")],
    ]


def test_coco_counts_from_one_and_leaves_points_and_tags_out() -> None:
    document = json.loads(archive(task(), COCO).read("annotations/instances_default.json"))
    assert [image["id"] for image in document["images"]] == [1, 2, 3]
    assert [one["id"] for one in document["annotations"]] == list(range(1, 8))
    assert {one["image_id"] for one in document["annotations"]} == {1, 2, 3}
    polygons = [one for one in document["annotations"] if one["segmentation"]]
    assert len(polygons) == 1
    assert polygons[0]["area"] > 0
    box = document["annotations"][0]
    assert box["area"] == box["bbox"][2] * box["bbox"][3]


def test_datumaro_holds_everything() -> None:
    document = json.loads(archive(task(), DATUMARO).read("annotations/default.json"))
    kinds = [one["type"] for item in document["items"] for one in item["annotations"]]
    assert sorted(kinds) == ["bbox"] * 6 + ["label", "points", "polygon"]
    assert document["items"][0]["image"] == {"path": "street_0000.jpg", "size": [480, 640]}


def test_voc_and_yolo_hold_the_boxes() -> None:
    voc = archive(task(), "PASCAL VOC 1.1")
    root = ET.fromstring(voc.read("Annotations/street_0001.xml"))
    assert len(root.findall("object/bndbox")) == 2
    assert root.findtext("size/depth") == "3"
    assert voc.read("ImageSets/Main/default.txt").decode().split() == [
        "street_0000",
        "street_0001",
        "street_0002",
    ]
    yolo = archive(task(), "Ultralytics YOLO Detection 1.0")
    lines = yolo.read("labels/train/street_0001.txt").decode().splitlines()
    assert len(lines) == 2
    for line in lines:
        kind, *numbers = line.split()
        assert kind == "0"
        assert all(0 <= float(number) <= 1 for number in numbers)


@pytest.mark.parametrize("format_name", WRITTEN_FORMATS)
def test_a_project_export_holds_every_task_under_unique_names(format_name: str) -> None:
    dataset = generate_tasks(4, 3, subsets=("", "val"), tasks_without_data=1)
    data = export_archive(
        list(dataset.tasks.values()),
        format_name,
        True,
        project=dataset.projects[1],
        exported_at=NOON,
    )
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        names = opened.namelist()
        assert len(set(names)) == len(names)
        assert sum(name.endswith(".jpg") for name in names) == 9
        if "annotations.xml" in names:
            root = ET.fromstring(opened.read("annotations.xml"))
            assert root.findtext("meta/project/name") == "project-1"
            assert len(root.findall("meta/project/tasks/task")) == 3


def test_a_task_without_data_fails_with_cvats_message() -> None:
    one = dataclasses.replace(task(), size=None)
    with pytest.raises(ExportUnavailableError, match="has no attribute 'validation_mode'\n"):
        export_archive(one, IMAGES, save_images=False)


def test_an_unwritten_format_fails_and_names_the_written_ones() -> None:
    with pytest.raises(ExportUnavailableError, match=r"MOT 1\.1, only CVAT for images 1\.1"):
        export_archive(task(), "MOT 1.1", save_images=False)


def test_a_file_gets_the_same_bytes_as_memory(tmp_path: Path) -> None:
    one = task()
    with (tmp_path / "archive.zip").open("wb") as stream:
        write_archive(stream, one, COCO, True, exported_at=NOON)
    written = (tmp_path / "archive.zip").read_bytes()
    assert written == export_archive(one, COCO, True, exported_at=NOON)


def test_a_format_of_another_dimension_holds_no_annotation_as_on_cvat() -> None:
    flat = generate_tasks(1, 2).tasks[1]
    cloud = dataclasses.replace(flat, dimension="3d")
    kitti = archive(cloud, "Kitti Raw Format 1.0")
    assert b"<count>4</count>" in kitti.read("tracklet_labels.xml")
    assert kitti.read("velodyne_points/data/cloud_0000.pcd").startswith(b"VERSION 0.7\n")
    assert b"<count>0</count>" in archive(flat, "Kitti Raw Format 1.0").read("tracklet_labels.xml")
    coco = json.loads(archive(cloud, COCO).read("annotations/instances_default.json"))
    assert coco["annotations"] == []
