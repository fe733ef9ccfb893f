"""asynccvat mirrors a great many tasks, and tells how its process fared meanwhile.

`python -m benchmarks.workers.asynccvat_soak '{"url": ..., "username": ..., "password": ...,
"dest": ...}'`. Beside what `asynccvat_mirror` tells: memory, open files and threads over time, how
late the loop was and why, and, where there are receipts already, how long they take to read.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import asynccvat
from asynccvat.events import Event, TaskDone
from asynccvat.store import MirrorStore
from benchmarks.workers.loop_meter import LoopMeter
from benchmarks.workers.memory import peak_bytes

_SAMPLE_SECONDS = 0.5


class _Soak:
    """Counts what is done, and samples what is held meanwhile, in a thread."""

    def __init__(self, meter: LoopMeter) -> None:
        self._meter = meter
        self.done = 0
        self.actions: Counter[str] = Counter()
        self.samples: list[dict[str, Any]] = []
        self._began = time.perf_counter()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def hear(self, event: Event) -> None:
        if isinstance(event, TaskDone):
            self.done += 1
            self.actions[str(event.outcome.action)] += 1

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._ended.wait(_SAMPLE_SECONDS):
            resident = int(Path("/proc/self/statm").read_text("ascii").split()[1]) * page
            self.samples.append(
                {
                    "at": round(time.perf_counter() - self._began, 2),
                    "done": self.done,
                    "mib": round(resident / 2**20, 1),
                    "files": sum(1 for _ in Path("/proc/self/fd").iterdir())
                    - self._meter.open_files,
                    "threads": threading.active_count(),
                }
            )


async def _receipts_seconds(dest: Path, origin: str) -> float:
    """Seconds to read the first line of every receipt, which are in the page cache by then."""
    async with MirrorStore.open(dest, origin=origin, organization=None, read_only=True) as store:
        await store.receipts()
        began = time.perf_counter()
        await store.receipts()
        return time.perf_counter() - began


async def soak(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job and tell of it."""
    client_of, run_mirror = asynccvat.CvatClient, asynccvat.mirror
    dest = Path(job["dest"])
    told: dict[str, Any] = {}
    if await asyncio.to_thread(dest.exists):
        told["receipts_seconds"] = await _receipts_seconds(dest, job["url"])
    began = time.perf_counter()
    with LoopMeter() as meter:
        watched = _Soak(meter)
        async with client_of(
            job["url"], username=job["username"], password=job["password"]
        ) as client:
            report = await run_mirror(
                client,
                dest,
                options=asynccvat.MirrorOptions(durable=job.get("durable", True)),
                on_event=watched.hear,
            )
        watched.stop()
    report.raise_for_failures()
    return told | {
        "seconds": time.perf_counter() - began,
        "peak_bytes": peak_bytes(),
        "actions": dict(watched.actions),
        "requests": report.requests,
        "samples": watched.samples,
        "loop": meter.to_json(),
    }


if __name__ == "__main__":
    # As the command line does; `asynccvat.mirror` and what it needs are loaded by the first look.
    _ = asynccvat.CvatClient, asynccvat.mirror
    gc.freeze()
    print(json.dumps(asyncio.run(soak(json.loads(sys.argv[1])))))
