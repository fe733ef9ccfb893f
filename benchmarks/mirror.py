"""How near a mirror comes to what the server allows.

Two cases, each against the simulated server in a process of its own:

- `fresh`: many small tasks, from nothing. The server's own bound is the time that its export
  workers need, `tasks * export seconds / workers`.
- `unchanged`: the same command again when nothing changed, against the listing alone.

    python benchmarks/mirror.py                       # both, as README states them
    python benchmarks/mirror.py fresh --tasks 300 --runs 3
    python benchmarks/mirror.py unchanged --tasks 10000

Prints a table and, with --json FILE, writes the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import asynccvat
from asynccvat.simulator import ServerProcess, SimulatorOptions


def fresh(arguments: argparse.Namespace) -> dict[str, Any]:
    """Mirror from nothing; median over runs of wall time, with each run's requests."""
    options = SimulatorOptions(
        tasks=arguments.tasks or 300,
        frames=arguments.frames,
        costs=True,
        export_workers=arguments.export_workers,
        export_seconds=arguments.export_seconds,
        api_workers=arguments.api_workers,
        latency=arguments.latency,
    )
    bound = options.tasks * arguments.export_seconds / options.export_workers
    runs: list[dict[str, Any]] = []
    for _ in range(arguments.runs):
        with ServerProcess(options) as server, tempfile.TemporaryDirectory() as dest:
            report, seconds = asyncio.run(mirrored(server, Path(dest)))
            exports = server.exports
            assert report.count(asynccvat.Action.FETCHED) == options.tasks, report.failures[:3]
            runs.append(
                {
                    "seconds": round(seconds, 3),
                    "ratio": round(seconds / bound, 4),
                    "requests_per_task": round(report.requests / options.tasks, 3),
                    "calls": calls_by_kind(server.calls),
                    "workers_idle": round(idle_share(exports, options.export_workers), 4),
                }
            )
            print(f"  fresh: {runs[-1]}", file=sys.stderr)
    return {
        "case": "fresh",
        "tasks": options.tasks,
        "bound_seconds": bound,
        "seconds": statistics.median(run["seconds"] for run in runs),
        "ratio_to_bound": statistics.median(run["ratio"] for run in runs),
        "requests_per_task": max(run["requests_per_task"] for run in runs),
        "workers_idle": statistics.median(run["workers_idle"] for run in runs),
        "runs": runs,
    }


def unchanged(arguments: argparse.Namespace) -> dict[str, Any]:
    """Mirror again with nothing to do, and list alone, in turn; the median ratio of the pairs."""
    tasks = arguments.tasks or 10_000
    quick = SimulatorOptions(tasks=tasks, frames=1, boxes_per_frame=1)
    with tempfile.TemporaryDirectory() as dest:
        with ServerProcess(quick) as server:
            # The first run is only the preparation: at no cost, in one port that is kept.
            port = int(server.url.rpartition(":")[2])
            report, seconds = asyncio.run(mirrored(server, Path(dest), durable=False))
            assert report.ok, report.failures[:3]
            print(f"  unchanged: prepared {tasks} tasks in {seconds:.1f} s", file=sys.stderr)
        costly = SimulatorOptions(
            tasks=tasks,
            frames=1,
            boxes_per_frame=1,
            port=port,
            costs=True,
            api_workers=arguments.api_workers,
            latency=arguments.latency,
        )
        pairs: list[dict[str, Any]] = []
        with ServerProcess(costly) as server:
            for _ in range(arguments.runs):
                listing = asyncio.run(listed(server))
                before = len(server.calls)
                report, seconds = asyncio.run(mirrored(server, Path(dest)))
                kinds = calls_by_kind(server.calls[before:])
                assert report.count(asynccvat.Action.KEPT) == tasks
                assert set(kinds) == {"GET /api/tasks"}, kinds
                pairs.append(
                    {
                        "seconds": round(seconds, 3),
                        "listing_seconds": round(listing, 3),
                        "ratio": round(seconds / listing, 4),
                        "calls": kinds,
                    }
                )
                print(f"  unchanged: {pairs[-1]}", file=sys.stderr)
    return {
        "case": "unchanged",
        "tasks": tasks,
        "seconds": statistics.median(pair["seconds"] for pair in pairs),
        "listing_seconds": statistics.median(pair["listing_seconds"] for pair in pairs),
        "ratio_to_listing": statistics.median(pair["ratio"] for pair in pairs),
        "runs": pairs,
    }


async def mirrored(
    server: ServerProcess, dest: Path, *, durable: bool = True
) -> tuple[asynccvat.MirrorReport, float]:
    """Mirror everything; the report and the wall time, login and listing included."""
    began = time.perf_counter()
    async with asynccvat.CvatClient(server.url, token=server.token) as client:
        report = await asynccvat.mirror(
            client, dest, options=asynccvat.MirrorOptions(durable=durable)
        )
    return report, time.perf_counter() - began


async def listed(server: ServerProcess) -> float:
    """The wall time of the listing alone."""
    began = time.perf_counter()
    async with asynccvat.CvatClient(server.url, token=server.token) as client:
        await client.tasks()
    return time.perf_counter() - began


def calls_by_kind(calls: list[dict[str, Any]]) -> dict[str, int]:
    """How many calls there were of each method and path, ids left out."""
    kinds: Counter[str] = Counter()
    for call in calls:
        path = call["path"].partition("?")[0]
        parts = ["N" if part.isdigit() or "=" in part or "%3D" in part else part
                 for part in path.split("/")]  # fmt: skip
        kinds[f"{call['method']} {'/'.join(parts)}"] += 1
    return dict(kinds.most_common())


def idle_share(exports: list[dict[str, Any]], workers: int) -> float:
    """The share of the workers' time that was idle between the first export and the last."""
    spans: list[tuple[float, float]] = [
        (item["started"], item["finished"]) for item in exports if item["finished"]
    ]
    wall = max(end for _, end in spans) - min(start for start, _ in spans)
    return 1 - sum(end - start for start, end in spans) / (workers * wall)


def main() -> None:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("case", nargs="?", choices=["fresh", "unchanged", "all"], default="all")
    parser.add_argument("--tasks", type=int, help="300 fresh ones, 10,000 unchanged ones")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--export-workers", type=int, default=2)
    parser.add_argument("--export-seconds", type=float, default=0.25)
    parser.add_argument("--api-workers", type=int, default=2)
    parser.add_argument("--latency", type=float, default=0.04, help="seconds of a worker, a call")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    figures = []
    if arguments.case in ("fresh", "all"):
        figures.append(fresh(arguments))
    if arguments.case in ("unchanged", "all"):
        figures.append(unchanged(arguments))
    print(f"Python {platform.python_version()}, {platform.platform()}\n")
    print("| case | tasks | seconds | against | ratio | requests a task | workers idle |")
    print("|---|---|---|---|---|---|---|")
    for row in figures:
        bound = row.get("bound_seconds", row.get("listing_seconds"))
        ratio = row.get("ratio_to_bound", row.get("ratio_to_listing"))
        print(
            f"| {row['case']} | {row['tasks']} | {row['seconds']:.2f} | {bound:.2f} | {ratio:.3f} "
            f"| {row.get('requests_per_task', '')} | {row.get('workers_idle', '')} |"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
