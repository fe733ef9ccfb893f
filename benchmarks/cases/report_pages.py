"""The page about a run of very many tasks: how soon it is there and opens, and its size."""

from __future__ import annotations

import heapq
import json
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measuring import run_process
from benchmarks.results import Goal, Result, at_most
from benchmarks.setting import Setting

_TASKS = 100_000
_WORKERS = 16
_OPENED = 5
_CHROMIUM = shutil.which("chromium")
_BEGAN = datetime(2026, 11, 30, tzinfo=UTC)

Event = tuple[float, str, dict[str, Any]]


def report_pages(setting: Setting) -> Result:
    """Write the page of a log of 100,000 tasks, and open it in Chromium."""
    work = setting.folder("report-pages")
    log, page = work / "events.jsonl", work / "report.html"
    _write_log(log)
    written = run_process(
        "asynccvat report", [sys.executable, "-m", "asynccvat", "report", str(log), "-o", str(page)]
    )
    goals = [at_most("size of the page", page.stat().st_size / 1e6, 5, " MB")]
    opened = _seconds_to_open(page)
    if opened:
        goals.append(at_most("opens in Chromium", statistics.median(opened), 3, " s"))
    else:
        goals.append(Goal("opens in Chromium", "<= 3 s", "not measured", passed=False))
    return Result(
        name="report-pages",
        title="The report page",
        scale=f"{_TASKS:,} tasks, {log.stat().st_size / 1e6:,.0f} MB of events; opened from disk "
        f"{_OPENED} times, until all is drawn",
        goals=goals,
        runs={"asynccvat report": [written]},
        notes=[] if opened else ["Chromium or playwright is not installed."],
    )


def _seconds_to_open(page: Path) -> list[float]:
    """Return how long each opening took until the page was complete; none without a browser."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - an extra of its own
    except ModuleNotFoundError:
        return []
    if _CHROMIUM is None:
        return []
    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        for _ in range(_OPENED):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            began = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready]", state="attached")
            found.append(time.perf_counter() - began)
            tab.close()
        browser.close()
    return found


def _write_log(path: Path) -> None:
    """Write the events of a mirror as `--log-json` does."""
    events = sorted(_events(random.Random(7)), key=lambda event: event[0])
    with path.open("w", encoding="utf-8") as log:
        last = events[-1][0]
        ended = {"ok": False, "seconds": last, "requests": 3 * _TASKS, "transferred": 0}
        for at, name, fields in [*events, (last, "run_finished", ended)]:
            when = (_BEGAN + timedelta(seconds=at)).isoformat(timespec="milliseconds")
            log.write(json.dumps({"at": when, "v": 1, "event": name, **fields}) + "\n")


def _events(chance: random.Random) -> Iterator[Event]:
    """Yield the events of tasks that a server exports in turns, a few of which fail."""
    free_at = [5.0] * _WORKERS
    for number in range(1, _TASKS + 1):
        begun = heapq.heappop(free_at)
        seconds = chance.lognormvariate(1.0, 0.5)
        ended = begun + seconds
        heapq.heappush(free_at, ended)
        task = {"task_id": number}
        name = f"street {chance.randrange(10**6)} camera {number % 12}"
        requested = max(4.0, begun - chance.uniform(0, 20))
        yield requested, "export_requested", {**task, "rq_id": f"x{number}", "created": True}
        seen = ended + chance.uniform(0, 0.5)
        if chance.random() < 0.004:
            error = {"type": "ExportFailedError", "message": f"cannot export task {number}: lost"}
            done = {**task, "name": name, "action": "failed", "reason": "new", "error": error}
            yield seen, "task_done", done
            continue
        dated = number <= 2 * _WORKERS or chance.random() < 0.15
        when = (_BEGAN + timedelta(seconds=ended)).isoformat() if dated else None
        known = {"seconds": seconds if dated else None, "ended_at": when}
        yield seen, "export_finished", {**task, **known}
        size = int(chance.lognormvariate(15, 0.8))
        read = seen + size / 4e6
        yield seen, "transfer_started", {**task, "size": size, "reused": 0}
        yield read, "transfer_progress", {**task, "transferred": size}
        yield read, "transfer_finished", task
        done = {**task, "name": name, "action": "fetched", "reason": "new", "transferred": size}
        yield read + chance.uniform(0.05, 0.4), "task_done", done
