"""Skeletons have elements: in the JSON of the API, in CVAT XML, on a frame and in tracks."""

from __future__ import annotations

import dataclasses
import io
import itertools
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from typing import Any

import pytest

from asynccvat.simulator.formats.annotations_json import annotations_json
from asynccvat.simulator.formats.annotations_json_reader import (
    InvalidAnnotationsError,
    read_annotations_json,
)
from asynccvat.simulator.formats.archives import export_archive
from asynccvat.simulator.formats.readers import ImporterError, read_annotations
from asynccvat.simulator.world.annotations import Annotations, Attribute, Label
from asynccvat.simulator.world.generation import generate_tasks
from asynccvat.simulator.world.tasks import Task

HEAD, FOOT = (
    Label(number, name, "#00ff00", "points", (), None)
    for number, name in ((11, "head"), (12, "foot"))
)
TALL = Attribute(1, "tall", False, "checkbox", "false", ("false",))
BODY = Label(
    10, "body", "#ff0000", "skeleton", (TALL,), None, sublabels=(HEAD, FOOT), svg="<circle/>"
)


@pytest.fixture
def task() -> Task:
    return dataclasses.replace(generate_tasks(1, 5).tasks[1], labels=(BODY,), given=Annotations())


def element(label_id: int, x: float, **more: Any) -> dict[str, Any]:
    return {"label_id": label_id, "type": "points", "frame": 1, "points": [x, 5.0], **more}


def skeleton(**more: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "label_id": 10,
        "type": "skeleton",
        "frame": 1,
        "points": [],
        "attributes": [{"spec_id": 1, "value": "true"}],
        "elements": [element(11, 1.0, occluded=True), element(12, 2.5, outside=True)],
    }
    return value | more


def track() -> dict[str, Any]:
    def keyframe(frame: int, x: float, *, outside: bool = False) -> dict[str, Any]:
        return {"type": "points", "frame": frame, "points": [x, 5.0], "outside": outside}

    def body(frame: int, *, outside: bool = False) -> dict[str, Any]:
        return {"type": "skeleton", "frame": frame, "points": [], "outside": outside}

    return {
        "label_id": 10,
        "frame": 0,
        "shapes": [body(0), body(4, outside=True)],
        "elements": [
            {
                "label_id": 11,
                "frame": 0,
                "shapes": [keyframe(0, 0.0), keyframe(4, 8.0, outside=True)],
            },
            {
                "label_id": 12,
                "frame": 0,
                "shapes": [keyframe(0, 3.0), keyframe(2, 3.0, outside=True)],
            },
        ],
    }


def read(task: Task, **given: Any) -> Annotations:
    return read_annotations_json(given, task, itertools.count(1))


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_ids(one) for name, one in value.items() if name != "id"}
    return [without_ids(one) for one in value] if isinstance(value, list) else value


def test_the_json_of_skeletons_is_read_as_it_is_shown(task: Task) -> None:
    held = read(task, shapes=[skeleton()], tracks=[track()])
    shown = without_ids(annotations_json(held))
    (shape,) = shown["shapes"]
    assert [(one["points"], one["outside"]) for one in shape["elements"]] == [
        ([1.0, 5.0], False),
        ([2.5, 5.0], True),
    ]
    assert "elements" not in shape["elements"][0]
    again = read(task, shapes=shown["shapes"], tracks=shown["tracks"])
    assert without_ids(annotations_json(again)) == shown


@pytest.mark.parametrize(
    ("elements", "error"),
    [
        ([element(10, 1.0)], ["label_id `10` is invalid"]),
        (
            [element(11, 1.0, id=5)],
            {"shapes": [{"elements": [{"id": ["must be absent"]}]}]},
        ),
        (
            {"a": 1},
            {
                "shapes": [
                    {
                        "elements": {
                            "non_field_errors": ['Expected a list of items but got type "dict".']
                        }
                    }
                ]
            },
        ),
    ],
)
def test_wrong_elements_are_refused(task: Task, elements: Any, error: Any) -> None:
    with pytest.raises(InvalidAnnotationsError) as caught:
        read(task, shapes=[skeleton(elements=elements)])
    assert caught.value.errors == error


def exported(task: Task, format_name: str, folder: Path) -> Path:
    path = folder / "archive.zip"
    path.write_bytes(export_archive(task, format_name, save_images=False))
    return path


def imported(task: Task, path: Path) -> Annotations:
    return read_annotations(path, "CVAT 1.1", task, itertools.count(1))


def test_a_skeleton_on_a_frame_comes_back_from_xml(task: Task, tmp_path: Path) -> None:
    held = task.annotated(read(task, shapes=[skeleton()]), task.updated_date)
    (shape,) = imported(task, exported(held, "CVAT for images 1.1", tmp_path)).shapes
    assert (shape.type, shape.label.name, shape.points) == ("skeleton", "body", ())
    assert [(one.name, value) for one, value in shape.attributes] == [("tall", "true")]
    assert [(one.label.name, one.points, one.occluded, one.outside) for one in shape.elements] == [
        ("head", (1.0, 5.0), True, False),
        ("foot", (2.5, 5.0), False, True),
    ]


def test_a_skeleton_in_a_track_comes_back_from_xml(task: Task, tmp_path: Path) -> None:
    held = task.annotated(read(task, tracks=[track()]), task.updated_date)
    (found,) = imported(task, exported(held, "CVAT for video 1.1", tmp_path)).tracks
    head, foot = found.elements
    assert [(one.frame, one.points, one.outside) for one in head.shapes] == [
        (0, (0.0, 5.0), False),
        (4, (8.0, 5.0), True),
    ]
    assert [(one.frame, one.outside) for one in foot.shapes] == [(0, False), (2, True)]


def test_elements_move_between_their_keyframes(task: Task) -> None:
    (found,) = read(task, tracks=[track()]).tracks
    shapes = list(found.shapes_until(5, 0))
    assert [shape.frame for shape in shapes] == [0, 1, 2, 3]
    heads, feet = zip(*(shape.elements for shape in shapes), strict=True)
    assert [one.points[0] for one in heads] == [0.0, 2.0, 4.0, 6.0]
    assert [one.outside for one in feet] == [False, False, True, True]


def test_the_xml_describes_sublabels_after_their_skeleton(task: Task) -> None:
    data = export_archive(task, "CVAT for images 1.1", save_images=False)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        labels = ET.fromstring(archive.read("annotations.xml")).findall(".//label")
    assert [(one.findtext("name"), one.findtext("parent")) for one in labels] == [
        ("body", None),
        ("head", "body"),
        ("foot", "body"),
    ]
    assert labels[0].findtext("svg") == "<circle/>"


def test_an_element_of_an_unknown_sublabel_fails_the_import(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(
        '<annotations><image id="0" name="street_0000.jpg"><skeleton label="body">'
        '<points label="tail" points="1,2"/></skeleton></image></annotations>'
    )
    with pytest.raises(ImporterError, match="'tail' is not registered"):
        imported(task, path)
