"""`mirror --as`, `export-to-cloud` and `cloud-storages` as a shell sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import Fault, SimulatedServer

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture
def bucket(simulated: SimulatedServer, tmp_path: Path) -> int:
    """A cloud storage of the server; returns its id."""
    folder = tmp_path / "lab"
    folder.mkdir()
    return simulated.add_cloud_storage(folder, "lab bucket").id


def test_projects_are_counted_and_planned_as_projects(shell: Shell) -> None:
    ended = shell("mirror", "data", "--as", "projects")
    assert ended.code == 0, ended.err
    assert "2 projects (2 fetched)" in ended.out
    assert "all projects, CVAT, without images, a folder for each project" in ended.err
    planned = shell("mirror", "data", "--dry-run", "-v")
    assert planned.out.splitlines()[0].split("\t") == [
        "step",
        "project",
        "folder",
        "reason",
        "name",
    ]
    verbose = shell("mirror", "data", "-v")
    assert "project 2 'project-2': kept (unchanged)" in verbose.err


def test_what_failed_of_projects_and_jobs_is_taken_from_a_report(
    shell: Shell, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    for kind, record in (
        ("projects", {"project_id": 2}),
        ("jobs", {"job_id": 3, "task_id": 3}),
    ):
        report.write_text(json.dumps({"tasks": [{**record, "action": "failed"}]}))
        ended = shell("mirror", kind, "--failed-from", report)
        assert ended.code == 0, ended.err
        assert f"1 {kind.removesuffix('s')} (1 fetched)" in ended.out
    refused = shell("upload", "--all", "-i", "jobs", "--failed-from", report)
    assert refused.code == 2
    assert "is about jobs, and this command takes tasks" in refused.err


def test_jobs_in_a_state_go_to_folders_of_their_own(shell: Shell) -> None:
    ended = shell("mirror", "data", "--as", "jobs", "--type", "annotation", "-t", "1,2", "--json")
    assert ended.code == 0, ended.err
    assert [(one["job_id"], one["task_id"]) for one in ended.json["tasks"]] in (
        [(1, 1), (2, 2)],
        [(2, 2), (1, 1)],
    )
    assert Path("data/task1/job1/annotations.xml").is_file()


def test_jobs_are_called_jobs_also_where_there_are_none(shell: Shell) -> None:
    none = shell("mirror", "none", "--as", "jobs", "--type", "consensus_replica")
    assert "0 jobs (nothing to do)" in none.out
    shell("mirror", "data", "--as", "jobs", "--type", "annotation", "-t", "1,2")
    verified = shell("verify", "data")
    assert verified.code == 0
    assert ": 2 jobs, " in verified.out


def test_a_project_without_data_is_explained(shell: Shell, simulated: SimulatedServer) -> None:
    project = simulated.world.add_project("empty")
    try:
        planned = shell("mirror", "data", "--as", "projects", "--dry-run")
        assert planned.code == 0
        assert f"warning: project {project.id}: " in planned.err
    finally:
        simulated.world.delete_project(project.id)


def test_the_server_exports_to_a_bucket(shell: Shell, bucket: int) -> None:
    options = ("--storage", bucket, "--prefix", "may", "--record", "record.jsonl", "-t", "1,2")
    planned = shell("export-to-cloud", *options, "--dry-run")
    assert planned.code == 0
    assert "2 to write" in planned.err
    assert [line.split("\t")[:4] for line in planned.out.splitlines()] == [
        ["step", "task", "key", "reason"],
        ["write", "1", "may/task1.zip", "new"],
        ["write", "2", "may/task2.zip", "new"],
    ]
    ended = shell("export-to-cloud", *options)
    assert ended.code == 0, ended.err
    assert "2 tasks (2 written), " in ended.out
    assert "received" not in ended.out
    assert sorted(path.name for path in Path("lab/may").iterdir()) == ["task1.zip", "task2.zip"]
    again = shell("export-to-cloud", *options, "--json")
    assert again.json["counts"] == {"kept": 2}
    refused = shell("export-to-cloud", "--storage", bucket, "--prefix", "may", "-t", "1")
    assert refused.code == 1
    assert "cannot export task 1 to 'may/task1.zip'" in refused.err
    planned = shell("export-to-cloud", *options[:4], "-t", "1", "--dry-run", "--json")
    assert planned.code == 1
    assert planned.json["steps"][0]["reason"] == "exists"


def test_backups_of_projects_go_to_a_bucket(shell: Shell, bucket: int) -> None:
    ended = shell(
        "export-to-cloud", "--storage", bucket, "--backup", "--as", "projects", "--project-id", 1
    )
    assert ended.code == 0, ended.err
    assert "1 project (1 written)" in ended.out
    assert Path("lab/project1.zip").is_file()


def test_a_storage_whose_state_cannot_be_read_hides_no_other(
    shell: Shell, simulated: SimulatedServer, tmp_path: Path
) -> None:
    broken, whole = (simulated.add_cloud_storage(tmp_path, name).id for name in ("broken", "whole"))
    simulated.faults.add(
        Fault(path=f"/api/cloudstorages/{broken}/status", status=400, body='["no such key"]')
    )
    listed = shell("cloud-storages", "--json")
    assert listed.code == 0
    states = {one["id"]: one["status"] for one in listed.json}
    assert (states[broken], states[whole]) == ("UNKNOWN", "AVAILABLE")
    assert f"cloud storage {broken}" in listed.err
    assert "no such key" in listed.err


def test_cloud_storages_are_listed(shell: Shell, bucket: int) -> None:
    listed = shell("cloud-storages")
    assert listed.code == 0
    last = listed.out.splitlines()[-1].split("\t")
    assert last == [str(bucket), "lab bucket", "AWS_S3_BUCKET", "lab", "AVAILABLE"]
    as_json = shell("cloud-storages", "--json").json
    assert as_json[-1]["status"] == "AVAILABLE"
    lines = shell("cloud-storages", "--jsonl").out.splitlines()
    assert json.loads(lines[-1]) == as_json[-1]
