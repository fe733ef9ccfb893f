"""Small tasks backed up: against the server's bound, beside the official tools, and once more."""

from __future__ import annotations

import statistics
from pathlib import Path

from asynccvat.simulator import ServerProcess
from benchmarks.cases.mirrors import small_tasks
from benchmarks.contenders import OURS
from benchmarks.measuring import Run, median_seconds
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting
from benchmarks.traces import idle_share
from benchmarks.verbs import (
    LOOP,
    POOL,
    VerbJob,
    Worker,
    asynccvat_verb,
    check_alike,
    cli_verb,
    race,
    sdk_verb,
    side_by_side,
    zips_in,
)

_AGAIN = "asynccvat, nothing changed"
_SECONDS, _WORKERS = 0.25, 2


def many_backups(setting: Setting) -> Result:
    """Small tasks from nothing, and a second run that has nothing to do."""
    tasks, work = setting.sizes.tasks, setting.folder("backups")
    contenders: dict[str, Worker] = {
        OURS: asynccvat_verb,
        POOL: sdk_verb(setting.cache),
        LOOP: cli_verb(setting.cache),
    }
    with ServerProcess(small_tasks(2, costs=False)) as server:
        for name, contender in contenders.items():
            contender(_job(server, work / f"check {name}"))
        check_alike({name: zips_in(work / f"check {name}") for name in contenders})
    again: list[Run] = []

    def turn(name: str, count: int, number: int) -> Run:
        folder = work / f"{number} {name}"
        with ServerProcess(small_tasks(count)) as server:
            run = contenders[name](_job(server, folder))
            calls, spans = len(server.calls), server.exports
            if name == OURS:
                again.append(asynccvat_verb(_job(server, folder), _AGAIN))
                again[-1].figures["requests"] = len(server.calls) - calls
        if len(zips_in(folder)) != count:
            raise SystemExit(f"{name} has not backed up each of {count} tasks once")
        run.figures["requests_per_task"] = calls / count
        run.figures["workers_idle"] = idle_share(spans, _WORKERS)
        return run

    runs = race(setting, turn)
    if any(run.told["actions"] != {"kept": tasks} for run in again):
        raise SystemExit("a backup with nothing to do made some again")
    bound = tasks * _SECONDS / _WORKERS
    requests = statistics.median(run.figures["requests_per_task"] for run in runs[OURS])
    goals, notes = side_by_side(runs, setting.sizes)
    return Result(
        name="backups",
        title="Small tasks backed up",
        scale=f"{tasks} tasks x 5 frames, a zip each; {_WORKERS} workers x {_SECONDS:g} s; "
        "2 API workers x 40 ms",
        goals=[
            at_most(f"wall / the bound of {bound:g} s", median_seconds(runs[OURS]) / bound, 1.10),
            at_most("requests a task", requests, 2.2),
            at_most(
                "requests of a run with nothing to do",
                max(run.figures["requests"] for run in again),
                4,
            ),
            *goals,
        ],
        runs=runs | {_AGAIN: again},
        notes=notes,
    )


def _job(server: ServerProcess, folder: Path) -> VerbJob:
    folder.mkdir(exist_ok=True)
    return VerbJob(verb="backup", server=server, folder=folder, work=folder)
