"""Mirrors as JSON, and converted from it, against mirrors by exports; the costs of CVAT 2.64."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.contenders import OURS, Mirrorer, MirrorJob, asynccvat_mirror
from benchmarks.measuring import Run, in_turns, median_ratio
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting

_JSON = "asynccvat --format json"
_BARE = "asynccvat --format json --no-frames"
_CONVERTED = "asynccvat --without-exports"
_EXPORT_SECONDS = 0.085
_CHANGED = 30
_LISTS = ("/api/tasks", "/api/jobs")


def as_json(setting: Setting) -> Result:
    """Small tasks from nothing, and an update of a few of many."""
    sizes, work = setting.sizes, setting.folder("json")
    contenders = {
        OURS: asynccvat_mirror(OURS),
        _JSON: asynccvat_mirror(_JSON, format="json"),
        _BARE: asynccvat_mirror(_BARE, format="json", frames=False),
        _CONVERTED: asynccvat_mirror(_CONVERTED, without_exports=True),
    }
    options = SimulatorOptions(
        tasks=sizes.tasks,
        frames=5,
        boxes_per_frame=4,
        costs=True,
        cpu_cores=2,
        export_seconds=_EXPORT_SECONDS,
        version="2.64.0",
    )
    runs = in_turns(
        sizes.rounds, {name: _timed(who, options, work) for name, who in contenders.items()}
    )
    many = sizes.unchanged[0]
    update, others = _update(many, work / "update")
    shutil.rmtree(work)
    return Result(
        name="json",
        title="Small tasks as JSON, without exports",
        scale=f"{sizes.tasks} tasks x 5 frames x 4 boxes; 2 simulated cores: 40 ms a call, 13 ms "
        f"more for annotations, 0.5 ms for each listed task or job, {1000 * _EXPORT_SECONDS:g} ms "
        "an export",
        goals=[
            at_most("wall as JSON / by exports", median_ratio(runs[_JSON], runs[OURS]), 0.60),
            at_most("requests a task as JSON", _requests(runs[_JSON]), 2.1),
            at_most(
                "wall as JSON without frames / by exports",
                median_ratio(runs[_BARE], runs[OURS]),
                0.40,
            ),
            at_most("requests a task without frames", _requests(runs[_BARE]), 1.1),
            at_most(
                "wall without exports, audits included / by exports",
                median_ratio(runs[_CONVERTED], runs[OURS]),
                0.65,
            ),
            at_most(
                f"requests of an update of {_CHANGED} of {many:,} tasks, lists of tasks and jobs "
                "left out",
                others,
                70,
            ),
        ],
        runs=runs | {f"{_JSON}, update of {_CHANGED} of {many:,}": [update]},
    )


def _timed(who: Mirrorer, options: SimulatorOptions, work: Path) -> Callable[[int], Run]:
    def run(number: int) -> Run:
        with ServerProcess(options) as server:
            dest = work / f"mirror{number}"
            done = who(MirrorJob(server, dest))
            calls = server.calls
        if done.told["actions"] != {"fetched": options.tasks}:
            raise SystemExit(f"not all tasks were fetched: {done.told['actions']}")
        shutil.rmtree(dest)
        done.figures["requests_per_task"] = len(calls) / options.tasks
        return done

    return run


def _update(tasks: int, dest: Path) -> tuple[Run, int]:
    """Return an update of a few of many tasks, and how many of its requests were no lists."""
    options: dict[str, Any] = {"frames": 1, "boxes_per_frame": 1}
    who = asynccvat_mirror(_JSON, format="json", durable=False)
    with ServerProcess(SimulatorOptions(tasks=tasks, **options)) as server:
        who(MirrorJob(server, dest))
        for task_id in range(1, tasks, tasks // _CHANGED):
            server.do("edit_task", task_id=task_id)
        before = len(server.calls)
        done = who(MirrorJob(server, dest))
        calls = Counter(call["path"] for call in server.calls[before:])
    fetched = done.told["actions"]["fetched"]
    if fetched < _CHANGED:
        raise SystemExit(f"only {fetched} tasks were fetched")
    done.figures["requests_per_task"] = calls.total() / fetched
    return done, sum(count for path, count in calls.items() if path not in _LISTS)


def _requests(runs: list[Run]) -> float:
    return max(float(run.figures["requests_per_task"]) for run in runs)
