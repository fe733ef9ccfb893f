"""Every command line and every YAML file that the documentation shows can be used as it is."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import Block, blocks
from typer.main import get_command

import asynccvat
from asynccvat.cli import app
from asynccvat.models import DeletePlan, TargetKind
from asynccvat.settings.loading import load_settings

CLI: Any = get_command(app)

_OPERATORS = {"|", "<", ">", ">>", "&&", ";", "&", "2>&1"}


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Where each command line stands, and its arguments after `asynccvat`."""
    for item in blocks("sh", "ini", "crontab"):
        text = item.text.replace("\\\n", " ")
        for found in re.finditer(r"^(?:.*[ /=])?asynccvat (?=[a-z-])(.+)$", text, re.MULTILINE):
            before = found[0][: found.start(1) - found.start()]
            if item.language == "sh" and not before.startswith("asynccvat "):
                continue  # `pip install asynccvat`, or `.venv/bin/asynccvat demo` of a long line
            words = shlex.split(found[1], comments=True)
            end = next((n for n, word in enumerate(words) if word in _OPERATORS), len(words))
            yield f"{item}: {found[1].partition('  #')[0].strip()}", words[:end]
    for item in blocks("yaml"):
        for document in yaml.safe_load_all(item.text):
            for container in containers(document):
                if container["command"] == ["asynccvat"]:
                    yield f"{item}: {container['name']}", list(map(str, container["args"]))


def containers(document: object) -> Iterator[dict[str, Any]]:
    """The containers of a Kubernetes document, however deep."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "containers":
                yield from value
            yield from containers(value)


LINES = dict(command_lines())


def test_the_lines_are_found() -> None:
    assert len(LINES) > 40
    shown = "\n".join(LINES)
    for command in CLI.commands:
        if command not in ("demo", "task-info", "list-jobs", "simulate"):
            assert f": {command}" in shown, f"no page shows {command}"


@pytest.mark.parametrize("arguments", LINES.values(), ids=LINES.keys())
def test_a_command_line_is_understood(arguments: list[str]) -> None:
    name, *rest = arguments
    command = CLI.commands[name]
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    with command.make_context(name, rest) as context:
        assert not context.args


def written(item: Block, folder: Path) -> Path:
    """A YAML block as a file that nobody else can read."""
    path = folder / "shown.yaml"
    path.write_text(item.text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("item", blocks("yaml"), ids=str)
def test_a_yaml_file_is_understood(
    item: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    documents = list(yaml.safe_load_all(item.text))
    if isinstance(documents[0], list):
        (tmp_path / "predictions").mkdir()
        (tmp_path / "predictions" / "street.json").write_text("{}")
        plan = DeletePlan(origin="https://cvat.example.com", target=TargetKind.TASK)
        (tmp_path / "old.json").write_text(json.dumps(plan.to_json()))
        steps = asynccvat.load_run_file(written(item, tmp_path)).steps
        assert [step.task for step in steps] == [step["task"] for step in documents[0]]
    elif "kind" in documents[0]:
        assert all(list(containers(document)) for document in documents)
    else:
        settings = load_settings(
            config=written(item, tmp_path), environment={}, profiles=tmp_path / "none"
        )
        assert settings.url == documents[0]["url"]
        assert settings.warnings == ()
