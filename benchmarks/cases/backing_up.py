"""Backups: many small ones against the server's bound and once more, one large one."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from pathlib import Path

from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.cases.mirrors import small_tasks
from benchmarks.contenders import OURS
from benchmarks.measuring import Run, median_seconds, run_process
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting

_AGAIN = "asynccvat, nothing changed"
_FRAME_BYTES = 10_000_000
_MB = 1_000_000


def many_backups(setting: Setting) -> Result:
    """Small tasks from nothing, and a second run that has nothing to do."""
    tasks, work = setting.sizes.tasks, setting.folder("backups")
    runs: dict[str, list[Run]] = {OURS: [], _AGAIN: []}
    for number in range(setting.sizes.rounds):
        dest = work / str(number)
        with ServerProcess(small_tasks(tasks)) as server:
            first = _back_up(OURS, server, dest)
            calls = len(server.calls)
            again = _back_up(_AGAIN, server, dest)
            later = len(server.calls) - calls
        if (first.told["backed_up"], again.told["unchanged"]) != (tasks, tasks):
            raise SystemExit("not every task was backed up once: nothing is timed")
        first.figures["requests_per_task"] = calls / tasks
        again.figures["requests"] = later
        print(f"    {OURS}: {first.seconds:.2f} s, {calls} requests", flush=True)
        runs[OURS].append(first)
        runs[_AGAIN].append(again)
        shutil.rmtree(dest)
    bound = tasks * 0.25 / 2
    requests = statistics.median(run.figures["requests_per_task"] for run in runs[OURS])
    return Result(
        name="backups",
        title="Small tasks backed up",
        scale=f"{tasks} tasks x 5 frames, a zip each; 2 workers x 0.25 s; 2 API workers x 40 ms",
        goals=[
            at_most(f"wall / the bound of {bound:g} s", median_seconds(runs[OURS]) / bound, 1.10),
            at_most("requests a task", requests, 2.2),
            at_most(
                "requests of a run with nothing to do",
                max(run.figures["requests"] for run in runs[_AGAIN]),
                4,
            ),
        ],
        runs=runs,
    )


def large_backup(setting: Setting) -> Result:
    """One large task: what of it is in memory at once."""
    work = setting.folder("large backup")
    frames = max(1, round(setting.sizes.resumed_mb * _MB / _FRAME_BYTES))
    options = SimulatorOptions(tasks=1, frames=frames, frame_bytes=_FRAME_BYTES)
    with ServerProcess(options) as server:
        run = _back_up(OURS, server, work / "backups")
    size = run.told["received"]
    shutil.rmtree(work)
    print(f"    {OURS}: {run.seconds:.2f} s, {run.peak_mib:.0f} MiB", flush=True)
    return Result(
        name="large backup",
        title="One large backup",
        scale=f"{size / _MB:,.0f} MB in frames of {_FRAME_BYTES / _MB:g} MB",
        goals=[at_most("resident memory at its peak", run.peak_mib * 2**20 / _MB, 100, " MB")],
        runs={OURS: [run]},
    )


def _back_up(name: str, server: ServerProcess, dest: Path) -> Run:
    job = {
        "url": server.url,
        "username": server.username,
        "password": server.password,
        "dest": str(dest),
    }
    module = "benchmarks.workers.asynccvat_backup"
    return run_process(name, [sys.executable, "-m", module, json.dumps(job)])
