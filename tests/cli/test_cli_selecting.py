"""Ids come from ranges, files and stdin; projects by their names."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

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
