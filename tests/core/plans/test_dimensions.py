"""Check that no plan exports a task in a format that cannot hold its annotations."""

from __future__ import annotations

import pytest

from asynccvat.core.models import Format, Formats, Task, TaskListing
from asynccvat.core.plans.dimensions import (
    needs_formats,
    other_dimension,
    without_other_dimensions,
)
from asynccvat.core.plans.mirror import Fetch, Keep, MirrorStep, Plan, Reason, Refuse, Remove, Skip
from asynccvat.core.records.receipts import ReceiptHead
from asynccvat.core.specs import ExportSpec

COCO = ExportSpec("COCO 1.0")
FORMATS = Formats(
    exporters=(
        Format(name="COCO 1.0", dimension="2d"),
        Format(name="Datumaro 1.0", dimension="2d"),
        Format(name="Datumaro 3D 1.0", dimension="3d"),
        Format(name="Sly Point Cloud Format 1.0", dimension="3d", enabled=False),
        Format(name="Of an older server 1.0"),
        Format(name="CVAT for images 1.1", dimension="2d", enabled=False),
    )
)
HEAD = ReceiptHead(
    task_id=7,
    folder="old7",
    format="COCO 1.0",
    images=False,
    updated_date="",
    origin="http://cvat",
    digest="",
    files=1,
    bytes=1,
    requested_at="",
    committed_at="",
)


def fetch(dimension: str | None, previous: ReceiptHead | None = None) -> Fetch:
    task = Task(id=7, name="scan", dimension=dimension)
    return Fetch(task, "task7", Reason.NEW, previous)


def plan(*steps: MirrorStep) -> Plan:
    return Plan(steps=steps, listing=TaskListing(()))


@pytest.mark.parametrize(
    ("dimension", "format_name"),
    [
        ("2d", "COCO 1.0"),
        ("3d", "Datumaro 3D 1.0"),
        (None, "COCO 1.0"),
        ("3d", "Of an older server 1.0"),
        ("3d", "Unknown 1.0"),
    ],
)
def test_a_task_fits_a_format_of_its_dimension_or_of_an_unknown_one(
    dimension: str | None, format_name: str
) -> None:
    fitting = plan(fetch(dimension))
    assert (
        without_other_dimensions(fitting, ExportSpec(format_name), FORMATS, named=True) == fitting
    )


def test_the_formats_of_the_tasks_dimension_are_named() -> None:
    assert other_dimension(Task(id=7, dimension="3d"), COCO, FORMATS) == (
        "the task is 3d, and 'COCO 1.0' holds the annotations of 2d tasks only. "
        "Fetch it into a folder of its own, with --format 'Datumaro 3D 1.0'."
    )
    assert "with --format 'COCO 1.0' or 'Datumaro 1.0'." in str(
        other_dimension(Task(id=7, dimension="2d"), ExportSpec("Datumaro 3D 1.0"), FORMATS)
    )


def test_the_flavour_of_the_tasks_mode_has_the_dimension() -> None:
    why = other_dimension(Task(id=7, dimension="3d", mode="annotation"), ExportSpec(), FORMATS)
    assert "'CVAT for images 1.1' holds the annotations of 2d tasks only" in str(why)


def test_a_server_without_such_a_format_is_named_as_the_reason() -> None:
    why = other_dimension(Task(id=7, dimension="4d"), COCO, FORMATS)
    assert str(why).endswith("The server has no format for it.")


def test_a_named_task_is_refused_and_any_other_is_left_as_it_is() -> None:
    def step(previous: ReceiptHead | None, *, named: bool) -> MirrorStep:
        made = without_other_dimensions(plan(fetch("3d", previous)), COCO, FORMATS, named=named)
        return made.steps[0]

    why = str(other_dimension(Task(id=7, dimension="3d"), COCO, FORMATS))
    assert step(None, named=True) == Refuse(7, "scan", "task7", Reason.DIMENSION, why)
    assert step(None, named=False) == Skip(7, "scan", "task7", Reason.DIMENSION, why)
    assert step(HEAD, named=False) == Keep(7, "scan", "old7", Reason.DIMENSION, why)


def test_the_formats_matter_only_if_a_task_of_known_dimension_is_fetched() -> None:
    removal = Remove(8, "", "task8", Reason.GONE, HEAD)
    assert not needs_formats(plan(fetch(None), removal))
    assert needs_formats(plan(fetch("2d"), removal))
    assert without_other_dimensions(plan(removal), COCO, FORMATS, named=False) == plan(removal)


def test_a_plan_says_why_a_task_is_refused_skipped_or_kept() -> None:
    why = str(other_dimension(Task(id=7, dimension="3d"), COCO, FORMATS))
    described = plan(
        Refuse(1, "", "task1", Reason.NOT_FOUND),
        Skip(7, "scan", "task7", Reason.DIMENSION, why),
        Skip(8, "", "task8", Reason.NO_DATA),
        Keep(9, "", "task9", Reason.UNCHANGED),
    ).to_json()["steps"]
    assert [step.get("detail") for step in described] == [
        "it does not exist, or this user may not see it",
        why,
        "it has no data, so CVAT cannot export it",
        None,
    ]
