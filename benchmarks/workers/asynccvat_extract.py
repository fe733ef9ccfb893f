"""asynccvat's data plane alone: archives from a URL into folders, nothing synced.

`python -m benchmarks.workers.asynccvat_extract '{"url": ..., "dest": ..., "trees": [...]}'` reads
the archive once for each of the trees, all at the same time, with `CvatClient` and `ArchiveReader`
into staging below `dest`, and moves the staged trees to `trees`.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import anyio

from asynccvat.archives import ArchiveReader
from asynccvat.client import CvatClient
from asynccvat.core.options.mirror import MirrorOptions
from asynccvat.store import MirrorStore
from benchmarks.workers.memory import peak_bytes


async def extract(job: dict[str, Any]) -> dict[str, Any]:
    """Read the archive as often as asked and put its trees in place."""
    began = time.perf_counter()
    async with (
        MirrorStore.open(
            Path(job["dest"]), origin=job["url"], organization=None, durable=False
        ) as store,
        CvatClient(job["url"], token="benchmark") as client,
    ):
        reader = ArchiveReader(client, MirrorOptions(), store.rules)

        async def one(number: int, tree: Path) -> None:
            staging = await store.stage(number)
            await reader.read("/api/result?rq_id=1", staging)
            staging.tree.rename(tree)
            await store.abandon(staging, keep=False)

        async with anyio.create_task_group() as group:
            for number, tree in enumerate(job["trees"], start=1):
                group.start_soon(one, number, Path(tree))
    return {"seconds": time.perf_counter() - began, "peak_bytes": peak_bytes()}


if __name__ == "__main__":
    # As the command line does.
    atexit.register(gc.freeze)
    print(json.dumps(asyncio.run(extract(json.loads(sys.argv[1])))))
