"""Check the JSON of a task's details."""

from __future__ import annotations

from asynccvat.core.annotations.counts import AnnotationCounts
from asynccvat.core.models import DataMeta, Job, Project
from asynccvat.core.task_details import TaskDetails

PAGE = "https://cvat.example.com/tasks/3"


def test_the_fields_stand_beside_the_details() -> None:
    details = TaskDetails(
        fields={"id": 3, "name": "street"},
        page=PAGE,
        project=Project(id=5, name="Roads"),
        jobs=[Job(id=7, task_id=3)],
        labels=[{"name": "car"}],
        media=DataMeta(size=2),
        annotations=AnnotationCounts(shapes=4),
    ).to_json()
    more = details.pop("details")
    assert details == {"id": 3, "name": "street"}
    assert more["page"] == PAGE
    assert more["project"]["name"] == "Roads"
    assert more["jobs"][0]["id"] == 7
    assert more["labels"] == [{"name": "car"}]
    assert more["media"]["size"] == 2
    assert more["annotations"] == {"tags": 0, "shapes": 4, "tracks": 0}


def test_a_task_without_project_and_data_has_none_of_them() -> None:
    more = TaskDetails(fields={"id": 3}, page=PAGE).to_json()["details"]
    assert (more["project"], more["media"], more["annotations"]) == (None, None, None)
    assert (more["jobs"], more["labels"]) == ([], [])
