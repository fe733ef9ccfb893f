"""asynccvat uploads a folder of tasks' folders.

`python -m benchmarks.workers.asynccvat_upload '{"url": ..., "username": ..., "password": ...,
"source": ...}'`. Seconds count from before the login, with everything imported.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asynccvat
from benchmarks.workers.memory import peak_bytes


async def upload(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job and tell of it."""
    # These names are loaded on first use.
    client_of, run_upload = asynccvat.CvatClient, asynccvat.upload
    account = {"username": job["username"], "password": job["password"]}
    with tempfile.TemporaryDirectory() as replaced:
        # The files are filled with blanks, and some hold nothing.
        options = asynccvat.UploadOptions(backup_dir=replaced, lossy=True, allow_empty=True)
        began = time.perf_counter()
        async with client_of(job["url"], **account) as client:
            report = await run_upload(client, Path(job["source"]), options=options)
        seconds = time.perf_counter() - began
    report.raise_for_failures()
    return {
        "seconds": seconds,
        "peak_bytes": peak_bytes(),
        "uploaded": report.count(asynccvat.Action.UPLOADED),
        "sent": report.transferred,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(upload(json.loads(sys.argv[1])))))
