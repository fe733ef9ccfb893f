"""Names of labels and attributes become the ids that a task has."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from asynccvat.core.annotations.counts import read_task_annotations
from asynccvat.core.backups.annotations import (
    TaskAttribute,
    TaskLabel,
    essence,
    task_annotations,
)
from asynccvat.errors import BackupFileError, RestoreError

HEAD = TaskLabel(id=31, name="head", attributes=(TaskAttribute(id=41, name="seen"),))
LABELS = (
    TaskLabel(id=1, name="car", attributes=(TaskAttribute(id=11, name="color"),)),
    TaskLabel(id=3, name="body", sublabels=(HEAD,)),
)


def converted(*jobs: dict[str, Any]) -> dict[str, Any]:
    raw = json.dumps(jobs).encode()
    found: dict[str, Any] = json.loads(task_annotations(raw, LABELS, task_id=7, where="'x'"))
    return found


def test_names_become_ids_at_every_depth() -> None:
    color = [{"name": "color", "value": "red"}]
    tag = {"frame": 0, "label": "car", "attributes": color, "group": None}
    point = {"label": "head", "attributes": [{"name": "seen", "value": "true"}], "group": 2}
    body = {"type": "skeleton", "label": "body", "elements": [point], "id": 5}
    track = {"label": "car", "attributes": [], "shapes": [{"frame": 0, "attributes": color}]}
    found = converted({"tags": [tag], "shapes": [body]}, {"tracks": [track], "tags": None})
    red = [{"spec_id": 11, "value": "red"}]
    assert found == {
        "version": 0,
        "tags": [{"frame": 0, "label_id": 1, "attributes": red, "group": None}],
        "shapes": [
            {
                "type": "skeleton",
                "label_id": 3,
                "attributes": [],
                "elements": [
                    {
                        "label_id": 31,
                        "group": 2,
                        "attributes": [{"spec_id": 41, "value": "true"}],
                    }
                ],
            }
        ],
        "tracks": [
            {
                "label_id": 1,
                "attributes": [],
                "shapes": [{"frame": 0, "attributes": red}],
            }
        ],
    }


def test_a_label_or_attribute_that_the_task_lacks_is_named() -> None:
    with pytest.raises(RestoreError, match="no label 'cat' any more"):
        converted({"tags": [{"label": "cat"}]})
    with pytest.raises(RestoreError, match="label 'car' has no attribute 'size' any more"):
        converted({"tags": [{"label": "car", "attributes": [{"name": "size", "value": "1"}]}]})


def test_annotations_are_the_same_if_a_person_sees_the_same() -> None:
    point = {"label_id": 31, "points": [1, 2], "elements": []}
    shape = {"label_id": 3, "frame": 0, "elements": [point]}
    more = {**shape, "id": 5, "group": 0, "score": 1.0, "description": None}
    one, other = ({"tags": [], "shapes": [item]} for item in (shape, more))
    assert essence(json.dumps(one).encode()) == essence(json.dumps(other).encode())
    moved = {**shape, "elements": [{**point, "points": [2, 2]}]}
    assert essence(json.dumps({"shapes": [moved]}).encode()) != essence(json.dumps(one).encode())
    with pytest.raises(BackupFileError, match="cannot be read"):
        essence(b'{"tags": [5]}')


@pytest.mark.parametrize("raw", [b"", b"{}", b'[{"tags": [5]}]', b'[{"tags": [{}]}]', b"[5]"])
def test_what_cannot_be_read_is_refused(raw: bytes) -> None:
    with pytest.raises(BackupFileError, match="cannot be read"):
        task_annotations(raw, LABELS, task_id=7, where="'x'")


def test_a_real_backup_becomes_annotations_without_names(shared: Path) -> None:
    with zipfile.ZipFile(shared / "contract/exports-2.64/backup_task4.zip") as archive:
        raw, task = archive.read("annotations.json"), json.loads(archive.read("task.json"))
    labels = [
        TaskLabel(
            id=number,
            name=label["name"],
            attributes=tuple(
                TaskAttribute(id=number * 10 + index, name=attribute["name"])
                for index, attribute in enumerate(label["attributes"])
            ),
        )
        for number, label in enumerate(task["labels"], 1)
    ]
    made = task_annotations(raw, labels, task_id=4, where="'x'")
    jobs = json.loads(raw)
    assert read_task_annotations(4, made).counts.shapes == sum(len(job["shapes"]) for job in jobs)
    assert b'"label":' not in made
