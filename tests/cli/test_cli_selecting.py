"""Ids come from ranges, files and stdin; projects by their names."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


def listed(shell: Shell, *arguments: str) -> list[int]:
    ended = shell("list-tasks", "--json", *arguments)
    assert (ended.code, ended.err) == (0, "")
    return [task["id"] for task in ended.json]


def test_of_a_range_those_tasks_are_selected_that_exist(shell: Shell, tmp_path: Path) -> None:
    assert listed(shell, "-t", "5-900,2") == [2, 5, 6]
    ended = shell("mirror", "data", "-t", "1-40", "--limit", "2", "--no-fsync")
    assert ended.code == 0
    assert sorted(path.name for path in (tmp_path / "data").glob("task*")) == ["task1", "task2"]
    ended = shell("list-tasks", "-t", "5-900,77", "--jsonl")
    assert ended.code == 1
    assert ended.err.startswith("task 77 does not exist")


def test_ids_and_addresses_come_from_files_and_stdin(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ids.txt").write_text("# for today\n1, 3\n\n5-6\n", encoding="utf-8-sig")
    assert listed(shell, "-t", "@ids.txt", "-t", "2") == [1, 2, 3, 5, 6]
    monkeypatch.setattr("sys.stdin", io.StringIO("4\n5\n"))
    assert listed(shell, "-t", "-") == [4, 5]
    (tmp_path / "ids.txt").write_bytes(b"\xff\xfe")
    ended = shell("list-tasks", "-t", "@ids.txt")
    assert (ended.code, "'ids.txt' is no text" in ended.err) == (2, True)


def test_stdin_of_a_terminal_is_announced(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = io.StringIO("1\n")
    monkeypatch.setattr(typed, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", typed)
    ended = shell("list-tasks", "-t", "-", "--json")
    assert ended.err == "Reading ids from stdin. End with Ctrl-D.\n"
    assert [task["id"] for task in ended.json] == [1]


def test_projects_are_selected_by_name_id_and_address(shell: Shell) -> None:
    assert listed(shell, "--project", "project-2", "--exclude", "*4") == [5, 6]
    assert listed(shell, "--project", "2", "--limit", "1") == [4]
    assert listed(shell, "--project", "project-1", "--project-id", "2") == [1, 2, 3, 4, 5, 6]


def test_the_project_of_the_settings_gives_way_to_a_name(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_PROJECT_ID", "1")
    assert listed(shell) == [1, 2, 3]
    assert listed(shell, "--project", "project-2") == [4, 5, 6]


def test_jobs_and_projects_are_limited(shell: Shell) -> None:
    jobs = shell("list-jobs", "--project", "project-2", "--limit", "2", "--json")
    assert [job["task_id"] for job in jobs.json] == [4, 5]
    projects = shell("list-projects", "--exclude", "*-1", "--jsonl")
    assert [json.loads(line)["name"] for line in projects.out.splitlines()] == ["project-2"]


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_jobs_are_selected_by_patterns_of_the_names_of_their_tasks(shell: Shell, form: str) -> None:
    def tasks(*arguments: str) -> list[int]:
        ended = shell("list-jobs", form, *arguments)
        assert (ended.code, ended.err) == (0, "")
        jobs = ended.json if form == "--json" else map(json.loads, ended.out.splitlines())
        return [job["task_id"] for job in jobs]

    assert tasks("--name", "street-0000?", "--exclude", "*2") == [
        1,
        3,
        4,
        5,
        6,
    ]
    assert tasks("--exclude", "*2", "-t", "1-3") == [1, 3]
    assert tasks("--name", "*5", "--project", "project-2") == [5]
    assert tasks("--name", "street-00002") == [2]


@pytest.mark.parametrize("name", ["stret-00001", "stret*"])
def test_a_name_that_no_task_of_a_job_has_is_told(shell: Shell, name: str) -> None:
    ended = shell("list-jobs", "--name", name, "--json")
    assert (ended.code, ended.json) == (0, [])
    assert ended.err.startswith(f"warning: no task has the name {name!r}.")


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_ids_of_which_nothing_is_listed_are_told(shell: Shell, form: str) -> None:
    ended = shell("list-jobs", "-t", "1,77,80-90", form)
    assert (ended.code, ended.err.count("does not exist")) == (1, 1)
    assert ended.err.startswith("task 77 does not exist")
    ended = shell("list-projects", "--project-id", "1,77,80-90", form)
    assert (ended.code, ended.err.count("does not exist")) == (1, 1)
    assert ended.err.startswith("project 77 does not exist")
    ended = shell("list-projects", "--project-id", "1,2", "--name", "*-1", form)
    assert (ended.code, ended.err) == (0, "")


def test_a_range_of_projects_may_have_gaps(shell: Shell) -> None:
    assert listed(shell, "--project-id", "2-900") == [4, 5, 6]
    assert listed(shell, "--project-id", "2-900", "--project", "project-1") == [1, 2, 3, 4, 5, 6]
    ended = shell("list-tasks", "--project-id", "2-900,77")
    assert (ended.code, "there is no project 77 at" in ended.err) == (2, True)
    for command in ("mirror", "backup"):
        first = shell(command, command, "--project-id", "2-900", "--limit", "1", "--no-fsync")
        assert (first.code, "projects 2-900" in first.err) == (0, True)
        assert shell(command, command, "--no-fsync").code == 0
    ended = shell("mirror", "jobs", "--as", "jobs", "--project-id", "2-900", "--no-fsync")
    assert ended.code == 0


def test_a_sorted_list_is_limited_after_it_was_sorted(shell: Shell) -> None:
    assert listed(shell, "--sort", "-id", "--limit", "2") == [6, 5]
    assert listed(shell, "--limit", "2") == [1, 2]


def test_of_a_range_those_tasks_are_downloaded_that_exist(shell: Shell, tmp_path: Path) -> None:
    ended = shell("download", "-t", "5-40", "-o", "out", "--no-fsync")
    assert ended.code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["task5", "task6"]
    ended = shell("download", "-t", "5-40,77", "-o", "more", "--no-fsync")
    assert (ended.code, "task 77" in ended.err) == (1, True)


def test_a_run_file_is_checked_for_names_limits_and_ranges(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "- {task: mirror, parameters: {dest: data, project: Project-1}}\n"
        "- {task: mirror, parameters: {dest: more, limit: 2, prune: true}}\n"
        "- {task: mirror, parameters: {dest: good, project: [project-1, 2], task_id: 2-900}}\n"
    )
    ended = shell("run", "run.yaml", "--dry-run")
    assert ended.code == 2
    said = ended.err
    assert "no project 'Project-1' at" in said
    assert "'prune: true' contradicts 'limit'" in said
    assert "good" not in said
    (tmp_path / "run.yaml").write_text(
        "- {task: delete, parameters: {task_id: 1-900, yes: true, expect: 6}}\n"
    )
    ended = shell("run", "run.yaml")
    assert (ended.code, "would find others when the file is run again" in ended.err) == (2, True)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may change it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=6, frames=1)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def test_of_a_range_a_run_file_takes_the_tasks_that_exist(
    shell: Shell, own: SimulatedServer
) -> None:
    assert len(own.tasks) == 6
    Path("steps.yaml").write_text(
        "- {task: download, parameters: {task_ids: 4-900, out_dir: raw}}\n"
        "- {task: upload, parameters: {task_ids: 1-900, in_dir: raw, backup_dir: kept}}\n"
        "- {task: mirror, parameters: {dest: data, task_id: '5-900,6', no_fsync: true}}\n"
        "- {task: upload, parameters: {task_ids: 1-900, in_dir: data}}\n"
    )
    steps = shell("run", "steps.yaml", "--dry-run", "--json").json["steps"]
    assert [sorted(one["awaits"]) for one in steps] == [[], ["4", "5", "6"], [], ["5", "6"]]
    ended = shell("run", "steps.yaml")
    assert ended.code == 0, ended.err
    assert [line.split("\t")[2:] for line in ended.out.splitlines()[1:]] == [
        ["3", "0", "0", "0"],
        ["3", "0", "0", "0"],
        ["2", "0", "0", "0"],
        ["2", "0", "0", "0"],
    ]


def test_of_a_range_those_are_uploaded_restored_and_undone_that_are_there(shell: Shell) -> None:
    assert shell("mirror", "data", "-t", "2,4", "--no-fsync").code == 0
    assert shell("backup", "zips", "-t", "2,4", "--no-fsync").code == 0
    for command in (
        ("upload", "-i", "data"),
        ("upload", "--undo", "-i", "data"),
        ("restore", "zips"),
        ("restore", "zips", "--annotations", "--backup-dir", "kept"),
    ):
        ended = shell(*command, "-t", "1-900", "--dry-run", "--json")
        assert ended.code == 0, ended.err
        undo = "--undo" in command
        found = [one.get("task_id", one.get("id")) for one in ended.json["steps"]]
        assert found == ([] if undo else [2, 4])
        ended = shell(*command, "-t", "1-900,3", "--dry-run")
        assert ended.code in (1, 2)
        assert "task 3" in ended.err or "task3" in ended.err
    ended = shell("restore", "zips", "-t", "5-900", "--dry-run")
    assert (ended.code, "no backup of tasks 5-900." in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("backup", "A backup run fetches only what changed"),
        ("copy", "A copy takes only what changed"),
        ("export-to-cloud", "With --record FILE"),
        ("upload", "With --all"),
        ("delete", "--updated-since"),
        ("list-tasks", "--updated-since"),
        ("list-projects", "--updated-since"),
        ("list-jobs", "--updated-since"),
        ("download", "It is an option of 'asynccvat mirror'"),
    ],
)
def test_where_no_last_run_counts_the_way_that_does_is_told(
    shell: Shell, command: str, says: str
) -> None:
    ended = shell(command, "--since-last-run")
    assert ended.code == 2
    assert ended.err.startswith("Error: there is no option --since-last-run here. ")
    assert says in ended.err
