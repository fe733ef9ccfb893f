"""The command `asynccvat mirror` in a process of its own, and signals for it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mirror_processes import PATIENCE

from asynccvat.simulator.processes import ServerProcess


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


class Command:
    """A command that runs; its events come as lines among what it writes to stdout."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        # A command that hangs is killed; then its lines end.
        self._watchdog = threading.Timer(PATIENCE, process.kill)
        self._watchdog.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def wait_for(self, condition: Callable[[list[dict[str, Any]]], bool]) -> None:
        """Read its events until all so far are as wanted."""
        assert self._process.stdout is not None
        seen: list[dict[str, Any]] = []
        for line in self._process.stdout:
            if not line.startswith("{"):
                self._lines.append(line)
                continue
            seen.append(json.loads(line))
            if condition(seen):
                return
        raise AssertionError(f"the command ended early: {self.finish()}")

    def read_remark(self) -> str:
        """Wait for its next line on stderr."""
        assert self._process.stderr is not None
        return self._process.stderr.readline()

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def finish(self) -> Ended:
        """Wait for its end; events are left out of what it wrote."""
        out, err = self._process.communicate()
        self._lines += [line for line in out.splitlines(True) if not line.startswith("{")]
        assert "Traceback" not in err
        return Ended(self._process.returncode, "".join(self._lines), err)

    def close(self) -> None:
        """Kill it, if it still runs."""
        self._watchdog.cancel()
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def started(server: ServerProcess, dest: Path, *options: str) -> Iterator[Command]:
    """Start `asynccvat mirror DEST`; it is dead afterwards in any case."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("CVAT_")}
    environment |= {
        "CVAT_URL": server.url,
        "CVAT_USERNAME": server.username,
        "CVAT_PASSWORD": server.password,
    }
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "asynccvat", "mirror", str(dest)),
            *("--format", "COCO 1.0", "--images", "--log-json", "/dev/stdout", *options),
        ],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    command = Command(process)
    try:
        yield command
    finally:
        command.close()


def run(server: ServerProcess, dest: Path, *options: str) -> Ended:
    """Run `asynccvat mirror DEST` to its end."""
    with started(server, dest, *options) as command:
        return command.finish()


def happened(event: str, count: int = 1) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether an event was told so many times."""
    return lambda seen: sum(one["event"] == event for one in seen) >= count


# --- another client of the same user ------------------------------------------------------------

_directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(
    server: ServerProcess, method: str, path: str, query: Mapping[str, str] | None = None
) -> Any:
    """Call the server by itself."""
    encoded = urllib.parse.urlencode(query or {})
    request = urllib.request.Request(
        f"{server.url}{path}?{encoded}",
        method=method,
        headers={"Authorization": f"Token {server.token}", "Accept": "*/*"},
    )
    with _directly.open(request) as answer:
        return json.load(answer)


def ask_for_export(server: ServerProcess, task_id: int, format_name: str, images: str) -> str:
    """Have a task exported, as another client would; returns the request's id."""
    query = {"format": format_name, "save_images": images, "location": "local"}
    rq_id: str = call(server, "POST", f"/api/tasks/{task_id}/dataset/export", query)["rq_id"]
    return rq_id


def requests_by_status(server: ServerProcess) -> dict[str, set[str]]:
    """The ids of the requests that the server knows of, by status."""
    found: dict[str, set[str]] = {}
    for request in call(server, "GET", "/api/requests", {"page_size": "1000"})["results"]:
        found.setdefault(request["status"], set()).add(request["id"])
    return found
