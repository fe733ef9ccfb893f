"""The commands that ask and print, against the simulated server."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from asynccvat.cli import output
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


def test_tasks_are_listed_one_a_line_for_pipes(shell: Shell) -> None:
    ended = shell("list-tasks")
    header, *rows = ended.out.splitlines()
    assert header.split("\t")[:3] == ["id", "name", "status"]
    assert [row.split("\t")[0] for row in rows] == ["1", "2", "3", "4", "5", "6"]
    assert ended.err == "6 tasks\n"
    assert ended.code == 0


@pytest.mark.parametrize("flags", [("--json",), ("--output", "json")])
def test_tasks_are_listed_as_json_for_programs(shell: Shell, flags: tuple[str, ...]) -> None:
    ended = shell("list-tasks", *flags)
    assert [task["id"] for task in ended.json] == [1, 2, 3, 4, 5, 6]
    assert ended.json[0]["size"] == 2
    assert ended.err == ""


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("-t", "2", "-t", "4,3"), [2, 3, 4]),
        (("--status", "completed"), [3, 6]),
        (("--project-id", "1", "--project-id", "2"), [1, 2, 3, 4, 5, 6]),
        (("--name", "street-00002"), [2]),
        (("--updated-since", "2030-01-01"), []),
        (("--updated-since", "2000-01-01"), [1, 2, 3, 4, 5, 6]),
        (("--filter", '{"==":[{"var":"id"},5]}'), [5]),
    ],
)
def test_a_selection_narrows_the_list(
    shell: Shell, flags: tuple[str, ...], expected: list[int]
) -> None:
    assert [task["id"] for task in shell("list-tasks", "--json", *flags).json] == expected


def test_the_environment_s_project_counts_where_no_task_or_project_is_named(
    shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_project = {
        number: [task.id for task in simulated.dataset.tasks.values() if task.project_id == number]
        for number in (1, 2)
    }
    monkeypatch.setenv("CVAT_PROJECT_ID", "2")
    assert [task["id"] for task in shell("list-tasks", "--json").json] == of_project[2]
    listed = shell("list-tasks", "--json", "--project-id", 1).json
    assert [task["id"] for task in listed] == of_project[1]
    listed = shell("list-tasks", "--json", "-t", of_project[1][0]).json
    assert [task["id"] for task in listed] == of_project[1][:1]


def test_a_task_that_is_not_there_is_told_and_shows_in_the_code(shell: Shell) -> None:
    ended = shell("list-tasks", "-t", "1,99", "--json")
    assert [task["id"] for task in ended.json] == [1]
    assert "task 99" in ended.err
    assert ended.code == 1


def test_a_list_that_never_agrees_with_its_count_is_shown_with_a_warning(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = {"id": 1, "name": "street-00001", "updated_date": "2026-01-05T08:00:31.149677Z"}
    page = json.dumps({"count": 2, "next": None, "previous": None, "results": [task]})
    wrong = Fault(
        path="^/api/tasks", status=200, body=page, times=None, content_type="application/json"
    )
    with serve_in_thread(SimulatorOptions(tasks=1)) as server:
        server.faults.add(wrong)
        monkeypatch.setenv("CVAT_URL", server.url)
        ended = shell("list-tasks")
    assert ended.code == 1
    assert ended.out.splitlines()[1].startswith("1\tstreet-00001")
    assert "some may be missing" in ended.err


def test_projects_are_listed(shell: Shell) -> None:
    ended = shell("list-projects")
    assert [row.split("\t")[0] for row in ended.out.splitlines()] == ["id", "1", "2"]
    assert ended.err == "2 projects\n"
    assert [project["id"] for project in shell("list-projects", "--json").json] == [1, 2]


def test_a_task_is_shown_field_by_field(shell: Shell) -> None:
    ended = shell("task-info", 3, "-t", 4)
    assert "name\tstreet-00003" in ended.out.splitlines()
    assert "owner\tadmin" in ended.out.splitlines()
    assert "id\t4" in ended.out.splitlines()
    assert ended.code == 0
    assert [task["id"] for task in shell("task-info", 3, 4, "--json").json] == [3, 4]


def test_an_unknown_task_does_not_hide_the_others(shell: Shell) -> None:
    ended = shell("task-info", "99,3", "--json")
    assert [task["id"] for task in ended.json] == [3]
    assert "task 99" in ended.err
    assert ended.code == 1


def test_formats_are_listed_with_their_exact_names(shell: Shell) -> None:
    ended = shell("formats")
    assert "CVAT for images 1.1\tZIP\t\t2d" in ended.out.splitlines()
    assert "CVAT 1.1" in ended.err
    names = {item["name"] for item in shell("formats", "--json").json["exporters"]}
    assert {"COCO 1.0", "CVAT for images 1.1"} <= names


def test_a_connection_is_checked(shell: Shell, simulated: SimulatedServer) -> None:
    ended = shell("check-connection")
    assert ended.out == f"{simulated.url}: CVAT 2.54.1, logged in as admin\n"
    assert ended.code == 0
    assert shell("check-connection", "--json").json == {
        "url": simulated.url,
        "version": "2.54.1",
        "user": "admin",
        "user_id": 1,
        "organization": None,
    }


def test_the_organization_is_named_where_one_is_worked_in(
    shell: Shell, simulated: SimulatedServer
) -> None:
    if "lab" not in {item.slug for item in simulated.world.organizations.values()}:
        simulated.add_organization("lab")
    ended = shell("check-connection", "--org", "lab")
    assert ended.out.endswith("logged in as admin in the organization lab\n")
    assert shell("list-tasks", "--org", "lab", "--json").json == []


def test_an_empty_organization_is_the_personal_workspace(shell: Shell) -> None:
    assert shell("check-connection", "--org", "").out.endswith(" in the personal workspace\n")


def test_an_access_token_does_instead_of_a_password(
    nobody: Shell, simulated: SimulatedServer
) -> None:
    token = simulated.create_access_token()
    ended = nobody("check-connection", "--url", simulated.url, "--token", token)
    assert ended.code == 0
    assert token not in ended.out + ended.err


def test_on_a_terminal_lists_are_drawn_as_tables(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = io.StringIO()
    monkeypatch.setattr(
        output,
        "results",
        lambda: Console(file=drawn, force_terminal=True, width=160, markup=False, highlight=False),
    )
    shell("list-tasks", "-t", 3)
    assert "street-00003" in drawn.getvalue()
    assert "┃" in drawn.getvalue()
