"""SIGKILL at every effect and every call of a copy: no task twice, none lost, none half.

A copy is killed at its n-th moment, for every n. The next run ends like one that was never killed:
the target then has the same tasks, with the same annotations, in the same projects. The quick run
takes a sample of the moments. With `--thorough` each is taken, before and after, and the next run
is killed as well. After each kill, a task that was copied before has a whole copy: the one that is
replaced goes only when the other stands.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from copy_processes import CopyJob, run

import asynccvat
from asynccvat.core.selections.selection import JobSelection
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Killed copies")

SAMPLE = 2
SCENARIOS = ("new", "changed and deleted", "states of jobs")
Counts = dict[str, int]


def state(server: SimulatedServer) -> Any:
    """What the target has, without ids and dates."""

    async def read() -> Any:
        async with asynccvat.CvatClient(server.url, token=server.token) as client:
            projects = {one.id: one.name for one in await client.projects()}
            tasks = []
            jobs = await client.jobs(JobSelection())
            for task in (await client.tasks()).tasks:
                held = await client.annotations(task.id)
                tasks.append(
                    (
                        task.name,
                        task.size,
                        task.subset,
                        projects.get(task.project_id or 0),
                        held.counts.to_json(),
                        sorted(shape["points"] for shape in json.loads(held.raw)["shapes"]),
                        [(job.stage, job.state) for job in jobs if job.task_id == task.id],
                    )
                )
            return sorted(tasks, key=str), sorted(projects.values())

    return asyncio.run(read())


def standing_tasks(server: SimulatedServer) -> dict[str, tuple[int, Counts]]:
    """By name, the frames and annotations of the copies that may not go without another one."""
    tasks, _ = state(server)
    gone = sorted(task[0] for task in tasks)[1]
    return {name: (size, counts) for name, size, _, _, counts, *_ in tasks if name != gone}


def check_standing(server: SimulatedServer, before: dict[str, tuple[int, Counts]]) -> None:
    """Check that each of these has a copy with all its frames and no fewer annotations."""
    tasks, _ = state(server)
    for name, (size, counts) in before.items():
        assert any(
            (task[0], task[1]) == (name, size)
            and all(task[4].get(kind, 0) >= number for kind, number in counts.items())
            for task in tasks
        ), f"no whole copy of {name!r} stands"


@pytest.fixture
def place(tmp_path: Path) -> Callable[[], Path]:
    """Name a new folder each time."""
    made = iter(range(100_000))
    return lambda: tmp_path / str(next(made))


def ended(scenario: str, folder: Path, *deaths: tuple[int, bool]) -> tuple[Any, list[str], int]:
    """Copy until a run lives. Returns the target's state, its moments, and how many were killed."""
    with (
        serve_in_thread(SimulatorOptions(tasks=3, frames=1)) as old,
        serve_in_thread(SimulatorOptions(tasks=0, projects=0)) as new,
    ):
        job = CopyJob((old.url, old.token), (new.url, new.token), folder)
        states = scenario == "states of jobs"
        if scenario != "new":
            told = run(job)
            assert told is not None
            assert told["ok"], told["report"]
            if states:
                for task in old.world.tasks.values():
                    old.world.change_job(task.jobs()[0].id, stage="acceptance", state="completed")
            else:
                old.edit_task(1)
                old.delete_task(2)
        told, killed, expected = None, 0, _expected(scenario)
        standing = None if scenario == "new" else standing_tasks(new)
        job = replace(job, states=states)
        for die_at, after in (*deaths, (None, False)):
            told = run(replace(job, expect=expected, die_at=die_at, after=after))
            if told is not None:
                break
            killed += 1
            if standing is not None:
                check_standing(new, standing)
        assert told is not None
        if told["report"]["guard"] is not None:
            # What a killed run has removed is not there to be expected again.
            told = run(replace(job, expect=0))
        assert told is not None
        assert told["ok"], told["report"]
        return state(new), told["moments"], killed


def _expected(scenario: str) -> int | None:
    return 1 if scenario == "changed and deleted" else None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_killed_copy_ends_like_one_never_killed(
    scenario: str,
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    undisturbed, moments, _ = ended(scenario, place())
    assert len(moments) > 10
    assert scenario == "states of jobs" or any("Upload-Finish" in name for name in moments)
    step = 1 if thorough else max(len(moments) // SAMPLE, 1)
    for die_at in range(1, len(moments) + 1, step):
        for after in (False, True) if thorough else (die_at % 2 == 0,):
            found, _, killed = ended(scenario, place(), (die_at, after))
            assert found == undisturbed, (die_at, after, moments[die_at - 1])
            count_cases(killed)


def test_the_calls_that_count_are_made_once_whenever_a_kill_comes(
    place: Callable[[], Path], count_cases: Callable[[int], None]
) -> None:
    for scenario, calls in (
        ("changed and deleted", ("Upload-Finish", "DELETE")),
        ("states of jobs", ("/api/jobs/",)),
    ):
        undisturbed, moments, _ = ended(scenario, place())
        for call in calls:
            first = next(n for n, name in enumerate(moments, 1) if call in name)
            found, _, killed = ended(scenario, place(), (first, True))
            assert (found, killed) == (undisturbed, 1), call
            count_cases(killed)


@pytest.mark.thorough
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_next_run_may_be_killed_as_well(
    scenario: str, place: Callable[[], Path], count_cases: Callable[[int], None]
) -> None:
    undisturbed, moments, _ = ended(scenario, place())
    for first in range(1, len(moments) + 1, 3):
        for second in range(1, len(moments) + 1, 5):
            for after in (False, True):
                deaths = ((first, after), (second, not after))
                found, _, killed = ended(scenario, place(), *deaths)
                assert found == undisturbed, deaths
                count_cases(killed)
