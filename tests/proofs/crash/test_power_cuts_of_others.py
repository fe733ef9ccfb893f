"""A power cut at any moment of a backup run, and of a mirror of jobs, whose folders are nested."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from memory_folders import in_memory
from power_disk import State, concrete
from power_promise import OWN, Recording, checked_states, go_on, record, telling_points
from power_scenarios import SPEC, Report, Scenario, Tell, World, unheard

import asynccvat as ac
from asynccvat.models import TargetKind

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Power cut")]

SAMPLE = 4
"""How many moments, and how many next runs, the ordinary tests look at."""


@pytest.fixture
def place() -> Iterator[Path]:
    with in_memory() as folder:
        yield folder


# --- backups -------------------------------------------------------------------------------------


class OfBackups(Recording):
    """A backup run, and what has to hold after a cut in it."""

    def check_left(self, point: int, state: State) -> None:
        dest = self.scenario.place
        good = set()
        for path in _receipts(state, dest):
            content = (state.files(f"{dest}/{path.parent}") or {}).get(path.name)
            versions = [one.get(str(path.parent), {}) for one in (self.before, self.after)]
            assert content is not None, f"{path} has a receipt and is not there"
            assert content in [one.get(path.name) for one in versions], f"{path} is not whole"
            good.add(str(path.parent))
        assert good >= self.before.keys(), "the last good backup of a task is lost"
        for outcome in self.told(point):
            if outcome.action in (ac.Action.BACKED_UP, ac.Action.KEPT):
                name = f"task{outcome.task_id}"
                new = self.after[name].items()
                assert (state.files(f"{dest}/{name}") or {}).items() >= new, f"{name} was told of"

    def check_end(self, dest: Path, *, orderly: bool) -> None:  # noqa: ARG002 - the same in any order
        for task_id in (1, 2):
            found = list((dest / f"task{task_id}").iterdir())
            receipts = list((dest / OWN / "backups" / f"task{task_id}").iterdir())
            assert [path.stem for path in found] == [path.stem for path in receipts]
            assert len(found) == 1, found
            with zipfile.ZipFile(found[0]) as archive:
                assert archive.testzip() is None
        assert list((dest / OWN / "staging").iterdir()) == []


def _receipts(state: State, dest: str) -> list[PurePosixPath]:
    """The zips that receipts speak of."""
    found = state.files(f"{dest}/{OWN}/backups") or {}
    for content in found.values():
        assert all(json.loads(line) for line in concrete(content, {}).splitlines()), "in part"
    paths = [PurePosixPath(path) for path in found if path.endswith(".json")]
    return [path.with_suffix(".zip") for path in paths]


async def back_up(world: World, dest: Path, tell: Tell = unheard) -> Report:
    """Back up both tasks; of each, the newest backup stays."""
    return await ac.backup(world.client, dest, options=ac.BackupOptions(keep=1), on_event=tell)


async def one_backed_up(world: World, dest: Path) -> None:
    """Backups of both tasks, of which both were edited since."""
    (await back_up(world, dest)).raise_for_failures()
    world.edit()


# --- jobs ----------------------------------------------------------------------------------------


class OfJobs(Recording):
    """A mirror of jobs, and what has to hold after a cut in it."""

    def check_left(self, point: int, state: State) -> None:
        dest = self.scenario.place
        found = {
            f"{task}/{job}": state.files(f"{dest}/{task}/{job}")
            for task in state.names(dest)
            if not task.startswith(".")
            for job in state.names(f"{dest}/{task}")
        }
        for name, files in found.items():
            self._check_whole(name, files)
        assert found.keys() >= self.before.keys() & self.after.keys(), "one was there and is gone"
        for outcome in self.told(point):
            assert outcome.path is not None
            name = f"{outcome.path.parent.name}/{outcome.path.name}"
            assert found.get(name) == self.after[name], f"{name} was told to be {outcome.action}"


async def mirror_jobs(world: World, dest: Path, tell: Tell = unheard) -> Report:
    """Mirror each job of each task."""
    spec = replace(SPEC, target=TargetKind.JOB)
    return await ac.mirror(
        world.client, dest, spec=spec, options=ac.MirrorOptions(change=True), on_event=tell
    )


async def jobs_that_changed(world: World, dest: Path) -> None:
    """A mirror of jobs whose tasks were edited since."""
    (await mirror_jobs(world, dest)).raise_for_failures()
    world.edit()


SCENARIOS = {
    "first backup": (OfBackups, Scenario(back_up, place="new/data")),
    "changed, and older backups go": (OfBackups, Scenario(back_up, one_backed_up)),
    "first mirror of jobs": (OfJobs, Scenario(mirror_jobs, place="new/data")),
    "update of jobs": (OfJobs, Scenario(mirror_jobs, jobs_that_changed)),
}


@pytest.mark.parametrize(("kind", "scenario"), SCENARIOS.values(), ids=SCENARIOS.keys())
async def test_after_a_power_cut_all_is_whole_or_absent_and_the_next_run_ends_the_same(
    place: Path,
    kind: type[Recording],
    scenario: Scenario,
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    chance = random.Random("cut")
    async with scenario.world() as served:
        done = await record(served, scenario, place)
        recording = kind(done.scenario, done.trace, done.before, done.after, done.undisturbed)
        assert recording.after != recording.before
        points = telling_points(recording.trace)
        steps = range(len(recording.trace.steps) + 1)
        cuts = checked_states(
            recording, steps if thorough else chance.sample(points, SAMPLE), chance
        )
        chosen = cuts if thorough else chance.sample(cuts, min(SAMPLE, len(cuts)))
        await go_on(served, recording, chosen, place, chance)
        count_cases(len(cuts))
