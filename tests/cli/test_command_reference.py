"""The command reference of the documentation has every command with every option."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from asynccvat.cli import app
from asynccvat.cli.exit_codes import ExitCode

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "make_commands.py"


@pytest.fixture(scope="module")
def page() -> str:
    make: Callable[[], str] = runpy.run_path(str(SCRIPT))["page"]
    return make()


def test_every_command_has_a_section_with_its_options(page: str) -> None:
    application: Any = get_command(app)
    commands = dict(application.commands)
    commands["requests cancel"] = commands["requests"].commands["cancel"]
    shared = {option.name for option in application.params}
    for name, command in commands.items():
        section = page.split(f"\n## {name}\n")[1].split("\n## ", maxsplit=1)[0]
        for option in command.params:
            if option.param_type_name == "option" and option.name not in {*shared, "help"}:
                assert f"`{option.opts[0]}" in section, f"{name} {option.opts[0]}"


def test_the_options_of_every_command_are_described_once(page: str) -> None:
    assert page.count("| `--ca-bundle") == 1
    section = page.split("\n## Options of every command\n")[1]
    application: Any = get_command(app)
    for option in application.params:
        if option.rich_help_panel is not None:
            assert f"`{option.opts[0]}" in section


def test_every_exit_code_has_its_meaning(page: str) -> None:
    for code in ExitCode:
        assert f"| {code.value} | " in page
