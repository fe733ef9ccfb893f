"""What README shows is true: its program runs, its commands exist, its lines are the ones in CI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from asynccvat.cli import app
from asynccvat.simulator import ServerProcess, SimulatorOptions

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_program_mirrors_the_completed_tasks(tmp_path: Path) -> None:
    (program,) = blocks("python")
    with ServerProcess(SimulatorOptions(tasks=6)) as server:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("CVAT_")
        }
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            env=environment | {"CVAT_URL": server.url, "CVAT_ACCESS_TOKEN": server.token},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stderr
    folders = sorted(path.name for path in (tmp_path / "data").glob("task*"))
    assert len(folders) == 2
    assert len(run.stdout.splitlines()) == 2
    for folder in folders:
        assert list((tmp_path / "data" / folder / "annotations").glob("instances_*.json"))
        assert list((tmp_path / "data" / folder / "images").rglob("*.jpg"))


def test_every_command_is_named() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]  # a group has them
    assert commands
    for name in commands:
        assert f"`{name}" in README, f"README does not name {name}"


@pytest.mark.parametrize("line", re.findall(r"^asynccvat .*$", README, re.MULTILINE))
def test_every_option_that_is_shown_exists(line: str) -> None:
    command, *options = re.findall(
        r"(?<=asynccvat )[a-z-]+|(?<= )--[a-z-]+", line.partition("#")[0]
    )
    parameters = get_command(app).commands[command].params  # type: ignore[attr-defined]  # the same
    known = {flag for parameter in parameters for flag in parameter.opts}
    assert set(options) <= known


def test_the_lines_that_set_everything_up_are_there() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert lines[0].startswith("python3 -m venv .venv && ")
    assert lines[0].endswith("asynccvat demo")
    assert lines[1].startswith("python3 -m venv .venv && ")
    assert lines[1].endswith("-m pytest")


def test_the_check_runs_the_line_for_the_tests() -> None:
    pattern = re.search(r"sed -n 's/\^\\\((.*)\\\)\$/", (ROOT / ".ci" / "run").read_text("utf-8"))
    assert pattern is not None
    assert re.search(rf"^{pattern[1]}$", README, re.MULTILINE)


def promises(text: str) -> list[str]:
    """The numbered promises of a document, without its line breaks."""
    section = re.split(r"\n#+ (?:\d+\. )?Promises\n", text)[1].partition("\n## ")[0]
    found = re.findall(r"^\d\. (.*?)(?=\n\d\. |\n\n|\Z)", section, re.MULTILINE | re.DOTALL)
    return [" ".join(promise.split()) for promise in found]


def test_the_promises_are_seven_and_each_has_its_name() -> None:
    found = promises(README)
    assert len(found) == 7
    assert all(promise.startswith("**") for promise in found)


def test_the_promises_are_the_designs_own(shared: Path) -> None:
    assert promises(README) == promises((shared / "DESIGN.md").read_text("utf-8"))
