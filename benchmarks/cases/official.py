"""Slow contenders, scaled down: the official SDK and command line as their documents use them."""

from __future__ import annotations

from asynccvat.simulator import ServerProcess
from benchmarks.cases.mirrors import check_mirrors, small_tasks, timed
from benchmarks.contenders import (
    OURS,
    MirrorJob,
    asynccvat_mirror,
    cli_mirror,
    datnvt_mirror,
    sdk_mirror,
    sdk_name,
)
from benchmarks.measuring import Run, in_turns
from benchmarks.results import Result, at_least
from benchmarks.setting import Setting
from benchmarks.traces import calls_by_kind

_LOOP = "cvat-cli in a shell loop"
_OLD = "datnvt-cvat-cli"


def documented(setting: Setting) -> Result:
    """Each slow contender on a server of few tasks; seconds a task are compared."""
    sizes, work = setting.sizes, setting.folder("documented")
    slow, quick = sdk_name(1, None), sdk_name(1, 0.2)
    contenders = {
        OURS: asynccvat_mirror(),
        slow: sdk_mirror(setting.cache),
        quick: sdk_mirror(setting.cache, poll=0.2),
        _LOOP: cli_mirror(setting.cache),
    }
    check_mirrors(contenders, small_tasks(2, costs=False), work)
    counts = dict.fromkeys(contenders, sizes.documented_tasks) | {_LOOP: sizes.loop_tasks}
    turns = {name: timed(who, small_tasks(counts[name]), work) for name, who in contenders.items()}
    runs = in_turns(1, turns)
    seconds = {name: runs[name][0].seconds / counts[name] for name in runs}
    for name, count in counts.items():
        runs[name][0].figures["tasks"] = count
    old, notes = _old_endpoints(setting)
    return Result(
        name="documented",
        title="The official tools as their documentation uses them, scaled down",
        scale="; ".join(f"{name}: {count} tasks" for name, count in counts.items()),
        goals=[
            at_least(
                "wall of cvat-sdk as documented / ours",
                runs[slow][0].seconds / runs[OURS][0].seconds,
                20,
                note=f"both on {sizes.documented_tasks} tasks, the start of the run included",
            )
        ],
        runs=runs | old,
        notes=[
            "Seconds a task: "
            + ", ".join(f"{name} {each:.2f}" for name, each in seconds.items())
            + f". Scaled to 300 tasks: cvat-sdk as documented {300 * seconds[slow] / 60:.0f} min, "
            f"cvat-cli in a loop {300 * seconds[_LOOP] / 60:.0f} min.",
            *notes,
        ],
    )


def _old_endpoints(setting: Setting) -> tuple[dict[str, list[Run]], list[str]]:
    """The client of endpoints that CVAT no longer has: on a server that has them, and on this one.

    Only where they are served is there a tree to compare, and a time to call one.
    """
    sizes, work = setting.sizes, setting.folder("old")
    check_mirrors(
        {OURS: asynccvat_mirror(), _OLD: datnvt_mirror(setting.cache, (1, 2))},
        small_tasks(2, costs=False, old_exports=True),
        work,
    )
    task_ids = tuple(range(1, sizes.old_tasks + 1))
    who = datnvt_mirror(setting.cache, task_ids)
    served = timed(who, small_tasks(sizes.old_tasks, old_exports=True), work)(0)
    served.figures["tasks"] = sizes.old_tasks
    refused, note = _refused(setting)
    return {
        f"{_OLD}, on an older server": [served],
        f"{_OLD}, on CVAT 2.54": [refused],
    }, [
        (
            f"{_OLD} 0.1.0 was timed on a server that still has its endpoints "
            f"(`asynccvat simulate --old-exports`): {served.seconds / sizes.old_tasks:.1f} s a "
            f"task, {served.figures['requests_per_task']:.0f} requests each. {note}"
        )
    ]


def _refused(setting: Setting) -> tuple[Run, str]:
    """How long it takes to have nothing, one task long."""
    dest = setting.folder("refused") / "tree"
    with ServerProcess(small_tasks(1)) as server:
        run = datnvt_mirror(setting.cache, (1,))(MirrorJob(server, dest))
        calls = server.calls
    made = sum(path.is_file() for path in dest.rglob("*"))
    run.figures |= {"tasks": 1, "files": made, "requests_per_task": float(len(calls))}
    refused = {f"{call['method']} {call['status']}" for call in calls if call["status"] >= 400}
    return run, (
        f"CVAT 2.54, and so the simulated server by default, answers them with "
        f"{' and '.join(sorted(refused))}: {run.seconds:.1f} s a task, {made} files. "
        f"Calls: {calls_by_kind(calls)}."
    )
