"""`-v` shows one line a task, `--quiet` failures and warnings only, in every command that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell

STEPS = "- {task: mirror, parameters: {dest: data, no_fsync: true}}\n"
RUNS = {
    "mirror": ("mirror", "data", "--no-fsync"),
    "download": ("download", "-t", "1,2", "-o", "out", "--no-fsync"),
    "run": ("run", "steps.yaml"),
}


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server for one test, which may break it; request `shell` before it."""
    with serve_in_thread(SimulatorOptions(tasks=2, frames=1, tasks_without_data=0)) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        Path("steps.yaml").write_text(STEPS)
        yield server


@pytest.mark.parametrize("command", RUNS.values(), ids=RUNS)
def test_quiet_leaves_nothing_of_a_run_without_failures(
    shell: Shell, own: SimulatedServer, command: tuple[str, ...]
) -> None:
    ended = shell(*command, "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert len(own.tasks) == 2


@pytest.mark.parametrize("command", RUNS.values(), ids=RUNS)
def test_quiet_shows_failures_and_warnings(
    shell: Shell, own: SimulatedServer, command: tuple[str, ...]
) -> None:
    own.faults.add(Fault(export="fail", task_id=2, message="Boom\n", times=None))
    ended = shell(*command, "-q")
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("failed: ")
    assert "Boom" in line


def test_quiet_uploads_say_nothing(shell: Shell, own: SimulatedServer, tmp_path: Path) -> None:
    assert shell(*RUNS["mirror"]).code == 0
    path = tmp_path / "data/task1/annotations.xml"
    path.write_text(path.read_text().replace('occluded="0"', 'occluded="1"'))
    ended = shell("upload", "-i", "data", "--all", "-q", "--no-fsync")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert len(own.imports) == 1


def test_v_tells_how_many_annotations_an_upload_left(
    shell: Shell, own: SimulatedServer, tmp_path: Path
) -> None:
    del own
    assert shell(*RUNS["mirror"]).code == 0
    path = tmp_path / "data/task1/annotations.xml"
    text = path.read_text()
    path.write_text(text[: text.index("<polygon")] + "</image></annotations>")
    ended = shell("upload", "-i", "data", "--all", "-v", "--no-fsync")
    (line,) = [line for line in ended.err.splitlines() if line.startswith("task 1 ")]
    assert line.startswith("task 1 'street-00001': uploaded (edited), 1 file, ")
    before = text.count("source=")
    assert line.endswith(f"; 2 annotations, before {before}")
    assert f"warning: task 1: the task had {before} annotations, and has 2 now" in ended.err


def test_json_is_written_all_the_same(shell: Shell, own: SimulatedServer) -> None:
    ended = shell(*RUNS["mirror"], "--quiet", "--json")
    assert ended.json["ok"] is True
    assert (ended.err, len(own.tasks)) == ("", 2)


def test_v_shows_one_line_a_task(shell: Shell, own: SimulatedServer) -> None:
    ended = shell(*RUNS["mirror"], "-v")
    lines = sorted(line for line in ended.err.splitlines() if line.startswith("task "))
    assert [line.partition(", ")[0] for line in lines] == [
        "task 1 'street-00001': fetched (new)",
        "task 2 'street-00002': fetched (new)",
    ]
    assert ", 1 file, " in lines[0]
    own.edit_task(1)
    own.faults.add(Fault(export="fail", task_id=1, message="Boom\n", times=None))
    ended = shell(*RUNS["mirror"], "-v")
    lines = [line for line in ended.err.splitlines() if "ask 1" in line or "ask 2" in line]
    assert lines[0] == "task 2 'street-00002': kept (unchanged)"
    assert lines[-1].startswith("failed: ")
    # Without it, only what went wrong has a line.
    ended = shell(*RUNS["mirror"])
    assert [line for line in ended.err.splitlines() if line.startswith("task ")] == []
