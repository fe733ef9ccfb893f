"""What README shows is true: its program runs, its commands exist, its lines are the ones in CI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from asynccvat.cli import app
from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES
from asynccvat.settings import DEFAULT_FILES
from asynccvat.settings.values import FLAGS
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


def commands(group: Any, *path: str) -> Iterator[tuple[str, set[str]]]:
    """The commands of a group, those of its groups too, each with all forms of its options."""
    for name, command in getattr(group, "commands", {}).items():
        yield " ".join((*path, name)), flags(command)
        yield from commands(command, *path, name)


def flags(command: Any) -> set[str]:
    given = {flag for item in command.params for flag in (*item.opts, *item.secondary_opts)}
    return {flag for flag in given if flag.startswith("-")} | {"--help", "-h"}


CLI = get_command(app)
COMMANDS = dict(commands(CLI))
TABLE = {
    name.strip("`"): set(re.findall(r"(?<=[` ])-[a-z-]+", options))
    for name, options in re.findall(
        r"^\| (.+?) \| (.+) \|$", README.partition("## Every command and option")[2], re.MULTILINE
    )
}
SHARED = TABLE["all, before or after the command"]


def test_every_command_is_named_where_readme_says_what_it_does() -> None:
    overview = README.partition("## Every command and option")[0]
    assert {"mirror", "requests cancel"} <= COMMANDS.keys()
    for name in COMMANDS:
        assert f"`{name}" in overview, f"README does not say what {name} does"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_named_and_no_other(name: str) -> None:
    shared = SHARED if "--url" in COMMANDS[name] else {"--help", "-h"}
    assert TABLE[name] == COMMANDS[name] - shared


def test_the_options_of_every_command_are_named() -> None:
    assert flags(CLI) == SHARED | TABLE["none"]
    assert COMMANDS["mirror"] >= SHARED
    rows = {"command", "---", "none", "all, before or after the command"}
    assert TABLE.keys() - rows == COMMANDS.keys()


def test_every_place_of_settings_is_named() -> None:
    for name in (*VARIABLES.values(), CONFIG_VARIABLE, *DEFAULT_FILES, *FLAGS):
        assert f"`{name}`" in README, f"README does not name {name}"


@pytest.mark.parametrize("line", re.findall(r"^asynccvat .*$", README, re.MULTILINE))
def test_every_option_that_is_shown_exists(line: str) -> None:
    command, *options = re.findall(
        r"(?<=asynccvat )[a-z-]+|(?<= )--[a-z-]+", line.partition("#")[0]
    )
    assert set(options) <= COMMANDS[command]


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
