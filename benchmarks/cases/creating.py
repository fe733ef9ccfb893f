"""Tasks made of folders of images: against the server's bound, beside the official tools."""

from __future__ import annotations

from pathlib import Path

from asynccvat.simulator import ServerProcess
from asynccvat.simulator.world.jpeg import draw_jpeg
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

_SECONDS, _WORKERS = 0.17, 2
_IMAGES = 5
# The server starts with one task, whose project has labels for those that are made.
_FIRST = 2


def many_creations(setting: Setting) -> Result:
    """A task of each folder, into one project."""
    tasks, work = setting.sizes.tasks, setting.folder("creations")
    contenders: dict[str, Worker] = {
        OURS: asynccvat_verb,
        POOL: sdk_verb(setting.cache),
        LOOP: cli_verb(setting.cache),
    }
    sources = {count: work / f"{count}" for count in {2, setting.sizes.loop_tasks, tasks}}
    for count, source in sources.items():
        _draw(count, source)
    _check(contenders, sources[2], work)

    def turn(name: str, count: int, number: int) -> Run:
        with ServerProcess(small_tasks(1, creation_seconds=_SECONDS)) as server:
            run = contenders[name](_job(server, sources[count], work / f"{number} {name}"))
            calls, spans = server.calls, server.creations
            if [size for _, size in made_tasks(server, _FIRST)] != [_IMAGES] * count:
                raise SystemExit(f"{name} has not made each of {count} tasks once")
        run.figures["requests_per_task"] = len(calls) / count
        run.figures["workers_idle"] = idle_share(spans, _WORKERS)
        run.figures["calls"] = calls_by_kind(calls)
        return run

    runs = race(setting, turn)
    bound = tasks * _SECONDS / _WORKERS
    goals, notes = side_by_side(runs, setting.sizes)
    size = sum(path.stat().st_size for path in sources[2].rglob("*.jpg")) / 2
    return Result(
        name="creations",
        title="Tasks made of small folders of images",
        scale=f"{tasks} tasks x {_IMAGES} images, {size / 1000:.0f} KB a task; {_WORKERS} workers "
        f"x {_SECONDS:g} s; 2 API workers x 40 ms",
        goals=[
            at_most(f"wall / the bound of {bound:g} s", median_seconds(runs[OURS]) / bound, 1.10),
            *goals,
        ],
        runs=runs,
        notes=notes,
    )


def _draw(count: int, source: Path) -> None:
    for number in range(count):
        folder = source / f"camera{number:03}"
        folder.mkdir(parents=True)
        for image in range(_IMAGES):
            (folder / f"{image}.jpg").write_bytes(draw_jpeg(number * _IMAGES + image))


def _job(server: ServerProcess, source: Path, work: Path) -> VerbJob:
    work.mkdir()
    return VerbJob(verb="create", server=server, folder=source, work=work)


def _check(contenders: dict[str, Worker], source: Path, work: Path) -> None:
    made: dict[str, object] = {}
    for name, contender in contenders.items():
        with ServerProcess(small_tasks(1, costs=False)) as server:
            contender(_job(server, source, work / f"check {name}"))
            made[name] = made_tasks(server, _FIRST)
    check_alike(made)
