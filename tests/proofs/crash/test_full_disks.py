"""A full disk ends a run with a clear error, keeps what is whole, and bars no later run."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import requests_by_status, run
from memory_folders import in_memory
from mirror_processes import (
    check_end,
    check_parts,
    exports_asked,
    job,
    mirror,
    read_folders,
)
from warm_parent import warm_parent

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess

pytestmark = pytest.mark.proof("Full disks")

TASKS = 24
ONE_BY_ONE = {"concurrency": 2, "transfers": 1}
MOST_UNDER_WAY = 2 + 8
"""Two exports at the server, and eight that have ended, of which one is read."""

# By whether there are images: rooms for nothing, a lock, some of the tasks; and by chance.
FIRST_ROOMS = ((0, 400), (300_000, 3_000_000))
ROOMS = (8, 0)
THOROUGH_ROOMS = (50, 30)


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
    [("size=20m", "Free some space"), ("size=64m,nr_inodes=60", "Remove some files")],
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
    said = ended.out.splitlines()
    assert said[0].startswith("Stopped after ")
    assert not [line for line in said if "rror: " in line]
    left = read_folders(dest)
    check_parts(left, read_folders(undisturbed))
    assert 0 < len(left) < TASKS
    check_asked(server, since, len(left))

    again = run(server, dest, *few)
    assert again.code == 1, "nothing was freed"
    assert read_folders(dest).keys() >= left.keys()
    left = read_folders(dest)

    _mount("-o", "remount,size=64m,nr_inodes=9999", str(small_disk))
    since = len(server.calls)
    assert run(server, dest).code == 0
    assert len(exports_asked(server, since)) == TASKS - len(left)
    check_end(dest, undisturbed)


@pytest.mark.parametrize("images", [False, True], ids=["annotations", "images"])
def test_full_at_any_write_the_run_stops_and_with_room_the_next_one_completes(
    server: ServerProcess, *, images: bool, thorough: bool, count_cases: Callable[[int], None]
) -> None:
    """With images most of the room is theirs; without them, of the receipts and the lock."""
    with warm_parent() as parent, in_memory() as place:
        assert parent.run(job(server, place / "reference", images=images)).report["ok"]
        reference = read_folders(place / "reference")
        most = sum(len(content) for tree in reference.values() for content in tree.values())
        chance = random.Random(f"rooms, {images}")
        seeded = (THOROUGH_ROOMS if thorough else ROOMS)[images]
        rooms = [*FIRST_ROOMS[images], *(chance.randrange(most) for _ in range(seeded))]
        for number, room in enumerate(rooms):
            dest = place / str(number)
            since = len(server.calls)
            wanted = job(server, dest, images=images, options=ONE_BY_ONE, full_after=room)
            report = parent.run(wanted).report
            assert report["interrupted"], room
            assert report["stopped_by"]["type"] == "DiskFullError"
            left = read_folders(dest)
            check_parts(left, reference)
            check_asked(server, since, len(left))
            since = len(server.calls)
            assert parent.run(job(server, dest, images=images)).report["ok"]
            assert len(exports_asked(server, since)) == TASKS - len(left)
            check_end(dest, place / "reference")
            shutil.rmtree(dest)
    count_cases(len(rooms))


def check_asked(server: ServerProcess, since: int, done: int) -> None:
    """No more exports were asked for than were under way when there was no more room."""
    assert len(exports_asked(server, since)) <= done + MOST_UNDER_WAY + 1, "it goes on asking"
    assert "queued" not in requests_by_status(server)
