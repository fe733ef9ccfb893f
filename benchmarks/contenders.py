"""Who competes: the command of each, for a mirror and for an archive.

A contender is a function from what is asked to a `Run`. How they are timed and compared is left
to `measuring` and the cases.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asynccvat.simulator import ServerProcess
from benchmarks.environments import peer_bin
from benchmarks.measuring import Run, run_process

OURS = "asynccvat"
WORKERS = Path(__file__).resolve().parent / "workers"


@dataclass(frozen=True, slots=True)
class MirrorJob:
    """What a contender is asked to mirror: everything on a server, below a folder.

    Attributes:
        server: The server.
        dest: The folder, not there yet; task 7 belongs into its `task7/`.
        images: Whether the images are wanted.
    """

    server: ServerProcess
    dest: Path
    images: bool = False

    def to_json(self, **more: Any) -> str:
        """The job as a worker reads it."""
        return json.dumps(
            {
                "url": self.server.url,
                "username": self.server.username,
                "password": self.server.password,
                "dest": str(self.dest),
                "images": self.images,
                **more,
            }
        )


Mirrorer = Callable[[MirrorJob], Run]


def asynccvat_mirror(name: str = OURS, **options: Any) -> Mirrorer:
    """asynccvat, by `await asynccvat.mirror(...)`, durable unless asked otherwise."""

    def run(job: MirrorJob) -> Run:
        module = "benchmarks.workers.asynccvat_mirror"
        return run_process(name, [sys.executable, "-m", module, job.to_json(**options)])

    return run


def asynccvat_soak(name: str, **options: Any) -> Mirrorer:
    """asynccvat, which tells what its process holds and how late its loop is meanwhile."""

    def run(job: MirrorJob) -> Run:
        module = "benchmarks.workers.asynccvat_soak"
        return run_process(name, [sys.executable, "-m", module, job.to_json(**options)])

    return run


def sdk_mirror(cache: Path, *, threads: int = 1, poll: float | None = None) -> Mirrorer:
    """The official SDK: one task after the other, or in a pool of threads.

    Args:
        cache: Where the peers' environments are kept.
        threads: 1 is a plain loop.
        poll: Seconds between two looks at an export; None for the SDK's own 5.
    """
    name = sdk_name(threads, poll)

    def run(job: MirrorJob) -> Run:
        python = peer_bin(cache, "cvat") / "python"
        text = job.to_json(threads=threads, poll=poll)
        return run_process(name, [str(python), str(WORKERS / "sdk_mirror.py"), text])

    return run


def sdk_name(threads: int, poll: float | None) -> str:
    """What the SDK is called in tables."""
    how = "as documented" if threads == 1 else f"{threads} threads"
    return f"cvat-sdk, {how}" + ("" if poll is None else f", {poll:g} s poll")


CLI_LOOP = """
set -eo pipefail
mkdir -p "$DEST-archives"
server="${URL%:*}" port="${URL##*:}"
official() { cvat-cli --server-host "$server" --server-port "$port" --auth "$USER_PASS" "$@"; }
for id in $(official task ls); do
    official task export-dataset --format "CVAT for images 1.1" --with-images "$IMAGES" \
        "$id" "$DEST-archives/$id.zip"
    unzip -q "$DEST-archives/$id.zip" -d "$DEST/task$id"
done
"""


def cli_mirror(cache: Path) -> Mirrorer:
    """The official command line in a shell loop, with `unzip`."""

    def run(job: MirrorJob) -> Run:
        folder = peer_bin(cache, "cvat")
        environment = {
            "PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin",
            "URL": job.server.url,
            "USER_PASS": f"{job.server.username}:{job.server.password}",
            "DEST": str(job.dest),
            "IMAGES": "true" if job.images else "false",
        }
        job.dest.mkdir(parents=True)
        return run_process("cvat-cli in a shell loop", ["bash", "-c", CLI_LOOP], environment)

    return run


def datnvt_mirror(cache: Path, task_ids: tuple[int, ...]) -> Mirrorer:
    """`datnvt-cvat-cli download` of some tasks.

    It asks for endpoints of older servers (`SimulatorOptions.old_exports`). CVAT 2.54 answers them
    with 404 and 410; it says so for each task while its exit code stays 0: look at what it left,
    not at how it ended.
    """

    def run(job: MirrorJob) -> Run:
        command = [
            str(peer_bin(cache, "datnvt") / "datnvt-cvat-cli"),
            *("--url", job.server.url, "--username", job.server.username),
            *("--password", job.server.password, "--project-id", "1", "download"),
            *("--out-dir", str(job.dest)),
            *(part for task_id in task_ids for part in ("--task-id", str(task_id))),
        ]
        return run_process("datnvt-cvat-cli", command)

    return run


@dataclass(frozen=True, slots=True)
class ExtractJob:
    """An archive at a URL, to be written into a tree.

    Attributes:
        url: The origin that serves it at every path.
        work: A folder of this run alone, not there yet.
        copies: How often, at the same time; more than once is for asynccvat.
    """

    url: str
    work: Path
    copies: int = 1

    @property
    def trees(self) -> list[Path]:
        """Where the files belong."""
        return [self.work / f"tree{number}" for number in range(self.copies)]


Extractor = Callable[[ExtractJob], Run]


def asynccvat_extract(job: ExtractJob) -> Run:
    """The data plane alone, nothing synced: the peers do not sync either."""
    job.work.mkdir(parents=True)
    trees = [str(tree) for tree in job.trees]
    text = json.dumps({"url": job.url, "dest": str(job.work / "dest"), "trees": trees})
    module = "benchmarks.workers.asynccvat_extract"
    return run_process(OURS, [sys.executable, "-m", module, text])


_PIPED = 'curl -sS "$0" | bsdtar -x -C "$1" -f -'
_UNZIPPED = 'curl -sS -o "$1.zip" "$0" && unzip -q "$1.zip" -d "$1" && rm "$1.zip"'
_EXTRACTED = (
    'curl -sS -o "$1.zip" "$0" '
    '&& "$2" -m benchmarks.workers.zipfile_extract "$1.zip" "$1" && rm "$1.zip"'
)
BSDTAR, UNZIP, ZIPFILE = "curl | bsdtar -x", "curl + unzip", "curl + zipfile.extractall"
SCRIPTS = {
    BSDTAR: (_PIPED, ("curl", "bsdtar")),
    UNZIP: (_UNZIPPED, ("curl", "unzip")),
    ZIPFILE: (_EXTRACTED, ("curl",)),
}
"""The peers of the data plane: a shell script of each, and the commands that it needs."""


def _script_extract(name: str, script: str) -> Extractor:
    def run(job: ExtractJob) -> Run:
        (tree,) = job.trees
        tree.mkdir(parents=True)
        place = f"{job.url}/api/result?rq_id=1"
        command = ["bash", "-c", f"set -o pipefail; {script}", place, str(tree), sys.executable]
        return run_process(name, command)

    return run


def extractors() -> dict[str, Extractor]:
    """Everybody who can write an archive here; who cannot is named on the way."""
    found: dict[str, Extractor] = {OURS: asynccvat_extract}
    for name, (script, needs) in SCRIPTS.items():
        missing = [command for command in needs if shutil.which(command) is None]
        if missing:
            print(
                f"  {name} is left out for want of {', '.join(missing)} (apt-get install curl "
                "libarchive-tools unzip, or brew install libarchive)",
                flush=True,
            )
        else:
            found[name] = _script_extract(name, script)
    return found
