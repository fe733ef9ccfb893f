"""asynccvat's part of `extract.py`: one archive into one folder, by the data plane alone.

`python benchmarks/extract_worker.py SERVER_URL DEST TREE` reads the archive with `CvatClient` and
`ArchiveReader` into staging below DEST, moves the tree to TREE, and prints the peak of resident
memory as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from pathlib import Path

from asynccvat.archives import ArchiveReader
from asynccvat.client import CvatClient
from asynccvat.core.options import MirrorOptions
from asynccvat.store import MirrorStore


async def extract(server_url: str, dest: Path, tree: Path) -> None:
    """Read the archive and put its tree in place."""
    async with (
        MirrorStore.open(dest, origin=server_url, organization=None, durable=False) as store,
        CvatClient(server_url, token="benchmark") as client,
    ):
        staging = await store.stage(1)
        reader = ArchiveReader(client, MirrorOptions(), store.rules)
        await reader.read("/api/result?rq_id=1", staging)
        staging.tree.rename(tree)
        await store.abandon(staging, keep=False)


def peak_bytes() -> int:
    """The most memory that this process held at once, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike getrusage, this does not count what the parent held before the exec.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    asyncio.run(extract(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
    print(json.dumps({"peak_bytes": peak_bytes()}))
