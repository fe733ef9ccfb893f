"""asynccvat mirrors a server, or only lists its tasks.

`python -m benchmarks.workers.asynccvat_mirror '{"url": ..., "username": ..., "password": ...,
"dest": ...}'`. Seconds count from before the login, with everything imported, as for the peers,
whose imports are at the top of their scripts. Optional: `images`, `format`, `frames`,
`without_exports`, `concurrency`, `durable`, `refresh`, `task_ids`, `list_only`, which leaves out
all but the listing, and `kill_after`: bytes of archives after which the process kills itself, as
nobody can who watches it from outside.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asynccvat
from asynccvat.events import Event, TransferProgress
from benchmarks.workers.memory import peak_bytes


async def mirror(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job and tell of it."""
    # These names are loaded on first use.
    client_of, run_mirror = asynccvat.CvatClient, asynccvat.mirror
    began = time.perf_counter()
    told: dict[str, Any] = {}
    async with client_of(job["url"], username=job["username"], password=job["password"]) as client:
        selection = asynccvat.Selection(task_ids=job.get("task_ids"))
        if job.get("list_only"):
            told["listed"] = len((await client.tasks(selection)).tasks)
        else:
            report = await run_mirror(
                client,
                Path(job["dest"]),
                selection,
                job.get("format") or asynccvat.ExportSpec(images=job.get("images", False)),
                options=asynccvat.MirrorOptions(
                    concurrency=job.get("concurrency"),
                    durable=job.get("durable", True),
                    refresh=job.get("refresh", True),
                    frames=job.get("frames"),
                    without_exports=job.get("without_exports"),
                ),
                on_event=_killing(job["kill_after"]) if "kill_after" in job else None,
            )
            report.raise_for_failures()
            actions = Counter(str(outcome.action) for outcome in report.outcomes)
            told["actions"] = dict(actions)
    return told | {"seconds": time.perf_counter() - began, "peak_bytes": peak_bytes()}


def _killing(after: int) -> Callable[[Event], None]:
    received = 0

    def kill(event: Event) -> None:
        nonlocal received
        if isinstance(event, TransferProgress):
            received += event.transferred
            if received >= after:
                os.kill(os.getpid(), signal.SIGKILL)

    return kill


if __name__ == "__main__":
    print(json.dumps(asyncio.run(mirror(json.loads(sys.argv[1])))))
