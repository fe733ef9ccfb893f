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
