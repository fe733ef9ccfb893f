"""What a backup says of its tasks is read, and compared with what a server made of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from asynccvat.core.backups.contents import (
    KindCounts,
    TaskContents,
    kind_of,
    of_task,
    read_project,
    read_task,
    task_folders,
)
from asynccvat.core.backups.labels import BackupAttribute, BackupLabel, label_problems
from asynccvat.core.models import Job
from asynccvat.core.plans.restored import RestoredTask, differences, project_differences
from asynccvat.core.targets import TargetKind
from asynccvat.errors import BackupFileError


def task_json(**more: Any) -> bytes:
    jobs = [{"type": "annotation", "start_frame": 0, "stop_frame": 4}]
    return json.dumps({"name": "street", "version": "1.0", "jobs": jobs, **more}).encode()


def annotations_json(*jobs: tuple[int, int, int]) -> bytes:
    return json.dumps(
        [
            {"version": 0, "tags": [{}] * tags, "shapes": [{}] * shapes, "tracks": [{}] * tracks}
            for tags, shapes, tracks in jobs
        ]
    ).encode()


def test_a_task_tells_its_frames_and_annotations() -> None:
    task = read_task(task_json(), annotations_json((1, 2, 3)), where="x")
    assert (task.name, task.frames, task.total) == ("street", 5, KindCounts(1, 2, 3))
    assert task.total.total == 6
    assert str(task.total) == "1 tags, 2 shapes and 3 tracks"
    assert of_task(task).annotations == KindCounts(1, 2, 3)
    assert of_task(task).kind is TargetKind.TASK


def test_a_task_without_jobs_or_annotations_tells_nothing_of_them() -> None:
    task = read_task(task_json(jobs=[]), None, where="x")
    assert (task.frames, task.total, task.counts) == (None, KindCounts(), ())


def test_a_project_has_the_tasks_of_its_folders() -> None:
    names = ["project.json", "task_10/task.json", "task_2/data/a.jpg", "other/task.json"]
    assert kind_of(names) is TargetKind.PROJECT
    assert task_folders(names) == ("task_2/", "task_10/")
    task = read_task(task_json(), annotations_json((0, 2, 0)), where="x")
    project = read_project(b'{"name": "town", "version": "1.0"}', (task, task), where="x")
    assert (project.name, project.annotations) == ("town", KindCounts(0, 4, 0))


def test_other_archives_are_backups_of_nothing() -> None:
    assert kind_of(["annotations.xml"]) is None
    assert kind_of(["task.json", "annotations.json"]) is TargetKind.TASK


@pytest.mark.parametrize("version", ["2.0", None, 1.0])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(BackupFileError, match="it is a backup of version"):
        read_task(task_json(version=version), None, where="'x'")
    with pytest.raises(BackupFileError, match="it is a backup of version '9'"):
        read_project(b'{"version": "9"}', (), where="'x'")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"labels": 5}', b"\xff"])
def test_what_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(BackupFileError, match="cannot be read"):
        read_task(content, None, where="'x'")
    with pytest.raises(BackupFileError, match="cannot be read"):
        read_task(task_json(), content + b"{", where="'x'")
    with pytest.raises(BackupFileError, match="cannot be read"):
        read_project(content + b"{", (), where="'x'")


def jobs(*spans: tuple[int, int], type_: str = "annotation") -> list[dict[str, Any]]:
    return [{"type": type_, "start_frame": first, "stop_frame": last} for first, last in spans]


@pytest.mark.parametrize(
    ("given", "adds_up"),
    [
        (jobs((0, 4)), True),
        (jobs((5, 9), (0, 4)), True),
        (jobs((0, 5), (5, 9)), False),
        (jobs((0, 4), type_="ground_truth"), False),
    ],
)
def test_annotations_of_jobs_add_up_where_each_has_its_own_frames(
    given: list[dict[str, Any]], adds_up: bool
) -> None:
    assert read_task(task_json(jobs=given), None, where="x").adds_up is adds_up


@pytest.mark.parametrize("name", ["task4", "task339", "task341"])
def test_backups_of_a_real_server_are_read(shared: Path, name: str) -> None:
    with zipfile.ZipFile(shared / f"contract/exports-2.64/backup_{name}.zip") as archive:
        task = read_task(archive.read("task.json"), archive.read("annotations.json"), where=name)
    assert task.labels
    assert task.frames is not None
    assert task.total.total > 0
    assert label_problems(task.labels, task.labels) == ()


# --- labels -------------------------------------------------------------------------------------

COLOR = BackupAttribute(name="color", input_type="select", values=("red", "green"))
CAR = BackupLabel(name="car", attributes=(COLOR,))
BODY = BackupLabel(
    name="body", type="skeleton", sublabels=(BackupLabel(name="head", type="points"),)
)


@pytest.mark.parametrize(
    ("wanted", "there", "said"),
    [
        ([CAR], [CAR, BODY], ()),
        ([CAR], [], ("it has no label 'car'",)),
        (
            [BackupLabel(name="car", type="rectangle")],
            [BackupLabel(name="car", type="polygon")],
            ("its label 'car' is for polygon, not for rectangle",),
        ),
        ([BackupLabel(name="car", type="rectangle")], [BackupLabel(name="car")], ()),
        ([CAR], [BackupLabel(name="car")], ("its label 'car' has no attribute 'color'",)),
        (
            [CAR],
            [
                BackupLabel(
                    name="car",
                    attributes=(
                        BackupAttribute(name="color", input_type="select", values=("red",)),
                    ),
                )
            ],
            ("the attribute 'color' of its label 'car' has another type or other values",),
        ),
        (
            [BODY],
            [BackupLabel(name="body", type="skeleton")],
            ("its skeleton 'body': has no label 'head'",),
        ),
    ],
)
def test_a_project_has_to_have_the_labels(
    wanted: list[BackupLabel], there: list[BackupLabel], said: tuple[str, ...]
) -> None:
    assert label_problems(wanted, there) == said


# --- what was made ------------------------------------------------------------------------------


def contents(name: str = "a", shapes: int = 2) -> TaskContents:
    return read_task(task_json(name=name), annotations_json((0, shapes, 0)), where="x")


def made(task_id: int, name: str = "a", shapes: int = 2, frames: int | None = 5) -> RestoredTask:
    return RestoredTask(task_id, name, frames, (Job(id=1),), KindCounts(0, shapes, 0))


def test_a_task_that_is_like_its_backup_has_no_differences() -> None:
    assert differences(contents(), made(1)) == ()
    assert (
        project_differences(
            read_project(b'{"version": "1.0"}', (contents(), contents("b")), where="x"),
            [made(1, "b"), made(2)],
        )
        == ()
    )


def test_each_difference_is_told_with_its_numbers() -> None:
    found = RestoredTask(1, "a", None, (), KindCounts(1, 1, 0))
    assert differences(contents(), found) == (
        "0 of 5 frames",
        "0 of 1 jobs",
        "1 of 0 tags",
        "1 of 2 shapes",
    )


def test_tasks_of_a_project_are_told_by_name_and_then_by_content() -> None:
    tasks = (contents("a", 1), contents("a", 2), contents("b"))
    project = read_project(b'{"version": "1.0"}', tasks, where="x")
    assert project_differences(project, [made(1)]) == ("1 of 3 tasks",)
    found = [made(1, "a", 2), made(2, "a", 1), made(3, "c")]
    assert project_differences(project, found) == ("no task 'b'",)
    found = [made(1, "a", 2), made(2, "a", 4), made(3, "b")]
    assert project_differences(project, found) == ("in task 2 4 of 1 shapes",)
