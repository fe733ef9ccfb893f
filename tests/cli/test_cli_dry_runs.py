"""Dry runs: they hide what is unchanged, and have the exit code that the run would have."""

from __future__ import annotations

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


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()[1:]]


def test_unchanged_tasks_are_counted_and_listed_with_v(shell: Shell, own: SimulatedServer) -> None:
    assert shell("mirror", "data", "--no-fsync").code == 0
    own.edit_task(2)
    ended = shell("mirror", "data", "--dry-run")
    assert [row[:2] for row in rows(ended.out)] == [["fetch", "2"]]
    assert ended.err.endswith(
        "Dry run, nothing was changed: 1 to fetch, 3 unchanged (-v lists them).\n"
    )
    ended = shell("mirror", "data", "--dry-run", "-v")
    assert [row[:2] for row in rows(ended.out)] == [
        ["keep", "1"],
        ["fetch", "2"],
        ["keep", "3"],
        ["keep", "4"],
    ]
    assert ended.err.endswith("Dry run, nothing was changed: 1 to fetch, 3 unchanged.\n")
    # JSON has everything.
    assert len(shell("mirror", "data", "--dry-run", "--json").json["steps"]) == 4


def test_so_are_those_of_uploads_and_run_files(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    assert shell("mirror", "data", "--no-fsync").code == 0
    path = tmp_path / "data/task3/annotations.xml"
    path.write_text(path.read_text().replace('occluded="0"', 'occluded="1"'))
    ended = shell("upload", "-i", "data", "--all", "--dry-run")
    assert [row[:2] for row in rows(ended.out)] == [["upload", "3"]]
    assert "1 to upload, 3 unchanged (-v lists them)" in ended.err
    Path("steps.yaml").write_text("- {task: mirror, parameters: {dest: data}}\n")
    ended = shell("run", "steps.yaml", "--dry-run")
    # The edited folder is no news for the server, but for the user.
    assert rows(ended.out) == [["1", "mirror", "keep", "3", "data/task3", "edited"]]
    assert "1 to keep, 3 unchanged (-v lists them)" in ended.err
    assert "warning: task 3: unchanged on the server, but edited here" in ended.err
    assert len(rows(shell("run", "steps.yaml", "--dry-run", "-v").out)) == 4
    assert len(own.tasks) == 4


MISTAKES = {
    "not found": ("-t", "1,99"),
    "another dimension": ("-t", "2", "-f", "COCO 1.0"),
    "foreign folder": ("-t", "3"),
}


@pytest.mark.parametrize("options", MISTAKES.values(), ids=MISTAKES)
def test_a_dry_run_has_the_exit_code_of_the_run(
    shell: Shell, own: SimulatedServer, tmp_path: Path, options: tuple[str, ...]
) -> None:
    own.change_task(2, dimension="3d")
    (tmp_path / "data/task3").mkdir(parents=True)
    (tmp_path / "data/task3/mine.txt").write_text("mine")
    planned = shell("mirror", "data", *options, "--dry-run")
    refused = [line for line in planned.err.splitlines() if line.startswith("refused: task ")]
    assert len(refused) == 1
    assert (planned.code, shell("mirror", "data", *options, "--no-fsync").code) == (1, 1)


def test_a_folder_that_would_move_is_shown_with_its_old_name(
    shell: Shell, own: SimulatedServer
) -> None:
    assert sorted(own.tasks) == [1, 2, 3, 4]
    assert shell("mirror", "data", "-t", "1-3", "--no-fsync").code == 0
    planned = shell("mirror", "data", "--layout", "t{id}", "--change", "--dry-run")
    assert planned.out.splitlines()[0].split("\t") == [
        *("step", "task", "folder", "reason", "name", "before")
    ]
    moves = [(row[0], row[2], row[5]) for row in rows(planned.out)]
    assert moves == [
        *(("move", f"t{number}", f"task{number}") for number in (1, 2, 3)),
        ("fetch", "t4", ""),
    ]


def test_a_refusal_comes_before_a_guard(shell: Shell, own: SimulatedServer) -> None:
    assert shell("mirror", "data", "--no-fsync").code == 0
    for task_id in (2, 3, 4):
        own.delete_task(task_id)
    guarded = ("mirror", "data", "--prune")
    assert (shell(*guarded, "--dry-run").code, shell(*guarded).code) == (5, 5)
    step = "- {task: mirror, parameters: {dest: data, prune: true}}\n"
    Path("steps.yaml").write_text(step)
    assert (shell("run", "steps.yaml", "--dry-run").code, shell("run", "steps.yaml").code) == (5, 5)
    # A task that fails counts for more than removals that are not carried out.
    refused = (*guarded, "-t", "1,99")
    assert (shell(*refused, "--dry-run").code, shell(*refused).code) == (1, 1)


def test_a_run_file_names_the_folder_of_each_task(shell: Shell, own: SimulatedServer) -> None:
    Path("steps.yaml").write_text(
        "- {task: mirror, parameters: {dest: a, task_id: 1, folder_prefix: t_}}\n"
        "- {task: upload, parameters: {in_dir: a, task_ids: [1]}}\n"
        "- {task: mirror, parameters: {dest: b, task_id: 1}}\n"
    )
    expected = ["a/t_1", "a/t_1", "b/task1"]
    assert [row[4] for row in rows(shell("run", "steps.yaml", "--dry-run").out)] == expected
    assert shell("mirror", "a", "-t", "1", "--folder-prefix", "x_", "--no-fsync").code == 0
    # What the destination remembers counts, as in the run.
    Path("steps.yaml").write_text(
        "- {task: mirror, parameters: {dest: a, task_id: 1, force: true}}\n"
        "- {task: upload, parameters: {in_dir: a, task_ids: [1]}}\n"
    )
    found = [row[4] for row in rows(shell("run", "steps.yaml", "--dry-run").out)]
    assert found == ["a/x_1", "a/x_1"]
    assert len(own.tasks) == 4


def test_a_plan_without_a_step_to_show_has_no_head(shell: Shell) -> None:
    assert shell("mirror", "data", "--no-fsync").code == 0
    Path("steps.yaml").write_text("- {task: mirror, parameters: {dest: data}}\n")
    for command in (
        ["mirror", "data"],
        ["upload", "-i", "data", "--all"],
        ["run", "steps.yaml"],
    ):
        ended = shell(*command, "--dry-run")
        assert ended.out == ""
        assert " unchanged (-v lists them)" in ended.err


def test_counts_come_in_one_order(shell: Shell, own: SimulatedServer) -> None:
    assert shell("mirror", "data", "--no-fsync").code == 0
    own.edit_task(4)
    own.delete_task(1)
    ended = shell("mirror", "data", "--prune", "--dry-run")
    assert "1 to fetch, 1 to remove, 2 unchanged" in ended.err
    ended = shell("mirror", "data", "--prune", "--no-fsync")
    assert "(1 fetched, 1 removed, 2 unchanged)" in ended.out
