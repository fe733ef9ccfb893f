"""SIGKILL at every effect and every call that counts: no task twice, none lost, none half.

A restore or an import is killed at its n-th moment, for every n. The next run ends like one that
was never killed: the server then has the same tasks, with the same annotations, in the same
projects. The quick run takes a sample of the moments. With `--thorough` each is taken, before and
after, and the next run is killed as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from restore_processes import RestoreJob, run
from server_changes import PROJECT, held, put_backups, put_datasets

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Killed restores")

SAMPLE = 3


@pytest.fixture
def place(tmp_path: Path) -> Callable[[], Path]:
    """Make a new folder each time."""
    made = iter(range(100_000))
    return lambda: tmp_path / str(next(made))


SCENARIOS = ("tasks", "tasks into a project", "project", "datasets")


def prepared(scenario: str, source: Path) -> dict[str, Any]:
    """Put what is restored or imported into a new folder. Returns what the job needs."""
    if scenario == "datasets":
        return {"datasets": put_datasets(source), "project": PROJECT}
    put_backups(source, projects=scenario == "project")
    into = PROJECT if scenario == "tasks into a project" else None
    return {"projects": scenario == "project", "project": into}


def ended(scenario: str, source: Path, *deaths: tuple[int, bool]) -> tuple[Any, list[str], int]:
    """Run until a run lives. Returns the server's state, its moments, and how many were killed."""
    options = SimulatorOptions(tasks=1, frames=1)
    with serve_in_thread(options) as server:
        what = prepared(scenario, source)
        job = RestoreJob(server.url, server.token, source, **what)
        killed = 0
        for die_at, after in deaths:
            told = run(replace(job, die_at=die_at, after=after))
            if told is not None:
                break
            killed += 1
        else:
            told = run(job)
        assert told is not None
        assert told["ok"], told["report"]
        return asyncio.run(held(server)), told["moments"], killed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_killed_restore_ends_like_one_never_killed(
    scenario: str,
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
    *,
    thorough: bool,
) -> None:
    undisturbed, moments, _ = ended(scenario, place())
    assert len(moments) > 10
    assert any("Upload-Finish" in name for name in moments)
    step = 1 if thorough else max(len(moments) // SAMPLE, 1)
    for die_at in range(1, len(moments) + 1, step):
        for after in (False, True) if thorough else (die_at % 2 == 0,):
            found, _, killed = ended(scenario, place(), (die_at, after))
            assert found == undisturbed, (die_at, after)
            count_cases(killed)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_call_that_counts_is_made_once_whenever_a_kill_comes(
    scenario: str,
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
) -> None:
    undisturbed, moments, _ = ended(scenario, place())
    first = next(n for n, name in enumerate(moments, 1) if "Upload-Finish" in name)
    for after in (False, True):
        found, _, killed = ended(scenario, place(), (first, after))
        assert (found, killed) == (undisturbed, 1), after
        count_cases(killed)


@pytest.mark.thorough
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_next_run_may_be_killed_as_well(
    scenario: str,
    place: Callable[[], Path],
    count_cases: Callable[[int], None],
) -> None:
    undisturbed, moments, _ = ended(scenario, place())
    for first in range(1, len(moments) + 1, 3):
        for second in range(1, len(moments) + 1, 5):
            for after in (False, True):
                deaths = ((first, after), (second, not after))
                found, _, killed = ended(scenario, place(), *deaths)
                assert found == undisturbed, deaths
                count_cases(killed)
