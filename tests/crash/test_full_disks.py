"""A full disk ends a run with a word, keeps what is whole, and hinders no later run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import requests_by_status, run
from mirror_processes import (
    check_end,
    check_parts,
    exports_asked,
    job,
    mirror,
    mirror_stopping,
    read_folders,
)

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess

TASKS = 24


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """Seven megabytes and a hundred files in all."""
    with ServerProcess(SimulatorOptions(tasks=TASKS, frames=3, frame_bytes=100_000)) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mirror for which there was room."""
    dest = tmp_path_factory.mktemp("undisturbed") / "mirror"
    mirror(job(server, dest))
    return dest


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system with room for some of the tasks, until it is mounted with more."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", request.param, "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("small_disk", "remedy"),
    [("size=20m", "free some space"), ("size=64m,nr_inodes=60", "remove some files")],
    indirect=["small_disk"],
    ids=["bytes", "files"],
)
def test_a_full_disk_stops_the_command_with_one_line_and_with_room_the_next_run_completes(
    server: ServerProcess, small_disk: Path, undisturbed: Path, remedy: str
) -> None:
    dest = small_disk / "mirror"
    since = len(server.calls)
    few = ("--concurrency", "2", "--transfers", "1")
    ended = run(server, dest, *few)

    assert ended.code == 1
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert remedy in errors[0]
    assert len(ended.out.splitlines()) == 1
    left = read_folders(dest)
    check_parts(left, read_folders(undisturbed))
    assert 0 < len(left) < TASKS
    assert len(exports_asked(server, since)) < TASKS, "it goes on asking"
    assert "queued" not in requests_by_status(server)

    again = run(server, dest, *few)
    assert again.code == 1, "nothing was freed"
    assert read_folders(dest).keys() >= left.keys()
    left = read_folders(dest)

    _mount("-o", "remount,size=64m,nr_inodes=9999", str(small_disk))
    since = len(server.calls)
    assert run(server, dest).code == 0
    assert len(exports_asked(server, since)) == TASKS - len(left)
    check_end(dest, undisturbed)


@pytest.mark.parametrize("room", [0, 400, 300_000, 3_000_000])
def test_full_at_any_write_the_run_stops_and_with_room_the_next_one_completes(
    tmp_path: Path, server: ServerProcess, undisturbed: Path, room: int
) -> None:
    dest = tmp_path / "dest"
    since = len(server.calls)
    options = {"concurrency": 2, "transfers": 1}
    report = mirror_stopping(job(server, dest, options=options, full_after=room))
    assert report["interrupted"]
    assert report["stopped_by"]["type"] == "DiskFullError"
    assert len(exports_asked(server, since)) < TASKS, "it goes on asking"
    assert "queued" not in requests_by_status(server)
    left = read_folders(dest)
    check_parts(left, read_folders(undisturbed))
    since = len(server.calls)
    mirror(job(server, dest))
    assert len(exports_asked(server, since)) == TASKS - len(left)
    check_end(dest, undisturbed)
