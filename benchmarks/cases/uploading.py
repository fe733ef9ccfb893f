"""Annotation files into tasks: many small ones against the server's bound, one large one cut."""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import sys
from pathlib import Path

import asynccvat
from asynccvat.simulator import Fault, ServerProcess
from benchmarks.cases.mirrors import small_tasks
from benchmarks.contenders import OURS
from benchmarks.measuring import Run, median_seconds, run_process
from benchmarks.results import Result, at_most
from benchmarks.setting import Setting

_FILE_BYTES = 20_000
_IMPORT_SECONDS, _IMPORT_WORKERS = 0.25, 2
_CUTS = 5
_MB = 1_000_000


def many_uploads(setting: Setting) -> Result:
    """Small files; calls and imports have processors of their own."""
    tasks, work = setting.sizes.tasks, setting.folder("uploads")
    options = small_tasks(tasks, import_workers=_IMPORT_WORKERS, import_seconds=_IMPORT_SECONDS)
    source = work / "source"
    _download(tasks, source)
    for path in source.glob("*/annotations.xml"):
        _fill(path, _FILE_BYTES)
    runs = []
    for _ in range(setting.sizes.rounds):
        with ServerProcess(options) as server:
            run = _upload(server, source)
            calls, imports = server.calls, server.imports
        if run.told["uploaded"] != tasks or len(imports) != tasks:
            raise SystemExit(f"{len(imports)} imports of {tasks} files: nothing is timed")
        run.figures["requests_per_task"] = len(calls) / tasks
        run.figures["workers_idle"] = _idle(imports)
        print(f"    {OURS}: {run.seconds:.2f} s, {len(calls)} requests", flush=True)
        runs.append(run)
    bound = tasks * _IMPORT_SECONDS / _IMPORT_WORKERS
    ours = median_seconds(runs)
    requests = statistics.median(run.figures["requests_per_task"] for run in runs)
    shutil.rmtree(work)
    return Result(
        name="uploads",
        title="Small annotation files into tasks",
        scale=f"{tasks} files of {_FILE_BYTES / 1000:g} KB; {_IMPORT_WORKERS} import workers x "
        f"{_IMPORT_SECONDS:g} s; 2 API workers x 40 ms",
        goals=[
            at_most(f"wall / the bound of {bound:g} s", ours / bound, 1.15),
            at_most("requests a task", requests, 4.2),
        ],
        runs={OURS: runs},
    )


def cut_upload(setting: Setting) -> Result:
    """One large file, whose connection is cut again and again."""
    size, work = setting.sizes.upload_mb * _MB, setting.folder("cut")
    path = work / "source" / "task1" / "annotations.xml"
    _download(1, work / "source")
    _fill(path, size)
    runs = []
    for _ in range(setting.sizes.rounds):
        with ServerProcess(small_tasks(1, costs=False)) as server:
            # Spread over the file, each in the midst of a piece.
            server.add_faults(
                *(
                    Fault(method="PATCH", nth=3 + 11 * number, break_at=700_000)
                    for number in range(_CUTS)
                )
            )
            run = _upload(server, work / "source")
            calls, imports = server.calls, server.imports
        pieces = [call for call in calls if call["method"] == "PATCH"]
        whole = sum(call["bytes_received"] for call in pieces if call["status"] == 204)
        cuts = sum(call["status"] != 204 for call in pieces)
        if (whole, cuts, len(imports)) != (path.stat().st_size, _CUTS, 1):
            raise SystemExit(f"{whole} bytes arrived, with {cuts} cuts: nothing is measured")
        run.figures["sent"] = run.told["sent"] / whole
        print(f"    {OURS}: {run.seconds:.2f} s, {run.peak_mib:.0f} MiB", flush=True)
        runs.append(run)
    shutil.rmtree(work)
    return Result(
        name="cut",
        title="One large annotation file whose connection is cut",
        scale=f"{size / _MB:g} MB, cut {_CUTS} times",
        goals=[
            at_most(
                "bytes sent / the file's",
                max(float(run.figures["sent"]) for run in runs),
                1.1,
            ),
            at_most(
                "resident memory at its peak",
                max(run.peak_mib for run in runs) * 2**20 / _MB,
                100,
                " MB",
            ),
        ],
        runs={OURS: runs},
    )


def _upload(server: ServerProcess, source: Path) -> Run:
    job = {
        "url": server.url,
        "username": server.username,
        "password": server.password,
        "source": str(source),
    }
    module = "benchmarks.workers.asynccvat_upload"
    return run_process(OURS, [sys.executable, "-m", module, json.dumps(job)])


def _download(tasks: int, source: Path) -> None:
    """Have the files that such a server exports, in plain folders."""

    async def download(server: ServerProcess) -> None:
        async with asynccvat.CvatClient(server.url, token=server.token) as client:
            paths = {number: source / f"task{number}" for number in range(1, tasks + 1)}
            report = await asynccvat.download_many(
                client, paths, options=asynccvat.DownloadOptions(durable=False)
            )
            report.raise_for_failures()

    source.mkdir()
    with ServerProcess(small_tasks(tasks, costs=False)) as server:
        asyncio.run(download(server))


def _fill(path: Path, size: int) -> None:
    """Bring a file to a size by comments, which no import minds."""
    text = path.read_bytes()
    start, root, rest = text.partition(b"<annotations>")
    line = b"<!--" + b"." * 1000 + b"-->\n"
    with path.open("wb") as file:
        file.write(start + root)
        missing = size - len(text)
        for _ in range(missing // len(line)):
            file.write(line)
        file.write(b" " * (max(0, missing) % len(line)) + rest)


def _idle(imports: list[dict[str, float]]) -> float:
    """The share of the workers' time between the first import and the last that went unused."""
    first = min(span["started"] for span in imports)
    last = max(span["finished"] for span in imports)
    busy = sum(span["finished"] - span["started"] for span in imports)
    return 1 - busy / ((last - first) * _IMPORT_WORKERS)
