"""A verification of a mirror: `python -m benchmarks.workers.asynccvat_verify FOLDER THREADS`."""

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


async def verify(folder: str, threads: int) -> dict[str, Any]:
    """Verify it, which has to find nothing wrong."""
    began = time.perf_counter()
    report = await asynccvat.verify(folder, threads=threads)
    seconds = time.perf_counter() - began
    if report.problems:
        raise SystemExit(f"{len(report.problems)} problems: {report.problems[0]}")
    return {"seconds": seconds, "bytes": report.bytes, "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    _ = asynccvat.verify  # loaded before it is timed, as the other has nothing to load
    # As the command line does.
    atexit.register(gc.freeze)
    print(json.dumps(asyncio.run(verify(sys.argv[1], int(sys.argv[2])))))
