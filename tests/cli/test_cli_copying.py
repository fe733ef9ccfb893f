"""`asynccvat copy` between two simulated servers, as a shell sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Ended, Shell


class Copies:
    """Two servers, and a settings file for each."""

    def __init__(self, shell: Shell, folder: Path, servers: dict[str, SimulatedServer]) -> None:
        self.old, self.new = servers["old"], servers["new"]
        self._shell = shell
        self._sides = []
        for name, server in servers.items():
            path = folder / f"{name}.yaml"
            path.write_text(
                f"url: {server.url}\nusername: {server.username}\npassword: {server.password}\n"
            )
            path.chmod(0o600)
            self._sides.append(path)
        self.state = folder / "state"

    def __call__(self, *arguments: str) -> Ended:
        old, new = self._sides
        sides = ("--from", old, "--to", new, "--state", self.state)
        return self._shell("copy", *sides, *arguments)


@pytest.fixture
def copies(bare_shell: Shell, tmp_path: Path) -> Iterator[Copies]:
    empty = SimulatorOptions(tasks=0, projects=0)
    with serve_in_thread(SimulatorOptions(tasks=3)) as old, serve_in_thread(empty) as new:
        new.world.add_project("project-1", old.world.projects[1].labels)
        yield Copies(bare_shell, tmp_path, {"old": old, "new": new})


def test_a_copy_is_planned_made_and_made_again(copies: Copies) -> None:
    planned = copies("--dry-run")
    assert planned.code == 0
    assert "3 to copy" in planned.err
    assert "backups do not carry owners" in planned.err
    assert not copies.new.world.tasks
    done = copies()
    assert done.code == 0
    assert "3 tasks (3 copied)" in done.out
    assert copies.new.url in done.out
    assert "Compared with the source: 3 tasks, none different." in done.out
    assert "3 unchanged" in copies("--dry-run").err
    assert "nothing to do: 3 tasks (3 unchanged)" in copies().out


def test_a_plan_is_written_as_json(copies: Copies) -> None:
    plan = copies("--dry-run", "--json", "-t", "2").json
    assert plan["counts"] == {"copy": 1}
    assert plan["projects"] == [{"source": 1, "into": 1, "make": None}]


def test_a_removal_needs_its_number(copies: Copies) -> None:
    copies()
    copies.old.delete_task(2)
    refused = copies("--prune", "--dry-run")
    assert refused.code == 5
    guard = (
        "Refused: no copy is removed: 1 copy would go, and --expect is missing. Give --expect 1 if "
        "that is right."
    )
    assert guard in refused.err.splitlines()
    ended = copies("--prune")
    assert ended.code == 5
    assert guard in ended.err.splitlines()
    assert "warning: no copy" not in ended.err
    removed = copies("--prune", "--expect", "1", "--json")
    assert removed.code == 0
    assert removed.json["counts"] == {"kept": 2, "removed": 1}


def test_a_changed_copy_fails_with_code_1(copies: Copies) -> None:
    done = copies("--json").json
    copy = next(task["new_id"] for task in done["tasks"] if task["task_id"] == 1)
    copies.old.edit_task(1)
    copies.new.edit_task(copy)
    refused = copies("-q")
    assert refused.code == 1
    assert (
        f"and so did its copy at the target: its annotations changed (id {copy} at the target). "
        "Look at both; --overwrite replaces the copy."
    ) in refused.err
    planned = copies("--dry-run")
    assert "1 to refuse" in planned.err
    assert f"refuse\t1\tedited\t{copy}\t\tstreet-00001" in planned.out


def test_what_differs_is_a_table(copies: Copies) -> None:
    done = copies("--json").json
    copy = next(task["new_id"] for task in done["tasks"] if task["task_id"] == 1)
    here = copies.old.world.tasks[1].annotations()
    copies.new.edit_task(copy)
    there = copies.new.world.tasks[copy].annotations()
    differing = copies()
    assert differing.code == 1
    assert "Compared with the source: 1 task, 1 different." in differing.out
    assert "task\tcopy\tdiffers in\tsource\ttarget\n" in differing.out
    shapes = f"1\t{copy}\tshapes\t{len(here.shapes)}\t{len(there.shapes)}\n"
    assert shapes in differing.out
    assert ". It was changed: its annotations changed. " in differing.err
    assert "Delete it at the target to have it made again." in differing.err


def test_tasks_that_are_there_already_are_explained_once(copies: Copies, tmp_path: Path) -> None:
    done = copies("--json").json
    copy = next(task["new_id"] for task in done["tasks"] if task["task_id"] == 1)
    copies.state = tmp_path / "elsewhere"
    planned = copies("--dry-run")
    assert f"refuse\t1\texisting at the target\t\t{copy}\tstreet-00001\n" in planned.out
    assert planned.err.count("refused: tasks 1, 2, 3: the target has a task of the same name") == 1
    ended = copies()
    assert (
        f"failed: cannot copy task 1: the target has a task of the same name, subset and frames, "
        f"which is not in this copy's journal (id {copy} at the target). Give the --state of the "
        "copy that made it, or --duplicate to have two."
    ) in ended.err.splitlines()
    assert (
        "  3 tasks (1, 2, 3): cannot copy the task: the target has a task of the same name, subset "
        "and frames, which is not in this copy's journal (id ... at the target). Give the "
        "--state of the copy that made it, or --duplicate to have two."
    ) in ended.out.splitlines()


def test_the_tasks_that_failed_are_copied_again(copies: Copies, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert copies("--report-json", str(report), "--upload-limit", "1K").code == 1
    again = copies("--failed-from", str(report), "--json")
    assert again.json["counts"] == {"copied": 3}
    report.write_text('{"tasks": []}')
    assert "Nothing to do" in copies("--failed-from", str(report)).err


def test_tasks_go_from_the_personal_workspace_into_an_organization(
    copies: Copies, bare_shell: Shell, tmp_path: Path
) -> None:
    copies.old.world.add_organization("acme")
    sides = ("--from", tmp_path / "old.yaml", "--to", tmp_path / "old.yaml")
    organizations = ("--from-org", "", "--to-org", "acme")
    done = bare_shell("copy", *sides, *organizations, "--state", copies.state, "--json")
    assert done.code == 0
    assert done.json["counts"] == {"copied": 3}
    again = bare_shell("copy", *sides, *organizations, "--state", copies.state, "--json")
    assert again.json["counts"] == {"kept": 3}
    unnamed = bare_shell("copy", *sides, "--to-org", "acme")
    assert (unnamed.code, "Name its organization with --from-org" in unnamed.err) == (2, True)


def test_a_file_of_secrets_that_others_can_read_is_told_once(
    copies: Copies, bare_shell: Shell, tmp_path: Path
) -> None:
    (tmp_path / "old.yaml").chmod(0o644)
    assert "others can read this secret" in copies("--dry-run").err
    one_file = ("--from", tmp_path / "old.yaml", "--to", tmp_path / "old.yaml")
    both = bare_shell("copy", *one_file, "--to-org", "acme", "--from-org", "", "--dry-run")
    assert both.err.count("others can read this secret") == 1


def test_a_pasted_address_is_of_the_source(copies: Copies) -> None:
    planned = copies("--dry-run", "--json", "-t", f"{copies.old.url}/tasks/2")
    assert [step["task_id"] for step in planned.json["steps"]] == [2]
    other = copies("--dry-run", "-t", f"{copies.new.url}/tasks/2")
    assert other.code == 2
    assert "the pasted address is of" in other.err


def test_a_step_of_a_run_file_copies(copies: Copies, bare_shell: Shell, tmp_path: Path) -> None:
    steps = tmp_path / "steps.yaml"
    steps.write_text(
        "- task: copy\n"
        "  parameters:\n"
        f"    from: {tmp_path / 'old.yaml'}\n"
        f"    to: {tmp_path / 'new.yaml'}\n"
        f"    state: {copies.state}\n"
    )
    planned = bare_shell("run", steps, "--dry-run")
    assert (planned.code, "3 to copy" in planned.err) == (0, True)
    assert bare_shell("run", steps).code == 0
    assert len(copies.new.world.tasks) == 3
