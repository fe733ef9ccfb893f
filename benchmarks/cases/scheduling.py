"""Many small tasks from nothing: against the server's own bound, and against a pool of threads."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.cases.mirrors import (
    POOL_POLL,
    POOL_THREADS,
    check_mirrors,
    small_tasks,
    timed,
)
from benchmarks.contenders import OURS, asynccvat_mirror, sdk_mirror, sdk_name
from benchmarks.measuring import Run, in_turns, median_ratio, median_seconds
from benchmarks.results import Goal, Result, at_least, at_most
from benchmarks.setting import Setting

_CALL_SECONDS, _EXPORT_SECONDS = 0.017, 0.18
_REMEMBERED = 5000
_BUSY = "asynccvat, server remembers 5,000 requests"


def fresh(setting: Setting) -> Result:
    """Small tasks; calls and exports have processors of their own."""
    sizes, work = setting.sizes, setting.folder("fresh")
    pool = sdk_name(POOL_THREADS, POOL_POLL)
    contenders = {
        OURS: asynccvat_mirror(),
        pool: sdk_mirror(setting.cache, threads=POOL_THREADS, poll=POOL_POLL),
    }
    check_mirrors(contenders, small_tasks(6, costs=False), work)
    options = small_tasks(sizes.tasks)
    spans: dict[str, list[dict[str, Any]]] = {}
    runs = in_turns(
        sizes.rounds,
        {name: timed(who, options, work, spans=spans) for name, who in contenders.items()},
    )
    bound = sizes.tasks * 0.25 / 2
    ours, ratio = median_seconds(runs[OURS]), median_ratio(runs[pool], runs[OURS])
    requests = _median(runs[OURS], "requests_per_task")
    return Result(
        name="fresh",
        title="Small tasks from nothing",
        scale=f"{sizes.tasks} tasks x 5 frames, annotations; 2 export workers x 0.25 s; "
        "2 API workers x 40 ms",
        goals=[
            at_most(f"wall / the bound of {bound:g} s", ours / bound, 1.05),
            at_most("requests a task", requests, 2.2),
            at_least("wall of the pool / ours", ratio, 1.0),
            at_most(
                "requests / the pool's", requests / _median(runs[pool], "requests_per_task"), 0.5
            ),
            *_scheduler_goals(runs[OURS]),
        ],
        runs=runs,
        spans=spans,
    )


def shared(setting: Setting) -> Result:
    """Small tasks where calls and exports share two cores, as on the machine that was measured."""
    sizes, work = setting.sizes, setting.folder("shared")
    options = small_tasks(
        sizes.tasks, cpu_cores=2, latency=_CALL_SECONDS, export_seconds=_EXPORT_SECONDS
    )
    poll, search = _best_poll(setting)
    names = {each: sdk_name(POOL_THREADS, each) for each in (POOL_POLL, poll)}
    contenders = {OURS: asynccvat_mirror()} | {
        name: sdk_mirror(setting.cache, threads=POOL_THREADS, poll=each)
        for each, name in names.items()
    }
    check_mirrors(contenders, small_tasks(6, costs=False), work)
    spans: dict[str, list[dict[str, Any]]] = {}
    turns = {name: timed(who, options, work, spans=spans) for name, who in contenders.items()}
    busy = small_tasks(
        sizes.tasks,
        cpu_cores=2,
        latency=_CALL_SECONDS,
        export_seconds=_EXPORT_SECONDS,
        remembered_requests=_REMEMBERED,
    )
    turns[_BUSY] = timed(asynccvat_mirror(_BUSY), busy, work, spans=spans)
    runs = in_turns(sizes.rounds, turns)
    bound = (sizes.tasks * _EXPORT_SECONDS + 2 * sizes.tasks * _CALL_SECONDS) / 2
    return Result(
        name="shared",
        title="Small tasks where calls and exports share two cores",
        scale=f"{sizes.tasks} tasks x 5 frames, annotations; each call takes 17 ms of 2 simulated "
        "cores, each export 180 ms",
        goals=[
            at_most(f"wall / the bound of {bound:.2f} s", median_seconds(runs[OURS]) / bound, 1.05),
            at_least(
                "wall of the pool at 0.2 s polls / ours",
                median_ratio(runs[names[POOL_POLL]], runs[OURS]),
                1.5,
            ),
            at_least(
                f"wall of the pool at its best poll interval ({poll:g} s) / ours",
                median_ratio(runs[names[poll]], runs[OURS]),
                1.1,
            ),
            at_most(
                "wall where the server remembers 5,000 requests / where none",
                median_ratio(runs[_BUSY], runs[OURS]),
                1.15,
            ),
            Goal(
                "polls an export where 5,000 are remembered",
                "<= 1.3",
                f"{_median(runs[_BUSY], 'polls_per_export'):.3g}",
                _median(runs[_BUSY], "polls_per_export") <= 1.3,
            ),
        ],
        runs=runs,
        spans=spans,
        notes=[
            f"The pool's best poll interval was looked for on {sizes.poll_tasks} tasks: {search}."
        ],
    )


def _best_poll(setting: Setting) -> tuple[float, str]:
    """The pool's quickest poll interval where calls and exports share two cores."""
    options = small_tasks(
        setting.sizes.poll_tasks,
        cpu_cores=2,
        latency=_CALL_SECONDS,
        export_seconds=_EXPORT_SECONDS,
    )
    work = setting.folder("polls")
    found = {}
    for poll in setting.sizes.polls:
        pool = sdk_mirror(setting.cache, threads=POOL_THREADS, poll=poll)
        found[poll] = timed(pool, options, work)(0).seconds
    best = min(found, key=lambda poll: found[poll])
    return best, ", ".join(f"{poll:g} s: {seconds:.1f} s" for poll, seconds in found.items())


def _scheduler_goals(runs: list[Run]) -> list[Goal]:
    return [
        at_most("polls an export", _median(runs, "polls_per_export"), 0.15),
        at_most("server's workers idle", 100 * _median(runs, "workers_idle"), 2, " %"),
        at_most(
            "notice of an export's end, at the end of the run",
            1000 * _median(runs, "notice_seconds_at_end"),
            150,
            " ms",
        ),
    ]


def _median(runs: list[Run], figure: str) -> float:
    return statistics.median(float(run.figures[figure]) for run in runs)
