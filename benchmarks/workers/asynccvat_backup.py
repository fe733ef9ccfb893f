"""asynccvat backs a server up.

`python -m benchmarks.workers.asynccvat_backup '{"url": ..., "username": ..., "password": ...,
"dest": ...}'`. Seconds count from before the login, with everything imported.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import asynccvat
from asynccvat import Action
from benchmarks.workers.memory import peak_bytes


async def back_up(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job and tell of it."""
    # These names are loaded on first use.
    client_of, run_backup = asynccvat.CvatClient, asynccvat.backup
    began = time.perf_counter()
    async with client_of(job["url"], username=job["username"], password=job["password"]) as client:
        report = await run_backup(client, job["dest"])
        report.raise_for_failures()
    return {
        "backed_up": report.count(Action.BACKED_UP),
        "unchanged": report.count(Action.KEPT),
        "received": report.transferred,
        "seconds": time.perf_counter() - began,
        "peak_bytes": peak_bytes(),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(back_up(json.loads(sys.argv[1])))))
