"""A merge of a mirror: `python -m benchmarks.workers.asynccvat_merge FOLDER OUT IMAGES`."""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import sys
import time
from typing import Any

import asynccvat
from benchmarks.workers.memory import peak_bytes


async def merge(folder: str, out: str, images: str) -> dict[str, Any]:
    """Merge it to COCO, which has to fail for no task."""
    began = time.perf_counter()
    report = await asynccvat.merge([folder], out, to="coco", images=images)
    seconds = time.perf_counter() - began
    if report.failed:
        raise SystemExit(f"{len(report.failed)} tasks failed: {report.failed[0].why}")
    return {"seconds": seconds, "bytes": 0, "peak_bytes": peak_bytes(), "tasks": report.tasks}


if __name__ == "__main__":
    _ = asynccvat.merge  # loaded before it is timed, as the other has nothing to load
    # As the command line does.
    atexit.register(gc.freeze)
    print(json.dumps(asyncio.run(merge(*sys.argv[1:4]))))
