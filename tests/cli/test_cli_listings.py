"""The commands that query the server and print the answer, against the simulated server."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
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


@pytest.mark.parametrize("flags", [("--json",), ("--output", "json"), ("--json", "--output=json")])
def test_tasks_are_listed_as_json_for_programs(shell: Shell, flags: tuple[str, ...]) -> None:
    ended = shell("list-tasks", *flags)
    assert [task["id"] for task in ended.json] == [1, 2, 3, 4, 5, 6]
    assert ended.json[0]["size"] == 2
    assert ended.err == ""


@pytest.mark.parametrize("flags", [("--jsonl",), ("--output", "jsonl")])
@pytest.mark.parametrize("command", ["list-tasks", "list-projects", "list-jobs"])
def test_json_lines_hold_the_same_objects_as_the_document(
    shell: Shell, command: str, flags: tuple[str, ...]
) -> None:
    ended = shell(command, *flags)
    assert [json.loads(line) for line in ended.out.splitlines()] == shell(command, "--json").json
    assert ended.out
    assert (ended.code, ended.err) == (0, "")


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
        (("--owner", "admin", "-t", "3"), [3]),
        (("--owner", "nobody"), []),
        (("--assignee", "nobody"), []),
    ],
)
def test_a_selection_narrows_the_list(
    shell: Shell, flags: tuple[str, ...], expected: list[int]
) -> None:
    assert [task["id"] for task in shell("list-tasks", "--json", *flags).json] == expected
    lines = shell("list-tasks", "--jsonl", *flags).out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), [1, 2, 3, 4, 5, 6]),
        (("-t", "2,4"), [2, 4]),
        (("--stage", "acceptance", "--state", "completed"), [3, 6]),
        (("--name", "street-00002"), [2]),
        (("--type", "consensus_replica"), []),
        (("--assignee", "nobody"), []),
        (("--updated-since", "2030-01-01"), []),
        (("--filter", '{"==":[{"var":"task_id"},5]}'), [5]),
        (("--project-id", "1", "--project-id", "2", "-t", "1"), [1]),
    ],
)
def test_jobs_are_narrowed_by_what_the_server_filters_them_by(
    shell: Shell, flags: tuple[str, ...], expected: list[int]
) -> None:
    assert [job["id"] for job in shell("list-jobs", "--json", *flags).json] == expected


def test_jobs_are_listed_one_a_line_for_pipes(shell: Shell) -> None:
    ended = shell("list-jobs", "-t", 3)
    header, row = ended.out.splitlines()
    assert header.split("\t")[:5] == ["id", "task", "project", "stage", "state"]
    assert row.split("\t")[:2] == ["3", "3"]
    assert row.split("\t")[3:7] == ["acceptance", "completed", "annotation", "2"]
    assert ended.err == "1 job\n"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--project-id", "2-99"), [2]),
        (("--project", "project-2"), [2]),
        (("--project", "project-1", "--project", "2"), [1, 2]),
        (("--status", "annotation"), [1, 2]),
        (("--name", "project-2"), [2]),
        (("--owner", "nobody"), []),
        (("--assignee", "nobody"), []),
        (("--updated-since", "2000-01-01", "--owner", "admin"), [1, 2]),
        (("--filter", '{"==":[{"var":"id"},1]}'), [1]),
    ],
)
def test_projects_are_narrowed_by_what_the_server_filters_them_by(
    shell: Shell, flags: tuple[str, ...], expected: list[int]
) -> None:
    assert [item["id"] for item in shell("list-projects", "--json", *flags).json] == expected


def test_the_environment_s_project_is_the_default_selection(
    shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_project = {
        number: [task.id for task in simulated.tasks.values() if task.project_id == number]
        for number in (1, 2)
    }
    monkeypatch.setenv("CVAT_PROJECT_ID", "2")
    assert [task["id"] for task in shell("list-tasks", "--json").json] == of_project[2]
    listed = shell("list-tasks", "--json", "--project-id", 1).json
    assert [task["id"] for task in listed] == of_project[1]
    listed = shell("list-tasks", "--json", "-t", of_project[1][0]).json
    assert [task["id"] for task in listed] == of_project[1][:1]
    assert [job["id"] for job in shell("list-jobs", "--json").json] == of_project[2]
    assert [item["id"] for item in shell("list-projects", "--json").json] == [1, 2]


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_an_unknown_task_is_reported_and_sets_the_exit_code(shell: Shell, form: str) -> None:
    ended = shell("list-tasks", "-t", "1,99", form)
    assert "street-00001" in ended.out
    assert "task 99 does not exist" in ended.err
    assert ended.code == 1
    narrowed = shell("list-tasks", "-t", "1,99", "--status", "completed", form)
    assert (narrowed.code, narrowed.err) == (0, "")


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
    assert "some tasks may be missing" in ended.err


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
    assert [task["id"] for task in shell("task-info", 4, 3, "--json").json] == [4, 3]
    lines = shell("task-info", "--jsonl", "4,3").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [4, 3]


def test_no_field_of_a_task_is_left_out(shell: Shell, simulated: SimulatedServer) -> None:
    (task,) = shell("task-info", 3, "--json").json
    shown = {line.partition("\t")[0] for line in shell("task-info", 3).out.splitlines()[1:]}
    assert shown == task.keys()
    # What CVAT 2.54 was recorded to send; newer versions send more.
    assert len(task) >= 32
    assert {"jobs", "labels", "source_storage", "target_storage", "data_chunk_size"} <= shown
    assert "url\t" + f"{simulated.url}/api/tasks/3" in shell("task-info", 3).out.splitlines()


def test_everything_of_a_task_is_shown_if_it_is_asked_for(
    shell: Shell, simulated: SimulatedServer
) -> None:
    lines = [line.split("\t") for line in shell("task-info", 3, "--all").out.splitlines()]
    fields = {line[0]: line[1] for line in lines if len(line) == 2}
    assert fields["page"] == f"{simulated.url}/tasks/3"
    assert fields["project"] in ("project-1", "project-2")
    assert "shape" in fields["annotations"]
    jobs = lines[lines.index(["job", *lines_of_jobs()]) + 1]
    assert jobs[:5] == ["3", "acceptance", "completed", "annotation", "0-1"]
    assert ["label", "type", "color", "attributes"] in lines
    (task,) = shell("task-info", 3, "--all", "--json").json
    plain = shell("task-info", 3, "--json").json[0]
    details = task.pop("details")
    assert task == plain
    assert [job["id"] for job in details["jobs"]] == [3]
    assert details["labels"][0]["name"] == "car"
    assert details["media"]["size"] == 2
    assert details["annotations"]["shapes"] > 0


def lines_of_jobs() -> list[str]:
    return ["stage", "state", "type", "frames", "assignee", "issues"]


def test_an_unknown_task_hides_no_details_of_the_others(shell: Shell) -> None:
    ended = shell("task-info", "99,3", "--all", "--json")
    assert [task["id"] for task in ended.json] == [3]
    assert "task 99" in ended.err
    assert ended.code == 1


def test_many_tasks_cost_one_list(shell: Shell, simulated: SimulatedServer) -> None:
    before = len(simulated.calls)
    assert shell("task-info", "1,2,3,4,5,6", "--json").code == 0
    asked = [call.path for call in simulated.calls[before:]]
    assert asked == ["/api/auth/login", "/api/tasks"]


def test_an_unknown_task_does_not_hide_the_others(shell: Shell) -> None:
    ended = shell("task-info", "99,3", "--json")
    assert [task["id"] for task in ended.json] == [3]
    assert "task 99" in ended.err
    assert ended.code == 1


def test_formats_are_listed_with_their_exact_names_and_directions(
    shell: Shell,
) -> None:
    rows = shell("formats").out.splitlines()
    assert rows[0] == "format\texport\timport\tdimension"
    assert "CVAT for images 1.1\tZIP\t\t2d" in rows
    assert "CVAT 1.1\t\tXML, ZIP\t2d" in rows
    assert "COCO 1.0\tZIP\tJSON, ZIP\t2d" in rows
    known = shell("formats", "--json").json
    assert {"COCO 1.0", "CVAT for images 1.1"} <= {item["name"] for item in known["exporters"]}
    lines = [json.loads(line) for line in shell("formats", "--jsonl").out.splitlines()]
    assert [line["name"] for line in lines if line["direction"] == "import"] == [
        item["name"] for item in known["importers"]
    ]
    assert len(lines) == len(known["exporters"]) + len(known["importers"])


def test_formats_are_sorted_and_limited_in_every_form(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_in_thread(SimulatorOptions(tasks=1)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        whole = shell("formats", "--csv", "--columns", "format").out.splitlines()[1:]
        as_csv, as_json, as_jsonl = (
            shell("formats", "--sort", "-format", "--limit", 2, form)
            for form in ("--csv", "--json", "--jsonl")
        )
    assert len(whole) > 2
    first = sorted(whole, key=str.casefold, reverse=True)[:2]
    assert [line.split(",")[0] for line in as_csv.out.splitlines()[1:]] == first
    of_each = as_json.json
    assert {item["name"] for item in of_each["exporters"] + of_each["importers"]} == set(first)
    assert {json.loads(line)["name"] for line in as_jsonl.out.splitlines()} == set(first)


def test_a_format_that_is_switched_off_says_so(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(
        {"exporters": [{"name": "A", "ext": "ZIP", "enabled": False}], "importers": []}
    )
    fault = Fault(path="/formats$", status=200, body=body, content_type="application/json")
    with serve_in_thread(SimulatorOptions(tasks=1)) as server:
        server.faults.add(fault)
        monkeypatch.setenv("CVAT_URL", server.url)
        assert shell("formats").out.splitlines()[1] == "A\tZIP (disabled)\t\t"


def test_a_connection_is_checked(shell: Shell, simulated: SimulatedServer) -> None:
    ended = shell("check-connection")
    assert ended.out == f"{simulated.url}: CVAT 2.54.1, logged in as admin\n"
    assert ended.code == 0
    assert ended.err.splitlines() == [
        f"url {simulated.url}: from the environment's CVAT_URL",
        "username admin: from the environment's CVAT_USERNAME",
        "password: from the environment's CVAT_PASSWORD",
    ]
    assert shell("check-connection", "--json").json == {
        "url": simulated.url,
        "version": "2.54.1",
        "user": "admin",
        "user_id": 1,
        "organization": None,
        "token": None,
        "read_only": None,
        "proxy": None,
        "settings": {
            "url": "the environment's CVAT_URL",
            "username": "the environment's CVAT_USERNAME",
            "password": "the environment's CVAT_PASSWORD",
        },
    }


def test_a_connection_that_fails_tells_where_the_settings_come_from(
    bare_shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "server.yaml").write_text("url: http://127.0.0.1:1\norganization: lab\n")
    ended = bare_shell("check-connection", "-c", "server.yaml", "--token", "t" * 40)
    assert ended.code == 4
    assert ended.err.splitlines()[:3] == [
        "url http://127.0.0.1:1: from server.yaml, line 1",
        "token: from --token",
        "organization lab: from server.yaml, line 2",
    ]


def test_check_connection_names_the_organization(shell: Shell, simulated: SimulatedServer) -> None:
    if "lab" not in {item.slug for item in simulated.world.organizations.values()}:
        simulated.add_organization("lab")
    ended = shell("check-connection", "--org", "lab")
    assert ended.out.endswith("logged in as admin in the organization lab\n")
    assert shell("list-tasks", "--org", "lab", "--json").json == []


def test_an_empty_organization_is_the_personal_workspace(shell: Shell) -> None:
    assert shell("check-connection", "--org", "").out.endswith(" in the personal workspace\n")


def test_an_access_token_replaces_user_and_password(
    bare_shell: Shell, simulated: SimulatedServer
) -> None:
    token = simulated.create_access_token()
    ended = bare_shell("check-connection", "--url", simulated.url, "--token", token)
    assert ended.code == 0
    assert token not in ended.out + ended.err


def terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> io.StringIO:
    """What is drawn on a terminal from now on."""
    drawn = io.StringIO()
    monkeypatch.setattr(
        output,
        "results",
        lambda: Console(
            file=drawn, force_terminal=True, width=width, markup=False, highlight=False
        ),
    )
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    return drawn


def test_on_a_terminal_lists_are_tables_without_empty_columns(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = terminal(monkeypatch, 160)
    assert shell("list-tasks", "-t", 3).err == "1 task\n"
    titles, rule, row = drawn.getvalue().splitlines()
    assert "frames" in titles
    assert "assignee" not in titles
    assert set(rule.strip()) == {"─"}
    assert row.split()[:3] == ["3", "street-00003", "completed"]


@given(
    width=st.integers(30, 120),
    rows=st.lists(
        st.tuples(
            st.integers(1, 10**9),
            st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=60),
            st.sampled_from(["annotation", "validation", "completed"]),
        ),
        max_size=4,
    ),
)
def test_a_table_fits_its_terminal_and_loses_nothing(
    width: int, rows: list[tuple[int, str, str]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        drawn = terminal(patch, width)
        output.table(("id", "name", "status"), rows, numbers=("id",), wraps=("name",))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", drawn.getvalue()).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    shown = Counter("".join(lines[2:]))
    for row in rows:
        for cell in row:
            shown.subtract(str(cell))
    assert not {letter: count for letter, count in shown.items() if count and letter != " "}


def test_a_reader_that_leaves_a_long_list_ends_it_silently() -> None:
    # Far more than a pipe's buffer holds: each job has some hundreds of bytes.
    with serve_in_thread(SimulatorOptions(tasks=500, frames=1)) as server:
        account = ("-u", server.username, "-p", server.password)
        command = (sys.executable, "-m", "asynccvat", "list-jobs", "--jsonl")
        listing = subprocess.Popen(
            [*command, "--url", server.url, *account],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert listing.stdout is not None
        assert listing.stderr is not None
        with listing.stdout, listing.stderr:
            assert json.loads(listing.stdout.readline())["id"] == 1
            listing.stdout.close()
            assert listing.stderr.read() == b""
        listing.wait(timeout=60)


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (("-t", "{url}/tasks/2"), [2]),
        (("-t", "{url}/tasks/2/jobs/9?frame=1", "-t", "3,4"), [2, 3, 4]),
        (("--project-id", "{url}/projects/2?page=1"), [4, 5, 6]),
        (("--url", "{url}/tasks/2/"), [2]),
        (("--url", "{url}/projects/2?page=1"), [4, 5, 6]),
        (("--url", "{url}/projects/2", "-t", "1"), [1]),
        (("--url", "{url}/tasks?page=1"), [1, 2, 3, 4, 5, 6]),
        (("--url", "{host}"), [1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_pasted_address_selects_what_it_shows(
    shell: Shell, simulated: SimulatedServer, arguments: tuple[str, ...], ids: list[int]
) -> None:
    values = {"url": simulated.url, "host": simulated.url.removeprefix("http://")}
    ended = shell("list-tasks", "--json", *(text.format(**values) for text in arguments))
    assert [task["id"] for task in ended.json] == ids
    only = "Only task 2 is selected, which the server's address names.\n"
    assert ended.err == (only if ids == [2] and "--url" in arguments else "")


def test_the_project_of_the_address_and_another_one_contradict_each_other(
    shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CVAT_PROJECT_ID", "1")
    ended = shell("list-tasks", "--url", f"{simulated.url}/projects/2")
    assert ended.code == 2
    assert ended.err == (
        "Error: the environment's CVAT_PROJECT_ID names project 1, and the address of --url "
        "project 2. Remove one of them.\n"
    )
    assert len(shell("list-tasks", "--url", f"{simulated.url}/projects/1", "--json").json) == 3
