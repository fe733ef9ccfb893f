"""`init`: a settings file in a destination, which commands that are given it read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from command_line import Shell
from terminals import on_a_terminal

from asynccvat.simulator import SimulatedServer


def settings_in(folder: Path) -> list[str]:
    lines = (folder / "server.yaml").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_a_first_mirror_needs_only_a_login_and_its_folder(
    bare_shell: Shell, simulated: SimulatedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{simulated.password}\n"))
    assert bare_shell("login", simulated.url, "-u", "admin", "--password-stdin").code == 0
    ended = bare_shell("init", "data", "--project-id", 2, "--format", "coco", "--images")
    assert ended.code == 0, ended.err
    assert ended.out == "data/server.yaml\n"
    assert ended.err.endswith("Next: asynccvat mirror data --format 'COCO 1.0' --images\n")
    name = simulated.projects[2].name
    assert settings_in(tmp_path / "data") == [f"url: {simulated.url}", f"project_id: 2  # {name}"]
    ended = bare_shell("mirror", "data", "--prune")
    assert ended.code == 0, ended.err
    folders = sorted(path.name for path in (tmp_path / "data").glob("task*"))
    of_project = [task for task in simulated.tasks.values() if task.project_id == 2]
    assert folders == sorted(f"task{task.id}" for task in of_project)
    before = (tmp_path / "data" / "server.yaml").read_bytes()
    assert bare_shell("verify", "data").code == 0
    assert (tmp_path / "data" / "server.yaml").read_bytes() == before


@pytest.mark.usefixtures("shell")
def test_the_file_holds_no_secret(shell: Shell, simulated: SimulatedServer, tmp_path: Path) -> None:
    assert shell("init", "data", "--org", "").code == 0
    text = (tmp_path / "data" / "server.yaml").read_text("utf-8")
    assert simulated.password not in text
    assert settings_in(tmp_path / "data") == [f"url: {simulated.url}", 'organization: ""']


def test_a_mirror_as_json_can_be_first(shell: Shell) -> None:
    ended = shell("init", "data", "--format", "json")
    assert ended.err.endswith("Next: asynccvat mirror data --format 'CVAT JSON'\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("data", "--project-id", "99"), 2, "project 99"),
        (("data", "--format", "nonsense"), 2, "nonsense"),
        (("data", "--project", "Nowhere"), 2, "no project 'Nowhere'"),
        (("data", "--project", "1", "--project-id", "2"), 2, "contradicts --project-id"),
        (("data", "--layout", "{name}"), 2, "without {id}"),
        (("",), 2, "DEST is empty"),
    ],
)
def test_what_does_not_exist_is_refused_and_nothing_is_written(
    shell: Shell, arguments: tuple[str, ...], code: int, message: str, tmp_path: Path
) -> None:
    ended = shell("init", *arguments)
    assert ended.code == code
    assert message in ended.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("named", ["name", "id"])
def test_a_project_by_name_and_a_layout_are_for_the_first_mirror(
    shell: Shell, simulated: SimulatedServer, named: str, tmp_path: Path
) -> None:
    name = simulated.projects[2].name
    given = name if named == "name" else "2"
    ended = shell("init", "data", "--project", given, "--layout", "{project}/{id}")
    assert ended.code == 0, ended.err
    assert f"project_id: 2  # {name}" in settings_in(tmp_path / "data")
    assert ended.err.endswith("Next: asynccvat mirror data --layout '{project}/{id}'\n")
    assert shell("mirror", "data", "--layout", "{project}/{id}").code == 0
    of_project = {str(one.id) for one in simulated.tasks.values() if one.project_id == 2}
    assert {path.name for path in (tmp_path / "data" / name).iterdir()} == of_project


@pytest.mark.usefixtures("shell")
def test_a_terminal_takes_the_name_of_a_project(simulated: SimulatedServer, tmp_path: Path) -> None:
    name = simulated.projects[2].name
    answers = (("(Enter for all): ", name), ("[CVAT]: ", ""), ("[y/N] ", ""))
    on_a_terminal(tmp_path, ("init", "data"), answers)
    assert settings_in(tmp_path / "data")[1] == f"project_id: 2  # {name}"


def test_a_file_that_is_there_stays(shell: Shell, tmp_path: Path) -> None:
    assert shell("init", "data").code == 0
    ended = shell("init", "data", "--project-id", 1)
    assert ended.code == 2
    assert "'data/server.yaml' is there already. Edit it, or remove it and run" in ended.err
    assert not [line for line in settings_in(tmp_path / "data") if "project_id" in line]


@pytest.mark.usefixtures("shell")
def test_on_a_terminal_it_asks_for_project_format_and_images(
    simulated: SimulatedServer, tmp_path: Path
) -> None:
    answers = (("(Enter for all): ", "2"), ("[CVAT]: ", "yolo"), ("[y/N] ", "y"))
    shown = on_a_terminal(tmp_path, ("init", "data"), answers)
    assert f"2 {simulated.projects[2].name}" in shown
    assert "Next: asynccvat mirror data --format 'Ultralytics YOLO Detection 1.0' --images" in shown
    assert settings_in(tmp_path / "data")[1].startswith("project_id: 2 ")
