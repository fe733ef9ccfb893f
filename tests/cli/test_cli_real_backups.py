"""`asynccvat restore` takes backups of a real CVAT, and `asynccvat backup` makes them again."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from asynccvat.simulator import SimulatedServer, SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

if TYPE_CHECKING:
    from command_line import Shell


@pytest.fixture
def empty(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedServer]:
    """A server without tasks, which the shell uses."""
    del shell  # it names another server
    with serve_in_thread(SimulatorOptions(tasks=0, projects=0, version="2.64.0")) as server:
        monkeypatch.setenv("CVAT_URL", server.url)
        yield server


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("name", ["task4", "task339", "task341", "project4"])
def test_a_real_backup_is_restored_and_made_again(
    name: str, shell: Shell, empty: SimulatedServer, shared: Path, tmp_path: Path
) -> None:
    source = shared / "contract" / "exports-2.64" / f"backup_{name}.zip"
    journal = ("--journal", tmp_path / "journal")
    ended = shell("restore", source, *journal, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["counts"] == {"restored": 1}
    kind = ("--projects",) if name.startswith("project") else ()
    again = shell("backup", tmp_path / "again", *kind)
    assert again.code == 0, again.err
    (made,) = (tmp_path / "again").glob("*/*.zip")
    real, own = members(source), members(made)
    assert set(own) == set(real)
    for member, data in real.items():
        if "/data/" in f"/{member}" and not member.endswith("manifest.jsonl"):
            assert own[member] == data
        elif member.endswith(("task.json", "project.json")):
            assert json.loads(own[member]) == json.loads(data)
    assert shell("restore", source, *journal, "--json").json["counts"] == {"skipped": 1}
    assert len(empty.tasks) == sum(member.endswith("task.json") for member in real)
