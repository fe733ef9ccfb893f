"""`simulate` and `demo`."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.cli.commands.demo import port_for, tree

if TYPE_CHECKING:
    from command_line import Shell

ASYNCCVAT = (sys.executable, "-m", "asynccvat")


@pytest.mark.shows_secrets("`simulate` tells how to log in to the server that it made")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_simulated_server_runs_until_it_is_stopped(bare_shell: Shell, number: int) -> None:
    with subprocess.Popen(
        [*ASYNCCVAT, "simulate", "--tasks", "1", "--port", "0", "--no-costs"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None
        url = command.stdout.readline().strip()
        ended = bare_shell(
            "list-tasks", "--json", "--url", url, "-u", "admin", "-p", "simulated-secret"
        )
        assert len(ended.json) == 1
        command.send_signal(number)
        _, err = command.communicate(timeout=60)
        assert command.returncode == 0
        assert err.startswith("A simulated CVAT with 1 task; user admin, ")
        assert f"CVAT_URL={url}" in err
        assert err.endswith("Stopped.\n")


def test_a_simulated_server_is_stopped_in_this_process_too(
    bare_shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def interrupt(line: str) -> None:
        told.append(line)
        if len(told) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("asynccvat.cli.output.remark", interrupt)
    assert bare_shell("simulate", "--tasks", "1", "--port", "0").code == 0
    assert told[1:] == ["Stopped."]


def test_the_demo_mirrors_twice_and_keeps_the_mirror(bare_shell: Shell, tmp_path: Path) -> None:
    ended = bare_shell("demo", tmp_path / "shown", "--tasks", 5)
    assert ended.code == 0, ended.err
    assert "5 tasks (5 fetched)" in ended.out
    assert "5 tasks (5 unchanged)" in ended.out
    assert "annotations.xml" in ended.out
    assert "... and 2 more folders" in ended.out
    assert (tmp_path / "shown" / "task5" / "annotations.xml").is_file()
    again = bare_shell("demo", tmp_path / "shown", "--tasks", 5)
    assert again.code == 0, again.err
    assert again.out.count("5 tasks (5 unchanged)") == 2


def test_a_demo_whose_port_is_taken_says_what_to_do(bare_shell: Shell, tmp_path: Path) -> None:
    place = tmp_path / "shown"
    port = port_for(place)
    assert port == port_for(place) != 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert port_for(place) == 0, "nothing is bound to the port yet: any will do"
        place.mkdir()
        (place / "task1").mkdir()
        ended = bare_shell("demo", place)
        assert ended.code == 2
        assert "Name another folder" in ended.err


def test_without_a_folder_the_demo_uses_a_temporary_one_and_names_it(
    bare_shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended = bare_shell("demo", "--tasks", 1)
    assert ended.code == 0, ended.err
    found = re.search(r"The mirror is in (\S+)\.$", ended.out.strip())
    assert found is not None
    assert Path(found[1]).parent == tmp_path
    assert (Path(found[1]) / "task1").is_dir()


def test_a_demo_into_a_file_is_reported(bare_shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    ended = bare_shell("demo", tmp_path / "file")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1


def test_a_tree_shows_the_first_folders_and_their_first_files(tmp_path: Path) -> None:
    for folder in ("task10", "task2", "task1", "task3", ".asynccvat"):
        (tmp_path / folder).mkdir()
    for number in range(8):
        (tmp_path / "task1" / f"{number}.txt").write_text("x")
    assert list(tree(tmp_path)) == [
        f"{tmp_path}/",
        "  task1/",
        *[f"    {number}.txt  (1 B)" for number in range(6)],
        "    ... and 2 more files",
        "  task2/",
        "  task3/",
        "  ... and 1 more folder",
    ]
