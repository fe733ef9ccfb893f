"""Results as JSON files, and all of them as one Markdown page.

Each benchmark leaves its own JSON file, so that one can be run again without the others; the page
is made of all that are there.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.environments import PEERS

_QUICK = (
    "These are the quick sizes, a look at whether everything works: the goals are meant for the "
    "full ones, and here the start and the end of a run weigh most."
)
_COLUMNS = {
    "contender": "contender",
    "runs": "runs",
    "seconds": "seconds",
    "process_seconds": "of the process",
    "without_start": "without its start",
    "cpu_seconds": "CPU seconds",
    "peak_mib": "peak MiB",
    "requests_per_task": "requests a task",
    "polls_per_export": "polls an export",
    "workers_idle": "workers idle",
    "before_exports": "before the exports, s",
    "after_exports": "after them, s",
    "without_server": "without the server, s",
    "notice_seconds": "notice, s",
    "notice_seconds_at_end": "notice at the end, s",
    "most_in_flight": "most in flight",
}


def surroundings(sizes: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Where, when and how: the machine, the versions, the date, the command."""
    load = os.getloadavg()[0]
    return {
        "sizes": sizes,
        "command": " ".join(("python -m benchmarks", *arguments)),
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
        "load_before": round(load, 2),
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("asynccvat", "aiohttp", "isal")},
            "commit": _commit(),
            "peers": ", ".join(part for parts in PEERS.values() for part in parts),
            "curl": _version("curl", "--version"),
            "bsdtar": _version("bsdtar", "--version"),
            "unzip": _version("unzip", "-v"),
        },
    }


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "not here"
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return done.stdout.partition("\n")[0].strip()


def _commit() -> str:
    """The commit, and whether anything but the page itself was changed since."""
    changes = _first_line("git", "status", "--porcelain", "--", ".", "..", ":!RESULTS.md")
    return _first_line("git", "rev-parse", "--short", "HEAD") + (" with changes" if changes else "")


def _version(*command: str) -> str:
    """Name and version, without what it was built with."""
    return " ".join(_first_line(*command).split()[:2])


def write_json(result: dict[str, Any], around: dict[str, Any], folder: Path) -> Path:
    """Keep a result, with its surroundings."""
    path = folder / f"{result['name']}.json"
    path.write_text(json.dumps({"surroundings": around, **result}, indent=1) + "\n", "utf-8")
    return path


def read_json(folder: Path, names: list[str]) -> list[dict[str, Any]]:
    """The results that are there, in the order of the names."""
    paths = [folder / f"{name}.json" for name in names]
    return [json.loads(path.read_text("utf-8")) for path in paths if path.exists()]


def page(results: list[dict[str, Any]]) -> str:
    """The whole page: surroundings, goals, and a table of the contenders of each benchmark."""
    lines = ["# What the benchmarks show", "", *_introduction(results)]
    if results[0]["surroundings"]["sizes"] == "quick":
        lines += [_QUICK, ""]
    lines += ["## Goals", "", "| case | goal | measured | met |", "|---|---|---|---|"]
    for result in results:
        for goal in result["goals"]:
            note = f" ({goal['note']})" if goal["note"] else ""
            cells = (
                f"{result['title']}: {goal['what']}",
                goal["goal"],
                goal["measured"] + note,
                "yes" if goal["passed"] else "**no**",
            )
            lines.append(_row(cells))
    for result in results:
        lines += ["", f"## {result['title']}", "", f"{result['scale']}.", ""]
        lines += _contenders(result["contenders"])
        for curve in result["curves"]:
            lines += [
                "",
                f"{curve['title'].capitalize()}, {curve.get('y_label', 'seconds')}:",
                "",
                *_curve(curve),
            ]
        for note in result["notes"]:
            lines += ["", note]
    return "\n".join(lines) + "\n"


def _introduction(results: list[dict[str, Any]]) -> list[str]:
    around = results[0]["surroundings"]
    dates = [result["surroundings"]["date"] for result in results]
    commits = sorted({result["surroundings"]["versions"]["commit"] for result in results})
    commands = {result["surroundings"]["command"] for result in results}
    ran = ", ".join(f"`{command}`" for command in sorted(commands))
    loads = [result["surroundings"]["load_before"] for result in results]
    versions = ", ".join(
        f"{name} {version}"
        for name, version in around["versions"].items()
        if name not in ("commit", "peers", "curl", "bsdtar", "unzip")
    )
    tools = "; ".join(around["versions"][name] for name in ("peers", "curl", "bsdtar", "unzip"))
    return [
        f"{ran} on {min(dates)} to {max(dates)} UTC, commit {', '.join(commits)}.",
        "",
        f"- Machine: {around['machine']}; load before each benchmark {min(loads)} to {max(loads)}.",
        f"- Versions: {versions}.",
        f"- Contenders: {tools}.",
        "",
        (
            "Contenders take turns, and before anything is timed their trees are compared, file by "
            "file. Seconds are medians, ratios medians over the turns. Whoever logs in counts from "
            "before its login, with everything imported; the start of the process is in the column "
            "after. The server is simulated, in a process of its own on the same machine; its "
            "calls and exports take the times that were measured on a real CVAT 2.54."
        ),
        "",
        (
            "*Polls* are statuses, lists of requests and downloads that came too early. *Workers "
            "idle* is the share of the export workers' time between the first export and the last. "
            "*Notice* is the median time from an export's end to the first request of its "
            "archive; *at the end*, once fewer exports remained than were in flight at most. The "
            "seconds before and after the exports are those of the login and the listing, and of "
            "the last archives; those without the server lie before the first call and after the "
            "last."
        ),
        "",
    ]


def _contenders(rows: list[dict[str, Any]]) -> list[str]:
    columns = [name for name in _COLUMNS if any(name in row for row in rows)]
    if not rows:
        return []
    lines = [_row([_COLUMNS[name] for name in columns]), "|" + "---|" * len(columns)]
    lines += [_row([_cell(row.get(name, "")) for name in columns]) for row in rows]
    return lines


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _curve(curve: dict[str, Any]) -> list[str]:
    lines = curve["lines"]
    values = [point[0] for point in next(iter(lines.values()))]
    table = [_row([curve["x_label"], *lines]), "|" + "---|" * (len(lines) + 1)]
    table += [
        _row([f"{value:g}", *(f"{points[at][1]:.1f}" for points in lines.values())])
        for at, value in enumerate(values)
    ]
    return table


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
