"""The official `cvat-sdk` mirrors a server, as its documentation uses it or in a pool of threads.

It runs in the peers' environment, as a file: nothing of this repository can be imported there.
The job is JSON: `url, username, password, dest, images`, `poll` (seconds between two looks at an
export; None leaves the SDK's own) and `threads` (1 is one task after the other). Seconds count
from before the login.
"""

from __future__ import annotations

import json
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cvat_sdk import make_client


def mirror(job: dict[str, Any]) -> dict[str, Any]:
    """Export every task, one after the other or in threads, and unpack each."""
    began = time.perf_counter()
    dest = Path(job["dest"])
    archives = dest.with_name(dest.name + "-archives")
    archives.mkdir(parents=True)
    with make_client(job["url"], credentials=(job["username"], job["password"])) as client:

        def fetch(task: Any) -> None:
            archive = archives / f"{task.id}.zip"
            task.export_dataset(
                "CVAT for images 1.1",
                archive,
                include_images=job["images"],
                status_check_period=job["poll"],
            )
            with zipfile.ZipFile(archive) as members:
                members.extractall(dest / f"task{task.id}")

        if job["threads"] == 1:
            for task in client.tasks.list():
                fetch(task)
        else:
            # Whoever thinks of threads thinks of larger pages, too.
            with ThreadPoolExecutor(job["threads"]) as pool:
                list(pool.map(fetch, client.tasks.list(page_size=500)))
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print(json.dumps(mirror(json.loads(sys.argv[1]))))
