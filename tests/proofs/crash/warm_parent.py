"""A process that has everything loaded, and forks itself for each job in a few milliseconds.

The forkserver of `multiprocessing` needs four times as long for each job, which is too much for
thousands of kills. `mirror_processes` says what a job does, and where it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mirror_processes import PATIENCE, Job, processes, run_job

import asynccvat
from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.server import SimulatedServer

_directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        killed: Whether it killed itself, as it was asked to.
        report: What it reported; empty if it was killed.
        effects: Those that counted: the phase, the name and what it was about.
    """

    killed: bool
    report: dict[str, Any]
    effects: tuple[tuple[str, str, str], ...]


class WarmParent:
    """The process, seen from the test that uses it. One job runs at a time."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def run(self, wanted: Job) -> Ended:
        """Do a job in a process of its own, and wait for its end.

        Afterwards the server knows of all that the process asked for, also if it was killed.

        Raises:
            AssertionError: It ended by an error, or by another signal than SIGKILL; a job that
                hangs ends by SIGALRM.
        """
        self._pipe.send(wanted)
        code, last = self._pipe.recv()
        assert last.get("event") != "traceback", last["text"]
        assert code in (0, -signal.SIGKILL), f"the job ended by {code}"
        if code != 0:
            _await_server(wanted)
        return Ended(code != 0, last.get("report", {}), tuple(last.get("effects", ())))


def _await_server(of: Job) -> None:
    """Wait until a server has read what the dead sent it: calls are served in their order."""
    headers = {"Authorization": f"Token {of.token}"}
    call = urllib.request.Request(f"{of.url}/api/server/about", headers=headers)
    with _directly.open(call) as answer:
        answer.read()


@contextlib.contextmanager
def warm_parent() -> Iterator[WarmParent]:
    """Start one; it ends with the context."""
    pipe, theirs = processes.Pipe()
    process = processes.Process(target=_fork_jobs, args=(theirs,))
    process.start()
    theirs.close()
    try:
        yield WarmParent(pipe)
    finally:
        pipe.close()
        process.join(PATIENCE)
        process.kill()
        process.join()
        process.close()


def _fork_jobs(pipe: Connection) -> None:
    asyncio.run(_warm_up())
    # The loop told its threads to end, and did not await that.
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(PATIENCE)
    assert threading.active_count() == 1, "nothing but this thread would be forked"
    gc.collect()
    gc.freeze()
    with contextlib.suppress(EOFError):
        while True:
            pipe.send(_fork(pipe, pipe.recv()))


async def _warm_up() -> None:
    """Do everything once, as modules are loaded and tables are made when they are first needed."""
    async with SimulatedServer(SimulatorOptions(tasks=1, frames=1)) as server:
        with tempfile.TemporaryDirectory() as folder:
            async with asynccvat.CvatClient(server.url, token=server.token) as client:
                report = await asynccvat.mirror(client, Path(folder))
    report.raise_for_failures()


def _fork(pipe: Connection, wanted: Job) -> tuple[int, dict[str, Any]]:
    """Do a job in a child; returns how it ended, and the last that it told."""
    ours, theirs = processes.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            pipe.close()
            ours.close()
            signal.alarm(int(PATIENCE))
            run_job(theirs, wanted)
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    theirs.close()
    last: dict[str, Any] = {}
    with contextlib.suppress(EOFError, ConnectionResetError):
        while True:
            last = ours.recv()
    ours.close()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), last
