"""What the benchmarks at a simulated server have in common: a fresh server for each timed run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.contenders import Mirrorer, MirrorJob
from benchmarks.measuring import Run, check_equal, tree_of
from benchmarks.traces import scheduler_figures

POOL_THREADS = 16
POOL_POLL = 0.2


def small_tasks(tasks: int, **more: Any) -> SimulatorOptions:
    """The server of many small tasks: two export workers of 0.25 s, two API workers of 40 ms."""
    given: dict[str, Any] = {
        "tasks": tasks,
        "frames": 5,
        "costs": True,
        "export_workers": 2,
        "export_seconds": 0.25,
        "api_workers": 2,
        "latency": 0.04,
    }
    return SimulatorOptions(**(given | more))


def timed(
    mirrorer: Mirrorer,
    options: SimulatorOptions,
    work: Path,
    *,
    images: bool = False,
    spans: dict[str, list[dict[str, Any]]] | None = None,
) -> Callable[[int], Run]:
    """One contender against a new server each time, with the scheduler's figures of the run.

    Args:
        mirrorer: The contender.
        options: The server.
        work: Where its trees go.
        images: Whether the images are wanted.
        spans: Is given the exports of the latest run, by contender.
    """
    label = f"{len(list(work.iterdir()))}"
    work.joinpath(label).mkdir()

    def run(number: int) -> Run:
        with ServerProcess(options) as server:
            dest = work / label / f"{number}"
            done = mirrorer(MirrorJob(server, dest, images))
            exports, calls = server.exports, server.calls
        folders = sum(path.is_dir() for path in dest.glob("task*"))
        if folders != len(exports):
            raise SystemExit(f"{done.contender} made {folders} folders of {len(exports)} exports")
        done.figures |= scheduler_figures(calls, exports, options.export_workers, done.seconds)
        if spans is not None:
            spans[done.contender] = exports
        return done

    return run


def check_mirrors(
    contenders: Mapping[str, Mirrorer],
    options: SimulatorOptions,
    work: Path,
    *,
    images: bool = False,
) -> None:
    """Let all contenders mirror one server that takes no time, and compare their trees.

    One server for all: an unchanged task is the same archive, byte for byte, only there.

    Raises:
        SystemExit: The trees differ.
    """
    with ServerProcess(options) as server:
        trees = {}
        for number, (name, mirrorer) in enumerate(contenders.items()):
            trees[name] = work / f"check{number}"
            mirrorer(MirrorJob(server, trees[name], images))
    expected = tree_of(next(iter(trees.values())))
    if len({path.split("/")[0] for path in expected}) != options.tasks and options.archives is None:
        raise SystemExit(f"there are not {options.tasks} folders: nothing is timed")
    check_equal(trees, expected)
