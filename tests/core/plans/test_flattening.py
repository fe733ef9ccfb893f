"""Tell which tasks a named format flattens."""

from __future__ import annotations

import pytest

from asynccvat.core.models import Task, TaskListing
from asynccvat.core.plans.flavours import flattening
from asynccvat.core.plans.mirror import Fetch, Plan, Reason
from asynccvat.core.specs import ExportSpec


def plan(*modes: str | None) -> Plan:
    fetches = [
        Fetch(Task(id=number, mode=mode), f"task{number}", Reason.NEW)
        for number, mode in enumerate(modes, start=1)
    ]
    return Plan(steps=tuple(fetches), listing=TaskListing(()))


VIDEO = "interpolation"


def test_videos_are_named() -> None:
    said = str(flattening(plan(VIDEO, "annotation", None), ExportSpec("YOLO 1.1")))
    assert said.startswith("task 1 is a video, and 'YOLO 1.1' has no tracks: ")
    assert "2 tasks are videos (tasks 1 and 2)" in str(
        flattening(plan(VIDEO, VIDEO), ExportSpec("CVAT for images 1.1"))
    )
    said = str(flattening(plan(*[VIDEO] * 1_006), ExportSpec("YOLO 1.1")))
    assert said.startswith("1,006 tasks are videos (tasks 1, 2, 3, 4, 5 and 1,001 more), and ")


@pytest.mark.parametrize(
    "name", ["CVAT", "CVAT for video 1.1", "MOT 1.1", "Datumaro 1.0", "Of the future 1.0"]
)
def test_a_format_with_tracks_flattens_nothing(name: str) -> None:
    assert flattening(plan(VIDEO), ExportSpec(name)) is None


def test_tasks_of_images_are_not_flattened() -> None:
    assert flattening(plan("annotation"), ExportSpec("YOLO 1.1")) is None


def test_a_spec_by_mode_means_one_exporter_for_each_task() -> None:
    spec = ExportSpec(images=True)
    assert spec.format == "CVAT"
    assert spec.for_mode(VIDEO) == ExportSpec("CVAT for video 1.1", images=True)
    assert spec.for_mode("annotation") == spec.for_mode(None) == spec.for_mode("")
    assert spec.for_mode(None) == ExportSpec("CVAT for images 1.1", images=True)
    named = ExportSpec("COCO 1.0")
    assert named.for_mode(VIDEO) is named
    assert named.exporters == ("COCO 1.0",)
