"""The official `cvat-sdk` backs up, restores, creates or copies tasks in a pool of threads.

It runs in the peers' environment, as a file: nothing of this repository can be imported there.
The job is JSON: `verb`, `url, username, password, folder, work`, `threads`, `poll` (seconds between
two looks at a request) and, for `copy`, `target`. Seconds count from before the login.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cvat_sdk import make_client, models
from cvat_sdk.core.proxies.tasks import ResourceType


def login(access: dict[str, str]) -> Any:
    """A client of a server."""
    return make_client(access["url"], credentials=(access["username"], access["password"]))


def work_of(
    job: dict[str, Any], client: Any, target: Any
) -> tuple[Callable[[Any], Any], Iterable[Any]]:
    """What is done with each thing, and the things."""
    folder, poll = Path(job["folder"]), job["poll"]

    def back_up(task: Any) -> None:
        task.download_backup(folder / f"{task.id}.zip", status_check_period=poll)

    def restore(path: Path) -> None:
        client.tasks.create_from_backup(path, status_check_period=poll)

    def create(images: Path) -> None:
        client.tasks.create_from_data(
            models.TaskWriteRequest(name=images.name, project_id=1),
            sorted(images.iterdir()),
            resource_type=ResourceType.LOCAL,
            data_params={"image_quality": 70},
            status_check_period=poll,
        )

    def copy(task: Any) -> None:
        path = Path(job["work"]) / f"{task.id}.zip"
        task.download_backup(path, status_check_period=poll)
        target.tasks.create_from_backup(path, status_check_period=poll)

    match job["verb"]:
        case "backup":
            return back_up, client.tasks.list(page_size=500)
        case "restore":
            return restore, sorted(folder.glob("*.zip"))
        case "create":
            return create, sorted(path for path in folder.iterdir() if path.is_dir())
        case _:
            return copy, client.tasks.list(page_size=500)


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job and tell of it."""
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(login(job))
        target = stack.enter_context(login(job["target"])) if "target" in job else None
        do, things = work_of(job, client, target)
        with ThreadPoolExecutor(job["threads"]) as pool:
            list(pool.map(do, things))
    return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
