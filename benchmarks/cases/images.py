"""Tasks with images, against what the server's exports and the transfer of their bytes need."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path

from asynccvat.simulator import ServerProcess, SimulatorOptions
from benchmarks.archives import stored_archive
from benchmarks.cases.mirrors import POOL_POLL, POOL_THREADS, check_mirrors, timed
from benchmarks.contenders import (
    OURS,
    MirrorJob,
    asynccvat_mirror,
    sdk_mirror,
    sdk_name,
)
from benchmarks.measuring import in_turns, median_ratio, median_seconds, run_process
from benchmarks.results import Result, at_least, at_most
from benchmarks.setting import Setting

_TASK_BYTES, _MEMBER = 20_000_000, 200_000
_EXPORT_SECONDS = 0.18


def images(setting: Setting) -> Result:
    """Ready archives of 20 MB, each a task."""
    sizes, work = setting.sizes, setting.folder("images")
    archives = ready_archives(setting.cache, sizes.image_tasks)
    options = SimulatorOptions(
        tasks=0, archives=archives, costs=True, export_seconds=_EXPORT_SECONDS
    )
    pool = sdk_name(POOL_THREADS, POOL_POLL)
    contenders = {
        OURS: asynccvat_mirror(images=True),
        pool: sdk_mirror(setting.cache, threads=POOL_THREADS, poll=POOL_POLL),
    }
    quick = SimulatorOptions(tasks=0, archives=archives)
    check_mirrors(contenders, quick, work, images=True)
    transfer = statistics.median(_transfer_seconds(options, work / f"curl{n}") for n in range(3))
    runs = in_turns(
        sizes.rounds,
        {name: timed(who, options, work, images=True) for name, who in contenders.items()},
    )
    packed = (archives / "task1.zip").stat().st_size
    export = _EXPORT_SECONDS + options.media_seconds * packed / 1e6
    exports = sizes.image_tasks * export / options.export_workers
    bound = max(exports, transfer)
    return Result(
        name="images",
        title="Tasks with images",
        scale=f"{sizes.image_tasks} tasks x 20 MB (100 members of 200 KB); 2 export workers x "
        f"{export:.2f} s; 2 API workers x 40 ms",
        goals=[
            at_most(
                f"wall / max(export bound {exports:.2f} s, transfer bound {transfer:.2f} s)",
                median_seconds(runs[OURS]) / bound,
                1.10,
            ),
            at_least("wall of the pool / ours", median_ratio(runs[pool], runs[OURS]), 1.0),
        ],
        runs=runs,
        notes=["The transfer bound is `curl --parallel` of the same results to /dev/null."],
    )


def ready_archives(cache: Path, tasks: int) -> Path:
    """A folder of archives of 20 MB, one a task."""
    archive = stored_archive(cache, _TASK_BYTES, _MEMBER)
    folder = cache / f"tasks-{tasks}"
    folder.mkdir(exist_ok=True)
    for task_id in range(1, tasks + 1):
        link = folder / f"task{task_id}.zip"
        if not link.exists():
            link.hardlink_to(archive)
    return folder


def _transfer_seconds(options: SimulatorOptions, dest: Path) -> float:
    """Seconds that the bytes alone take: the results of finished exports, by curl."""
    with ServerProcess(options) as server:
        asynccvat_mirror(images=True)(MirrorJob(server, dest, images=True))
        places = {
            f"{server.url}{call['path']}?{call['query']}"
            for call in server.calls
            if call["path"].endswith("/dataset/download")
        }
        token = f"Authorization: Token {server.token}"
        command = ["curl", "-sS", "--fail", "--parallel", "-H", token]
        for place in sorted(places):
            command += ["-o", "/dev/null", place]
        try:
            return run_process("curl", command).seconds
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"curl could not read the results: {error.stderr}") from error
