"""SIGKILL at every effect and every call of an export to a bucket: its objects end whole and known.

A run is killed at its n-th moment, for every n. The next run ends like one that was never killed,
without a refusal of what the killed one wrote, and an object of somebody else stays as it is. The
quick run takes a sample of the moments. With `--thorough` each is taken, before and after, and the
next run is killed as well.
"""

from __future__ import annotations

import asyncio
import re
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

pytestmark = pytest.mark.proof("Killed exports to buckets")

SAMPLE = 2
MINE = b"written by somebody else"
TASKS = 3
CHANGING = re.compile(rb"\d{4}-\d\d-\d\d[ T][\d:.]+(\+00:00|Z)?|127\.0\.0\.1:\d+")
"""What differs from one export to the next: dates, and the server's port."""


@dataclass(frozen=True)
class CloudJob:
    """An export to a bucket, and where it dies.

    Attributes:
        url: The server.
        token: The superuser's key.
        record: The record of what was written.
        die_at: The number of the moment, from 1. None to live.
        after: Whether the effect or call of that moment is done before.
    """

    url: str
    token: str
    record: Path
    die_at: int | None = None
    after: bool = False


async def export(job: CloudJob) -> asynccvat.RunReport:
    options = asynccvat.CloudOptions(record=job.record, concurrency=1)
    async with asynccvat.CvatClient(job.url, token=job.token) as client:
        return await asynccvat.export_to_cloud(client, 1, "x", options=options)


def actions(told: dict[str, Any] | None) -> dict[int, str]:
    """By task, what was done; the one whose name is taken has to be refused each time."""
    assert told is not None
    found = {one["task_id"]: one["action"] for one in told["report"]["tasks"]}
    assert found.pop(TASKS) == "failed", told["report"]
    assert "failed" not in found.values(), told["report"]
    return found


def requested(server: SimulatedServer) -> int:
    return sum(call.path.endswith("/dataset/export") for call in server.calls)


def ended(folder: Path, scenario: str, *deaths: tuple[int, bool]) -> tuple[Any, list[str], int]:
    """Export until a run lives. Returns what is there, its moments, and how many were killed."""
    bucket = folder / "bucket"
    (bucket / "x").mkdir(parents=True)
    taken = bucket / "x" / f"task{TASKS}.zip"
    taken.write_bytes(MINE)
    with serve_in_thread(SimulatorOptions(tasks=TASKS, frames=1)) as server:
        server.add_cloud_storage(bucket)
        job = CloudJob(server.url, server.token, folder / "record.jsonl")
        if scenario == "changed":
            actions(run(job, export))
            server.edit_task(1)
        killed = 0
        for die_at, after in deaths:
            if run(replace(job, die_at=die_at, after=after), export) is not None:
                break
            killed += 1
            assert taken.read_bytes() == MINE
        told = run(job, export)
        actions(told)
        posted = requested(server)
        again = {"report": asyncio.run(export(job)).to_json()}
        assert set(actions(again).values()) == {"kept"}
        assert requested(server) == posted, "what is known to be there was exported again"
    assert taken.read_bytes() == MINE
    taken.unlink()
    contents = {}
    for path in sorted((bucket / "x").iterdir()):
        with zipfile.ZipFile(path) as archive:
            contents[path.name] = {
                name: CHANGING.sub(b"", archive.read(name)) for name in archive.namelist()
            }
    assert told is not None
    return contents, told["moments"], killed


def moments_of(folder: Path, scenario: str) -> tuple[Any, list[str]]:
    """What an undisturbed run ends with, and the moments at which it can be killed."""
    undisturbed, _, _ = ended(folder / "whole", scenario)
    assert list(undisturbed) == ["task1.zip", "task2.zip"]
    # The last run of `ended` has the moments of a run that finds all done, or of the first one.
    _, moments, killed = ended(folder / "killed at once", scenario, (1, False))
    assert killed == 1
    assert any(name.startswith("POST") for name in moments)
    return undisturbed, moments


@pytest.mark.parametrize("scenario", ["new", "changed"])
def test_a_killed_export_to_a_bucket_ends_like_one_never_killed(
    scenario: str, tmp_path: Path, count_cases: Callable[[int], None], *, thorough: bool
) -> None:
    undisturbed, moments = moments_of(tmp_path, scenario)
    step = 1 if thorough else max(len(moments) // SAMPLE, 1)
    calls = [number for number, name in enumerate(moments, 1) if name.startswith("POST")]
    for die_at in sorted({*range(1, len(moments) + 1, step), calls[0]}):
        for after in (False, True) if thorough else (die_at == calls[0],):
            found, _, killed = ended(tmp_path / f"{die_at} {after}", scenario, (die_at, after))
            assert found == undisturbed, (die_at, after, moments[die_at - 1])
            count_cases(killed)


@pytest.mark.thorough
@pytest.mark.parametrize("scenario", ["new", "changed"])
def test_the_next_run_may_be_killed_as_well(
    scenario: str, tmp_path: Path, count_cases: Callable[[int], None]
) -> None:
    undisturbed, moments = moments_of(tmp_path, scenario)
    for first in range(1, len(moments) + 1, 2):
        for second in range(1, len(moments) + 1, 3):
            for after in (False, True):
                deaths = ((first, after), (second, not after))
                found, _, killed = ended(tmp_path / f"{first} {second} {after}", scenario, *deaths)
                assert found == undisturbed, deaths
                count_cases(killed)
