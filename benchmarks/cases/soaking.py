"""A very long run: what it holds on to, and whether anything ever keeps its loop waiting."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from typing import Any

from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.contenders import MirrorJob, asynccvat_soak
from benchmarks.measuring import Run
from benchmarks.results import Curve, Goal, Result, at_most
from benchmarks.setting import Setting

_MIRROR, _AGAIN = "asynccvat, from nothing", "asynccvat, again"
# What the start of a run holds is another matter than what it piles up.
_UNDER_WAY = 0.2
_POINTS = 11

_HOW = (
    "How long something waits in the loop is measured by a beat that is due every 10 ms. What "
    "counts is its lateness less the time in which the loop's thread was ready to run and the "
    "machine gave it no core; the notes of the goals have the lateness by the clock, too."
)

Sample = dict[str, Any]


def soak(setting: Setting) -> Result:
    """Very many small tasks, from nothing and once more with nothing changed."""
    tasks, work = setting.sizes.soak_tasks, setting.folder("soak")
    dest = work / "mirror"
    # The server takes no time: what is done for a task is done as often a second as can be.
    with ServerProcess(SimulatorOptions(tasks=tasks, frames=1, boxes_per_frame=1)) as server:
        job = MirrorJob(server, dest)
        first = _ran(asynccvat_soak(_MIRROR)(job), {"fetched": tasks})
        again = _ran(asynccvat_soak(_AGAIN)(job), {"kept": tasks})
    shutil.rmtree(work)
    under_way = [sample for sample in first.told["samples"] if sample["done"] >= _UNDER_WAY * tasks]
    return Result(
        name="soak",
        title="Very many small tasks",
        scale=f"{tasks:,} tasks of one frame, annotations, durable, on a server that takes no "
        "time; then once more with nothing changed",
        goals=[
            *(_peak(name, run) for name, run in ((_MIRROR, first), (_AGAIN, again))),
            at_most(
                f"memory that each task leaves behind, from {_UNDER_WAY:.0%} of the tasks on",
                _slope(under_way, "mib") * 2**20,
                512,
                " bytes",
                note="its outcome in the report among it",
            ),
            _files(under_way),
            *(_stall(name, run) for name, run in ((_MIRROR, first), (_AGAIN, again))),
            at_most("receipts read, warm", again.told["receipts_seconds"], 4, " s"),
        ],
        runs={_MIRROR: [first], _AGAIN: [again]},
        notes=[_HOW, *_stalls(first, again)],
        curves=[_held(first.told["samples"], tasks)],
    )


def _ran(run: Run, actions: dict[str, int]) -> Run:
    """The run, if it did what it was to do."""
    if run.told["actions"] != actions:
        raise SystemExit(f"{run.contender}: {run.told['actions']} instead of {actions}")
    run.figures["requests_per_task"] = run.told["requests"] / sum(actions.values())
    loop = run.told["loop"]
    run.figures |= {name: loop[name] for name in ("longest_ms", "latest_ms", "longest_gc_ms")}
    print(f"    {run.contender}: {run.seconds:.1f} s, {run.peak_mib:.0f} MiB, {loop}", flush=True)
    return run


def _peak(name: str, run: Run) -> Goal:
    return at_most(f"{name}: peak memory", run.peak_mib * 2**20 / 1e6, 350, " MB")


def _stall(name: str, run: Run) -> Goal:
    loop = run.told["loop"]
    return at_most(
        f"{name}: longest wait in the loop",
        loop["longest_ms"],
        50,
        " ms",
        note=f"{loop['latest_ms']:.0f} ms by the clock; the longest collection of garbage took "
        f"{loop['longest_gc_ms']:.0f} ms",
    )


def _stalls(*runs: Run) -> list[str]:
    """What kept the loop longest in each run."""
    told = []
    for run in runs:
        worst = [
            f"{stall['ours_ms']} ms ({stall['where'][0]})"
            for stall in run.told["loop"]["stalls"][:3]
            if stall["where"]
        ]
        if worst:
            told.append(f"{run.contender}, the longest waits: {'; '.join(worst)}.")
    return told


def _files(under_way: Sequence[Sample]) -> Goal:
    """Connections come and go: of each half the most that were open at once is compared."""
    half = len(under_way) // 2
    first, second = (
        max(sample["files"] for sample in them) for them in (under_way[:half], under_way[half:])
    )
    return at_most(
        "most open files in the second half / in the first",
        second / first,
        1.1,
        note=f"{second} and {first}, connections among them",
    )


def _slope(samples: Sequence[Sample], name: str) -> float:
    """By how much something grows a task."""
    done = [sample["done"] for sample in samples]
    return statistics.linear_regression(done, [sample[name] for sample in samples]).slope


def _held(samples: Sequence[Sample], tasks: int) -> Curve:
    """What was held when so many tasks were done."""
    points = [
        min(samples, key=lambda sample: abs(sample["done"] - tasks * share / (_POINTS - 1)))
        for share in range(_POINTS)
    ]
    return Curve(
        "soak-held",
        "what the process holds by tasks done",
        "tasks done",
        {
            label: [(sample["done"], sample[name]) for sample in points]
            for label, name in (
                ("resident memory, MiB", "mib"),
                ("open files", "files"),
                ("threads", "threads"),
            )
        },
        y_label="MiB, or how many",
    )
