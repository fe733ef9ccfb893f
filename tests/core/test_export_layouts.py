"""Check which folders count as exports."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from asynccvat.core.export_layouts import holds_annotations


@pytest.mark.parametrize(
    ("export_format", "path"),
    [
        ("CVAT for images 1.1", "annotations.xml"),
        ("CVAT for video 1.1", "annotations.xml"),
        ("COCO 1.0", "annotations/instances_default.json"),
        ("COCO Keypoints 1.0", "annotations/person_keypoints_Train.json"),
        ("Datumaro 1.0", "annotations/default.json"),
        ("PASCAL VOC 1.1", "Annotations/street_0000.xml"),
        ("Ultralytics YOLO Detection 1.0", "data.yaml"),
        ("Ultralytics YOLO Classification 1.0", "train/car/street_0000.jpg"),
        ("YOLO 1.1", "obj.data"),
        ("a format of a newer server", "anything.bin"),
    ],
)
def test_the_file_that_a_format_writes_shows_that_its_export_is_there(
    export_format: str, path: str
) -> None:
    assert holds_annotations(["images/street_0000.jpg", path], export_format)


@pytest.mark.parametrize(
    ("export_format", "paths"),
    [
        ("CVAT for images 1.1", ["images/a.jpg", "annotations/instances_default.json"]),
        ("COCO 1.0", ["annotations.xml", "images/default/a.jpg"]),
        ("Ultralytics YOLO Detection 1.0", ["labels/train/a.txt"]),
        ("a format of a newer server", []),
    ],
)
def test_other_files_do_not(export_format: str, paths: list[str]) -> None:
    assert not holds_annotations(paths, export_format)


def test_every_recorded_archive_is_known_for_an_export_of_its_format(shared: Path) -> None:
    exports = shared / "contract" / "exports"
    recorded = json.loads((exports / "index.json").read_bytes())
    assert recorded
    for entry in recorded:
        with zipfile.ZipFile(exports / entry["file"]) as archive:
            assert holds_annotations(archive.namelist(), entry["format"]), entry["file"]
