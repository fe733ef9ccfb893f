"""SIGKILL at every effect and every call that counts of a `create`: no task twice, none half.

A run is killed at its n-th moment, for every n. The next run ends like one that was never killed:
the server then has the same project and tasks, with the same frames and annotations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from restore_processes import RestoreJob, run
from server_changes import held, put_media

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.threads import serve_in_thread

pytestmark = pytest.mark.proof("Nothing is created twice")

SAMPLE = 4
CALLS = ("POST /api/projects", "POST /api/tasks {", "Upload-Finish", "PATCH", "/data {")
"""Parts of the calls that count, of which a sample takes the first of each."""


def ended(source: Path, *deaths: tuple[int, bool]) -> tuple[Any, list[str], int]:
    """Run until a run lives. Returns the server's state, its moments, and how many were killed."""
    with serve_in_thread(SimulatorOptions(tasks=1, frames=1)) as server:
        job = RestoreJob(server.url, server.token, put_media(source), new_project="Harbour")
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


def test_a_killed_creation_ends_like_one_never_killed(
    tmp_path: Path, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    undisturbed, moments, _ = ended(tmp_path / "whole")
    assert [task[:3] for task in undisturbed[0]][:2] == [
        ("cam1", 3, "Harbour"),
        ("cam2", 1, "Harbour"),
    ]
    step = 1 if thorough else max(len(moments) // SAMPLE, 1)
    for die_at in range(1, len(moments) + 1, step):
        for after in (False, True) if thorough else (die_at % 2 == 0,):
            found, _, killed = ended(tmp_path / f"{die_at} {after}", (die_at, after))
            assert found == undisturbed, (die_at, after)
            count_cases(killed)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_counts_is_made_once_whenever_a_kill_comes(
    tmp_path: Path, call: str, count_cases: Callable[[int], None]
) -> None:
    undisturbed, moments, _ = ended(tmp_path / "whole")
    first = next(number for number, name in enumerate(moments, 1) if call in name)
    for after in (False, True):
        found, _, killed = ended(tmp_path / str(after), (first, after))
        assert (found, killed) == (undisturbed, 1), after
        count_cases(killed)


@pytest.mark.thorough
def test_the_next_run_may_be_killed_as_well(
    tmp_path: Path, count_cases: Callable[[int], None]
) -> None:
    undisturbed, moments, _ = ended(tmp_path / "whole")
    for first in range(1, len(moments) + 1, 5):
        for second in range(1, len(moments) + 1, 7):
            for after in (False, True):
                deaths = ((first, after), (second, not after))
                found, _, killed = ended(tmp_path / f"{first} {second} {after}", *deaths)
                assert found == undisturbed, deaths
                count_cases(killed)
