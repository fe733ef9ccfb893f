"""Tasks copied from one server to another, beside the SDK, which does it by files on disk."""

from __future__ import annotations

from pathlib import Path

from asynccvat.simulator import ServerProcess
from benchmarks.cases.mirrors import small_tasks
from benchmarks.contenders import OURS
from benchmarks.measuring import Run, in_turns, median_ratio, median_seconds
from benchmarks.results import Result, at_least
from benchmarks.setting import Setting
from benchmarks.traces import idle_share
from benchmarks.verbs import (
    POOL,
    VerbJob,
    Worker,
    asynccvat_verb,
    check_alike,
    made_tasks,
    sdk_verb,
)

_SECONDS, _WORKERS = 0.25, 2


def many_copies(setting: Setting) -> Result:
    """Small tasks to a server that has none of them."""
    tasks, work = max(2, setting.sizes.tasks // 3), setting.folder("copies")
    contenders: dict[str, Worker] = {OURS: asynccvat_verb, POOL: sdk_verb(setting.cache)}
    _check(contenders, work)

    def turn_of(name: str, number: int) -> Run:
        with ServerProcess(small_tasks(tasks)) as source, _empty_server(costs=True) as target:
            run = contenders[name](_job(source, target, work / f"{number} {name}"))
            calls, spans = len(source.calls) + len(target.calls), target.imports
            if len(spans) != tasks or len(made_tasks(target, 1)) != tasks:
                raise SystemExit(f"{name} has not copied each of {tasks} tasks once")
        run.figures["requests_per_task"] = calls / tasks
        run.figures["workers_idle"] = idle_share(spans, _WORKERS)
        return run

    runs = in_turns(
        setting.sizes.rounds,
        {
            OURS: lambda number: turn_of(OURS, number),
            POOL: lambda number: turn_of(POOL, number),
        },
    )
    bound = tasks * _SECONDS / _WORKERS
    ratio = median_seconds(runs[OURS]) / bound
    return Result(
        name="copies",
        title="Small tasks copied to another server",
        scale=f"{tasks} tasks x 5 frames; {_WORKERS} workers x {_SECONDS:g} s and 2 API workers x "
        "40 ms at each of two servers",
        goals=[at_least("wall of the pool / ours", median_ratio(runs[POOL], runs[OURS]), 1)],
        runs=runs,
        notes=[
            (
                f"asynccvat takes {ratio:.2f} times the {bound:g} s that the workers of one server "
                "need; the two servers work at the same time. It compares each copy with its task, "
                "the pool does not. Requests are those of both servers; idle workers are those of "
                "the target."
            )
        ],
    )


def _empty_server(*, costs: bool) -> ServerProcess:
    return ServerProcess(small_tasks(0, projects=0, costs=costs, restore_seconds=_SECONDS))


def _job(source: ServerProcess, target: ServerProcess, work: Path) -> VerbJob:
    work.mkdir()
    return VerbJob(verb="copy", server=source, folder=work, work=work, target=target)


def _check(contenders: dict[str, Worker], work: Path) -> None:
    made: dict[str, object] = {}
    for name, contender in contenders.items():
        source = ServerProcess(small_tasks(2, costs=False))
        with source, _empty_server(costs=False) as target:
            contender(_job(source, target, work / f"check {name}"))
            made[name] = made_tasks(target, 1, annotations=True)
    check_alike(made)
