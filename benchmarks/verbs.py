"""Who competes at backups, restores, new tasks and copies, and what each of them has left.

A contender is a function from a `VerbJob` to a `Run`, as those of mirrors in `contenders`.
"""

from __future__ import annotations

import json
import sys
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asynccvat.simulator import ServerProcess
from benchmarks.cases.mirrors import POOL_POLL, POOL_THREADS
from benchmarks.contenders import OURS, WORKERS, sdk_name
from benchmarks.environments import peer_bin
from benchmarks.measuring import Run, in_turns, median_ratio, median_seconds, run_process
from benchmarks.results import Goal, at_least
from benchmarks.setting import Setting, Sizes

LOOP = "cvat-cli in a shell loop"
POOL = sdk_name(POOL_THREADS, POOL_POLL)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbJob:
    """What a contender is asked to do with a server.

    Attributes:
        verb: `backup`, `restore`, `create` or `copy`.
        server: The server.
        folder: Where zips of backups are written to or read from, or where folders of images lie.
            asynccvat reads its own layout of backups, of which the peers are given the zips.
        work: A folder of this run alone, for journals and what else a contender keeps.
        target: The server that `copy` copies to.
    """

    verb: str
    server: ServerProcess
    folder: Path
    work: Path
    target: ServerProcess | None = None

    def to_json(self, **more: Any) -> str:
        """The job as a worker reads it."""
        values: dict[str, Any] = {
            **_access(self.server),
            "verb": self.verb,
            "folder": str(self.folder),
            "work": str(self.work),
        }
        if self.target is not None:
            values["target"] = _access(self.target)
        return json.dumps(values | more)


Worker = Callable[[VerbJob], Run]


def _access(server: ServerProcess) -> dict[str, str]:
    return {"url": server.url, "username": server.username, "password": server.password}


def asynccvat_verb(job: VerbJob, name: str = OURS) -> Run:
    """asynccvat, by `await asynccvat.backup(...)` and so on, durable as by default."""
    command = [sys.executable, "-m", "benchmarks.workers.asynccvat_verb", job.to_json()]
    return run_process(name, command)


def sdk_verb(cache: Path) -> Worker:
    """The official SDK in a pool of threads."""

    def run(job: VerbJob) -> Run:
        python = peer_bin(cache, "cvat") / "python"
        text = job.to_json(threads=POOL_THREADS, poll=POOL_POLL)
        return run_process(POOL, [str(python), str(WORKERS / "sdk_verb.py"), text])

    return run


_OFFICIAL = """
set -eo pipefail
server="${URL%:*}" port="${URL##*:}"
official() { cvat-cli --server-host "$server" --server-port "$port" --auth "$USER_PASS" "$@"; }
"""
_LOOPS = {
    "backup": (
        'for id in $(official task ls); do official task backup "$id" "$FOLDER/$id.zip"; done'
    ),
    "restore": 'for zip in "$FOLDER"/*.zip; do official task create-from-backup "$zip"; done',
    "create": (
        'for folder in "$FOLDER"/*/; do official task create --project_id 1 '
        '"$(basename "$folder")" local "$folder"*; done'
    ),
}


def cli_verb(cache: Path) -> Worker:
    """The official command line in a shell loop, as documented."""

    def run(job: VerbJob) -> Run:
        environment = {
            "PATH": f"{peer_bin(cache, 'cvat')}:/usr/local/bin:/usr/bin:/bin",
            "URL": job.server.url,
            "USER_PASS": f"{job.server.username}:{job.server.password}",
            "FOLDER": str(job.folder),
        }
        return run_process(LOOP, ["bash", "-c", _OFFICIAL + _LOOPS[job.verb]], environment)

    return run


def made_tasks(server: ServerProcess, first: int, *, annotations: bool = False) -> list[Any]:
    """Read the tasks with ids from `first` on: name and frames, and what is annotated.

    Raises:
        urllib.error.HTTPError: The server refuses.
    """
    tasks = []
    url: str | None = f"{server.url}/api/tasks?page_size=500"
    while url:
        page = _get(server, url)
        tasks += [task for task in page["results"] if task["id"] >= first]
        url = page["next"]
    return sorted(
        (
            task["name"],
            task["size"],
            *([_shapes(server, task["id"])] if annotations else []),
        )
        for task in tasks
    )


def _shapes(server: ServerProcess, task_id: int) -> list[Any]:
    found = _get(server, f"{server.url}/api/tasks/{task_id}/annotations")
    return sorted((shape["frame"], shape["type"], shape["points"]) for shape in found["shapes"])


def _get(server: ServerProcess, url: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Token {server.token}"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as response:
        return json.load(response)


def zips_in(folder: Path) -> list[list[tuple[str, int]]]:
    """The members of each zip below a folder, by name and CRC."""
    found = []
    for path in folder.rglob("*.zip"):
        with zipfile.ZipFile(path) as members:
            found.append(sorted((one.filename, one.CRC) for one in members.infolist()))
    return sorted(found)


def check_alike(made: Mapping[str, object]) -> None:
    """Compare what each contender has left.

    Raises:
        SystemExit: They differ; nothing may be timed then.
    """
    expected = next(iter(made.values()))
    for name, found in made.items():
        if not found or found != expected:
            raise SystemExit(f"{name} made something else, nothing is timed: {found!r:.500}")
    print(f"    equal results: {', '.join(made)}", flush=True)


def race(setting: Setting, turn: Callable[[str, int, int], Run]) -> dict[str, list[Run]]:
    """Let us and the pool do all tasks in turns, and the loop a few of them once.

    Args:
        setting: Sizes.
        turn: Runs a contender: its name, how many tasks, the number of the round.
    """
    sizes = setting.sizes

    def turn_of(name: str) -> Callable[[int], Run]:
        return lambda number: turn(name, sizes.tasks, number)

    runs = in_turns(sizes.rounds, {name: turn_of(name) for name in (OURS, POOL)})
    return runs | in_turns(1, {LOOP: lambda number: turn(LOOP, sizes.loop_tasks, number)})


def side_by_side(runs: dict[str, list[Run]], sizes: Sizes) -> tuple[list[Goal], list[str]]:
    """The goals and the note about the peers."""
    loop = runs[LOOP][0].seconds / sizes.loop_tasks
    ours, pool = (median_seconds(runs[name]) / sizes.tasks for name in (OURS, POOL))
    note = (
        f"{LOOP} was timed on {sizes.loop_tasks} tasks, the others on {sizes.tasks}. Seconds a "
        f"task: {OURS} {ours:.2f}, {POOL} {pool:.2f}, {LOOP} {loop:.2f}. "
        f"Scaled to 300 tasks, the loop takes {300 * loop / 60:.0f} min."
    )
    return [
        at_least("wall of the pool / ours", median_ratio(runs[POOL], runs[OURS]), 1),
    ], [note]
