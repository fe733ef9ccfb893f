"""What the server is asked to make: exports and backups of tasks, projects and jobs."""

from __future__ import annotations

import msgspec
import pytest
from destinations import receipt_of

from asynccvat.core.models import Job, Task, TaskListing
from asynccvat.core.plans.cloud import CloudRecord, folder_of, plan_writes, read_records
from asynccvat.core.plans.targets import JobAsTask, folder_name, job_as_task
from asynccvat.core.requests import Operation
from asynccvat.core.specs import BackupSpec, BucketKey, ExportSpec
from asynccvat.core.targets import TargetKind
from asynccvat.errors import AsyncCvatError, ConfigError


def test_a_backup_is_whole_unless_it_is_asked_to_be_light() -> None:
    assert BackupSpec().query == {"location": "local", "lightweight": "false"}
    assert BackupSpec(lightweight=True).query["lightweight"] == "true"
    assert BackupSpec().operation_type == "export:backup"
    assert BackupSpec().for_mode("interpolation") == BackupSpec()


def test_jobs_have_no_backups_and_only_bools_are_light() -> None:
    with pytest.raises(ConfigError, match="cannot back up single jobs"):
        BackupSpec(target=TargetKind.JOB)
    with pytest.raises(ConfigError, match="lightweight must be"):
        BackupSpec(lightweight="no")  # type: ignore[arg-type]


@pytest.mark.parametrize("made", [ExportSpec, BackupSpec])
def test_a_target_is_one_of_three_words(made: type) -> None:
    assert made(target="project").target is TargetKind.PROJECT
    with pytest.raises(ConfigError, match="target must be task, project, job"):
        made(target="tasks")


def test_frames_are_wanted_or_not() -> None:
    with pytest.raises(ConfigError, match="frames must be True or False"):
        ExportSpec("CVAT JSON", frames="no")  # type: ignore[arg-type]  # what is tested
    assert ExportSpec("CVAT JSON").is_json
    assert not ExportSpec("CVAT").is_json


def test_a_flavour_keeps_the_target() -> None:
    spec = ExportSpec(target=TargetKind.JOB)
    assert spec.for_mode("interpolation").target is TargetKind.JOB
    assert ExportSpec(images=True).operation_type == "export:dataset"
    assert ExportSpec().operation_type == "export:annotations"


def test_the_request_of_a_job_is_that_of_no_task() -> None:
    operation = Operation(target="job", task_id=147, job_id=355)
    assert [operation.id_of(kind) for kind in TargetKind] == [147, None, 355]


def test_a_bucket_takes_the_place_of_a_download() -> None:
    query = ExportSpec().query | BucketKey(3, "a/task1.zip").query
    assert (query["location"], query["filename"]) == ("cloud_storage", "a/task1.zip")


def test_an_error_of_a_run_over_projects_names_the_project() -> None:
    error = AsyncCvatError("task 5: no room for task 5 and task 55", task_id=5)
    error.concern("project")
    assert str(error) == "project 5: no room for project 5 and task 55"
    assert error.target == "project"
    error.concern("task")
    assert error.target == "task"


@pytest.mark.parametrize(
    ("folder", "task_id"), [("task147/job355", 147), ("task147", None), ("x/job1", None)]
)
def test_the_folder_of_a_job_tells_its_task(folder: str, task_id: int | None) -> None:
    head = receipt_of(355, (), folder=folder, target=TargetKind.JOB).head
    assert head.task_of_job == task_id
    assert msgspec.structs.replace(head, of_task=9).task_of_job == 9
    assert msgspec.structs.replace(head, target=TargetKind.TASK).task_of_job is None


def test_a_job_whose_task_cannot_be_seen_is_listed_by_what_it_says_itself() -> None:
    job = Job(id=355, task_id=147, updated_date="2026", frame_count=7)
    listed = job_as_task(job, None)
    assert isinstance(listed, JobAsTask)
    assert (listed.size, listed.name) == (7, "")
    assert folder_name(TargetKind.JOB, "task", listed) == "task147/job355"
    changed = job_as_task(job, Task(id=147, updated_date="2027"))
    assert changed.updated_date != listed.updated_date


def test_records_of_other_storages_and_broken_lines_count_for_nothing() -> None:
    task = Task(id=1, updated_date="u", size=1)
    record = CloudRecord(
        storage=2,
        key="a/task1.zip",
        target=TargetKind.TASK,
        id=1,
        what="CVAT for images 1.1, without images",
        state="u",
        written_at="now",
    )
    lines = [
        {"key": 1},
        "x",
        {**{name: getattr(record, name) for name in record.__struct_fields__}},
    ]
    assert read_records(lines, 3) == {}
    known = read_records(lines, 2)
    assert known == {"a/task1.zip": record}
    for storage_id, step in ((2, "keep"), (3, "refuse")):
        (planned,) = plan_writes(
            TaskListing((task,)),
            ExportSpec(),
            storage_id=storage_id,
            folder=folder_of("/a/"),
            existing={"task1.zip"},
            records=known,
            overwrite=False,
        )
        assert planned.step == step
