"""asynccvat backs a server up, restores backups, creates tasks of images, or copies tasks.

`python -m benchmarks.workers.asynccvat_verb '{"verb": ..., "url": ..., "username": ...,
"password": ..., "folder": ..., "work": ...}'`; `copy` also needs `target`, another server. Seconds
count from before the login, with everything imported.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import asynccvat
from benchmarks.workers.memory import peak_bytes

# These names are loaded on first use.
client_of = asynccvat.CvatClient
backup, restore = asynccvat.backup, asynccvat.restore
create, copy = asynccvat.create, asynccvat.copy
RestoreOptions, CreateOptions = asynccvat.RestoreOptions, asynccvat.CreateOptions
CopyOptions = asynccvat.CopyOptions


def login(access: dict[str, str]) -> asynccvat.CvatClient:
    """A client of a server."""
    return client_of(access["url"], username=access["username"], password=access["password"])


async def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job and tell of it."""
    folder, kept = Path(job["folder"]), str(Path(job["work"]) / "journal")
    began = time.perf_counter()
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(login(job))
        match job["verb"]:
            case "backup":
                report = await backup(client, folder)
            case "restore":
                report = await restore(client, folder, options=RestoreOptions(journal=kept))
            case "create":
                options = CreateOptions(journal=kept)
                report = await create(client, folder, project=1, options=options)
            case _:
                target = await stack.enter_async_context(login(job["target"]))
                report = await copy(client, target, options=CopyOptions(state=kept))
    seconds = time.perf_counter() - began
    report.raise_for_failures()
    return {
        "seconds": seconds,
        "peak_bytes": peak_bytes(),
        "actions": dict(Counter(outcome.action for outcome in report.outcomes)),
        "transferred": report.transferred,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(work(json.loads(sys.argv[1])))))
