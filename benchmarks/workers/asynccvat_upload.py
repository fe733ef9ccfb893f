"""asynccvat uploads a folder of tasks' folders.

`python -m benchmarks.workers.asynccvat_upload '{"url": ..., "username": ..., "password": ...,
"source": ...}'`. Seconds count from before the login, with everything imported.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import asynccvat
from benchmarks.workers.memory import peak_bytes


async def upload(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job and tell of it."""
    # These names are loaded on first use.
    client_of, run_upload = asynccvat.CvatClient, asynccvat.upload
    began = time.perf_counter()
    async with client_of(job["url"], username=job["username"], password=job["password"]) as client:
        report = await run_upload(client, Path(job["source"]))
    report.raise_for_failures()
    return {
        "seconds": time.perf_counter() - began,
        "peak_bytes": peak_bytes(),
        "uploaded": report.count(asynccvat.Action.UPLOADED),
        "sent": report.transferred,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(upload(json.loads(sys.argv[1])))))
