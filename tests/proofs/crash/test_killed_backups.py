"""SIGKILL at every effect of a backup run: each zip is whole with its receipt, or absent.

A run is killed at its n-th moment, for every n: an effect on the disk, or a call that changes
something at the server. The next run ends like one that was never killed. The quick run takes a
sample of the moments, most of them of commits and removals. With `--thorough` each is taken, before
and after, and the next run is killed as well.
"""

from __future__ import annotations

import asyncio
import random
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from restore_processes import run

import asynccvat
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Killed backups")

SAMPLE = 4
OPTIONS = SimulatorOptions(tasks=2, frames=2, frame_bytes=300_000)
COMMITS = ("rename", "unlink", "rmdir", "mkdir")


@dataclass(frozen=True)
class BackupJob:
    """A backup run, and where it dies.

    Attributes:
        url: The server.
        token: The superuser's key.
        dest: The destination.
        projects: Whether projects are backed up.
        keep: Which backups stay.
        die_at: The number of the moment, from 1. None to live.
        after: Whether the effect or call of that moment is done before.
    """

    url: str
    token: str
    dest: Path
    projects: bool = False
    keep: int | None = None
    die_at: int | None = None
    after: bool = False


async def back_up(job: BackupJob) -> asynccvat.RunReport:
    # One after the other, so that the order of effects is the same each time.
    options = asynccvat.BackupOptions(
        projects=job.projects, keep=job.keep, transfers=1, concurrency=1
    )
    async with asynccvat.CvatClient(job.url, token=job.token) as client:
        return await asynccvat.backup(client, job.dest, options=options)


def whole(dest: Path) -> dict[str, int]:
    """Check that every zip with a receipt is whole; return how many each target has."""
    if not (dest / ".asynccvat/backups").is_dir():
        assert list(dest.glob("*/*.zip")) == []
        return {}
    report = asyncio.run(asynccvat.verify(dest))
    assert not report.failures, report.failures
    found: dict[str, int] = {}
    for path in dest.glob("*/*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
        found[path.parent.name] = found.get(path.parent.name, 0) + 1
    return found


def at_rest(dest: Path) -> None:
    """Check that nothing is left over: no zip without a receipt, nothing in staging."""
    report = asyncio.run(asynccvat.verify(dest))
    assert report.ok
    assert not report.problems
    assert list((dest / ".asynccvat/staging").iterdir()) == []


@dataclass
class Trial:
    """One scenario: what was there before, and what is run."""

    change: Callable[[SimulatedServer], object] | None = None
    keep: int | None = None
    projects: bool = False

    def ended(self, dest: Path, *deaths: tuple[int, bool]) -> tuple[dict[str, int], Any, int]:
        """Run until a run lives. Returns what is there, its moments, and how many were killed."""
        with serve_in_thread(OPTIONS) as server:
            job = BackupJob(server.url, server.token, dest, self.projects, self.keep)
            if self.change is not None:
                told = run(job, back_up)
                assert told is not None
                self.change(server)
            killed, moments = 0, []
            for die_at, after in deaths:
                told = run(replace(job, die_at=die_at, after=after), back_up)
                if told is not None:
                    break
                killed += 1
                whole(dest)
            posted = len(self.requests(server))
            done = whole(dest)
            told = run(job, back_up)
            assert told is not None
            assert told["ok"], told["report"]
            moments = told["moments"]
            at_rest(dest)
            if self.change is None and not self.projects:
                # What was committed is not requested again.
                assert len(self.requests(server)) - posted <= OPTIONS.tasks - len(done)
            return whole(dest), moments, killed

    @staticmethod
    def requests(server: SimulatedServer) -> list[Any]:
        return [call for call in server.calls if call.path.endswith("/backup/export")]


def edited(server: SimulatedServer) -> None:
    for task_id in (1, 2):
        server.edit_task(task_id)


TRIALS = {
    "first": Trial(),
    "projects": Trial(projects=True),
    "changed, and older ones go": Trial(change=edited, keep=1),
    "changed": Trial(change=edited),
}


def dest_of(place: Path) -> Callable[[], Path]:
    made = iter(range(100_000))
    return lambda: place / str(next(made))


@pytest.mark.parametrize("name", TRIALS)
def test_a_killed_backup_is_whole_or_absent_and_the_next_run_ends_the_same(
    name: str, tmp_path: Path, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    trial, dest = TRIALS[name], dest_of(tmp_path)
    undisturbed, moments, _ = trial.ended(dest())
    assert len(moments) > 10
    for die_at in range(1, len(moments) + 1) if thorough else some(moments):
        for after in (False, True) if thorough else (die_at % 2 == 0,):
            found, _, killed = trial.ended(dest(), (die_at, after))
            assert found == undisturbed, (die_at, moments[die_at - 1], after)
            count_cases(killed)


def some(moments: list[str]) -> list[int]:
    """Choose moments of commits, and of what is between them."""
    chance = random.Random("moments")
    commits = [n for n, name in enumerate(moments, 1) if name in COMMITS]
    others = [n for n, name in enumerate(moments, 1) if name not in COMMITS]
    return chance.sample(commits, SAMPLE) + chance.sample(others, SAMPLE // 2)


@pytest.mark.thorough
@pytest.mark.parametrize("name", TRIALS)
def test_the_next_run_may_be_killed_as_well(
    name: str, tmp_path: Path, count_cases: Callable[[int], None]
) -> None:
    trial, dest = TRIALS[name], dest_of(tmp_path)
    undisturbed, moments, _ = trial.ended(dest())
    for first in range(1, len(moments) + 1, 7):
        for second in range(1, len(moments) + 1, 11):
            for after in (False, True):
                deaths = ((first, after), (second, not after))
                found, _, killed = trial.ended(dest(), *deaths)
                assert found == undisturbed, deaths
                count_cases(killed)
