"""SIGKILL at any moment of a mirror: every folder is whole, and the next run ends the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mirror_processes import (
    bytes_downloaded,
    check_end,
    check_parts,
    chunks_asked,
    exports_asked,
    job,
    mirror,
    mirror_killed,
    mirroring,
    read_folders,
)

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.processes import ServerProcess

TASKS = 3
MIB = 1024 * 1024


@pytest.fixture
def kills(*, thorough: bool) -> int:
    """How often a mirror is killed at a moment that chance chooses."""
    return 10 if thorough else 4


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """Tasks whose images are worth taking over when only the annotations changed."""
    options = SimulatorOptions(
        tasks=TASKS,
        frames=3,
        frame_bytes=70_000,
        # Exports take a moment, so that a kill finds some of them queued and some running.
        costs=True,
        latency=0.001,
        export_seconds=0.02,
        cached_export_seconds=0.005,
        requests_list_seconds=0.001,
        remembered_request_seconds=0.0,
    )
    with ServerProcess(options) as running:
        yield running


@pytest.fixture
def task_ids(server: ServerProcess, tmp_path: Path) -> list[int]:
    """The tasks of the server."""
    report = mirror(job(server, tmp_path / "looked at", images=False))
    return sorted(task["task_id"] for task in report["tasks"])


class Destination:
    """A destination that is killed and finished again and again, beside one that never is."""

    def __init__(self, server: ServerProcess, folder: Path, task_ids: list[int]) -> None:
        self._server = server
        self._folder = folder
        self.edited = task_ids[:-1]
        self.dest = folder / "killed"
        self._reference = folder / "undisturbed"
        self._before = read_folders(self._reference)
        self._now = self._before
        self._trials = 0

    def start_anew(self) -> None:
        """An empty destination, of the tasks as they are."""
        self._trials += 1
        self.dest = self._folder / f"killed {self._trials}"
        if not self._now:
            self.follow()
        self._before = {}

    def begin(self) -> None:
        """The tasks as they are, undisturbed so far."""
        self.follow()
        mirror(job(self._server, self.dest))

    def edit(self) -> None:
        """Change most tasks at the server, so that there is something to update."""
        for task_id in self.edited:
            self._server.do("edit_task", task_id=task_id)
        self.follow()

    def follow(self) -> None:
        """Bring the undisturbed one up to date."""
        mirror(job(self._server, self._reference))
        self._before, self._now = self._now, read_folders(self._reference)

    def finish(self) -> None:
        """Check what a kill left, then run to the end and check that."""
        left = read_folders(self.dest)
        check_parts(left, self._before, self._now)
        absent = set(self._before) - set(left)
        assert not absent, f"{absent} was there and is gone"
        done = {name for name, tree in left.items() if tree == self._now[name]}
        since = len(self._server.calls)
        mirror(job(self._server, self.dest))
        asked = {f"task{task_id}" for task_id in exports_asked(self._server, since)}
        assert asked == set(self._now) - done, (
            "what was done is not paid for again, and the rest is"
        )
        check_end(self.dest, self._reference)


@pytest.fixture
def destination(server: ServerProcess, tmp_path: Path, task_ids: list[int]) -> Destination:
    """One that is not there yet."""
    return Destination(server, tmp_path, task_ids)


def test_killed_at_any_moment_of_a_first_mirror_the_next_run_ends_as_if_nothing_happened(
    server: ServerProcess, destination: Destination, kills: int
) -> None:
    chance = random.Random("first mirror")
    killed = 0
    for _ in range(kills):
        destination.start_anew()
        # Of each task some six events are told, after two about the whole.
        killed += mirror_killed(job(server, destination.dest), chance.randrange(1, 6 * TASKS))
        destination.finish()
    assert kills - killed <= kills // 4


def test_killed_at_any_moment_of_an_update_the_next_run_ends_as_if_nothing_happened(
    server: ServerProcess, destination: Destination, kills: int
) -> None:
    chance = random.Random("update")
    destination.begin()
    killed = 0
    for _ in range(kills):
        destination.edit()
        killed += mirror_killed(job(server, destination.dest), chance.randrange(1, 6 * TASKS))
        destination.finish()
    assert kills - killed <= kills // 4


def test_killed_within_a_large_archive_the_next_run_takes_over_what_came(tmp_path: Path) -> None:
    size = 40 * MIB
    options = SimulatorOptions(tasks=1, frames=40, frame_bytes=MIB)
    with ServerProcess(options) as server:
        mirror(job(server, tmp_path / "undisturbed"))
        assert bytes_downloaded(server) > size
        for part in (24, 34):
            dest = tmp_path / f"killed after {part} MiB"
            received = 0
            with mirroring(job(server, dest)) as running:
                for event in running.events():
                    received += event.get("transferred", 0)
                    if received >= part * MIB:
                        running.kill()
                        break
                assert running.finish() != 0
            assert read_folders(dest) == {}
            left = [path.stat().st_size for path in (dest / ".asynccvat/staging").rglob("*.jpg")]
            whole = MIB * left.count(MIB)
            assert whole > (part - 8) * MIB
            since = len(server.calls)
            report = mirror(job(server, dest))
            # Nothing that is whole on disk is fetched again, and nothing else twice.
            assert size - whole < report["transferred"] < size - whole + 40_000
            # What was under way in each connection is fetched again, and the archive's end.
            assert bytes_downloaded(server, since) < size - part * MIB / 2
            assert report["transferred"] < size - part * MIB / 2
            check_end(dest, tmp_path / "undisturbed")


def test_killed_within_large_media_the_next_run_takes_over_whole_chunks(tmp_path: Path) -> None:
    count, length = 10, 72  # CVAT's own number of frames in a chunk
    chunk = length * 60_000
    options = SimulatorOptions(tasks=1, frames=count * length, frame_bytes=60_000)
    with ServerProcess(options) as server:
        media: dict[str, Any] = {"format": "json", "images": True, "keep_above": MIB}
        mirror(job(server, tmp_path / "undisturbed", **media))
        assert sorted(chunks_asked(server)) == list(range(count))
        for part in (20, 34):
            dest = tmp_path / f"killed after {part} MiB"
            received = 0
            with mirroring(job(server, dest, **media)) as running:
                for event in running.events():
                    received += event.get("transferred", 0)
                    if received >= part * MIB:
                        running.kill()
                        break
                assert running.finish() != 0
            assert read_folders(dest) == {}
            since = len(server.calls)
            report = mirror(job(server, dest, **media))
            # At most four chunks were under way, and no other one is fetched again.
            again = chunks_asked(server, since)
            assert len(set(again)) == len(again) <= count - part * MIB // chunk + 4
            assert len(again) < count
            assert report["transferred"] < (len(again) + 1) * chunk
            check_end(dest, tmp_path / "undisturbed")
