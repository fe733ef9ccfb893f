"""`asynccvat delete`: nothing without --yes, the number, and the plan of a dry run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may change it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=4, frames=1)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def test_a_dry_run_deletes_nothing_and_names_the_next_command(
    shell: Shell, own: SimulatedServer
) -> None:
    ended = shell("delete", "-t", "1,2", "--plan", "old.json")
    assert ended.code == 0
    assert ended.err.endswith(
        "Dry run, nothing was deleted: 2 tasks would go. To delete that, run the same command with "
        "--plan old.json --yes --expect 2.\n"
    )
    assert sorted(own.tasks) == [1, 2, 3, 4]
    assert json.loads(Path("old.json").read_text())["count"] == 2
    own.edit_task(2)
    again = ("delete", "-t", "1,2", "--plan", "old.json", "--yes", "--log", "log.jsonl")
    ended = shell(*again, "--expect", "1")
    assert ended.code == 5
    assert "2 tasks would go, and --expect is 1" in ended.err
    assert sorted(own.tasks) == [1, 2, 3, 4]
    ended = shell(*again, "--expect", "2")
    assert ended.code == 1
    assert "2 tasks (1 deleted, 1 passed over)" in ended.out
    assert ended.err == "warning: task 2: not deleted: it changed since it was listed.\n"
    assert sorted(own.tasks) == [2, 3, 4]
    assert len(Path("log.jsonl").read_text().splitlines()) == 3


def test_what_stays_is_named_with_the_reason(shell: Shell, own: SimulatedServer) -> None:
    own.add_issue(1, "look")
    ended = shell("delete", "-t", "1")
    assert ended.code == 1
    assert "warning: task 1: it has an open issue; --lose-issues" in ended.err
    assert ended.err.endswith("nothing would go.\n")
    plan = shell("delete", "-t", "1", "--lose-issues", "--json").json
    assert plan["count"] == 1
    assert plan["steps"][0]["task_id"] == 1


def test_what_is_gone_already_is_no_failure(shell: Shell, own: SimulatedServer) -> None:
    ended = shell("delete", "-t", "1,99")
    assert ended.code == 0
    assert "warning: task 99: it is not there.\n" in ended.err
    ended = shell("delete", "-t", "1,99", "--yes", "--expect", "1", "--log", "log.jsonl")
    assert ended.code == 0
    assert "2 tasks (1 deleted, 1 skipped)" in ended.out
    assert ended.err == "warning: task 99: it is not there.\n"
    assert 1 not in own.tasks


def test_nothing_deleted_of_what_was_selected_is_no_success(
    shell: Shell, own: SimulatedServer
) -> None:
    own.add_issue(1, "look")
    ended = shell("delete", "-t", "1", "--yes", "--expect", "0", "--log", "log.jsonl")
    assert ended.code == 1
    assert "1 task (1 passed over)" in ended.out
    assert "nothing to do" not in ended.out
    assert "--lose-issues" in ended.err


@pytest.mark.usefixtures("own")
def test_a_project_that_a_limit_or_a_condition_leaves_out_is_not_called_gone(shell: Shell) -> None:
    ended = shell("delete", "--projects", "--project-id", "1,77,80-90", "--json")
    assert [(step["step"], step["project_id"]) for step in ended.json["steps"]] == [
        ("delete", 1),
        ("skip", 77),
    ]
    for narrowed in (("--limit", "1"), ("--name", "other")):
        ended = shell("delete", "--projects", "--project-id", "1,77", *narrowed, "--json")
        assert [step["step"] for step in ended.json["steps"]] in (["delete"], [])


def test_what_holds_for_several_tasks_is_said_of_each(shell: Shell, own: SimulatedServer) -> None:
    for task_id in (1, 2):
        own.add_issue(task_id, "look")
    ended = shell("delete", "-t", "1,2")
    assert "warning: tasks 1, 2: each has an open issue; --lose-issues" in ended.err
