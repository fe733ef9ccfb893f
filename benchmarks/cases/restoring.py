"""Small tasks restored of their backups: against the server's bound, beside the official tools."""

from __future__ import annotations

import shutil
from pathlib import Path

from asynccvat.simulator import ServerProcess
from benchmarks.cases.mirrors import small_tasks
from benchmarks.contenders import OURS
from benchmarks.measuring import Run, median_seconds
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting
from benchmarks.traces import calls_by_kind, idle_share
from benchmarks.verbs import (
    LOOP,
    POOL,
    VerbJob,
    Worker,
    asynccvat_verb,
    check_alike,
    cli_verb,
    made_tasks,
    race,
    sdk_verb,
    side_by_side,
)

_SECONDS, _WORKERS, _CALL_SECONDS = 0.25, 2, 0.04


def many_restores(setting: Setting) -> Result:
    """Backups of small tasks to a server that has none of them."""
    tasks, work = setting.sizes.tasks, setting.folder("restores")
    contenders: dict[str, Worker] = {
        OURS: asynccvat_verb,
        POOL: sdk_verb(setting.cache),
        LOOP: cli_verb(setting.cache),
    }
    sources = {count: work / f"{count}" for count in {2, setting.sizes.loop_tasks, tasks}}
    for count, source in sources.items():
        _back_up(count, source)
    _check(contenders, sources[2], work)

    def turn(name: str, count: int, number: int) -> Run:
        with ServerProcess(small_tasks(0, projects=0, restore_seconds=_SECONDS)) as server:
            run = contenders[name](_job(name, server, sources[count], work / f"{number} {name}"))
            calls, spans = server.calls, server.imports
            if len(spans) != count or len(made_tasks(server, 1)) != count:
                raise SystemExit(f"{name} has not restored each of {count} tasks once")
        run.figures["requests_per_task"] = len(calls) / count
        run.figures["workers_idle"] = idle_share(spans, _WORKERS)
        run.figures["calls"] = calls_by_kind(calls)
        return run

    runs = race(setting, turn)
    bound = max(tasks * _SECONDS / _WORKERS, tasks * _CALL_SECONDS)
    goals, notes = side_by_side(runs, setting.sizes)
    return Result(
        name="restores",
        title="Small backups restored",
        scale=f"{tasks} backups of 5 frames; {_WORKERS} workers x {_SECONDS:g} s; "
        "2 API workers x 40 ms",
        goals=[
            at_most(f"wall / the bound of {bound:g} s", median_seconds(runs[OURS]) / bound, 1.10),
            *goals,
        ],
        runs=runs,
        notes=[
            (
                "The bound is the larger of the workers' time and that of the calls that make a "
                "task, of which asynccvat leaves one unanswered at a time: "
                f"{tasks * _CALL_SECONDS:g} s."
            ),
            *notes,
        ],
    )


def _back_up(count: int, source: Path) -> None:
    """Back up so many tasks in our layout, and put each zip into a folder for the peers."""
    peers = _zips_of(source)
    source.mkdir()
    peers.mkdir()
    with ServerProcess(small_tasks(count, costs=False)) as server:
        asynccvat_verb(VerbJob(verb="backup", server=server, folder=source, work=source))
    for path in source.glob("task*/*.zip"):
        shutil.copyfile(path, peers / f"{path.parent.name}.zip")


def _zips_of(source: Path) -> Path:
    return source.with_name(f"{source.name} zips")


def _job(name: str, server: ServerProcess, source: Path, work: Path) -> VerbJob:
    work.mkdir()
    folder = source if name == OURS else _zips_of(source)
    return VerbJob(verb="restore", server=server, folder=folder, work=work)


def _check(contenders: dict[str, Worker], source: Path, work: Path) -> None:
    made: dict[str, object] = {}
    for name, contender in contenders.items():
        with ServerProcess(small_tasks(0, projects=0, costs=False)) as server:
            contender(_job(name, server, source, work / f"check {name}"))
            made[name] = made_tasks(server, 1, annotations=True)
    check_alike(made)
