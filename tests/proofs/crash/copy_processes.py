"""Copies in processes of their own, which kill themselves at a given moment.

The moments are those of `restore_processes`: effects on the disk, and calls that change something
at one of the two servers.
"""

from __future__ import annotations

import asyncio
import signal
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mirror_processes import PATIENCE, processes
from restore_processes import Moments

import asynccvat
from asynccvat.core.scheduling import intervals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.fs import files


@dataclass(frozen=True)
class CopyJob:
    """What a process copies, and where it dies.

    Attributes:
        source: Address and key of the source.
        target: Address and key of the target.
        state: The state folder.
        expect: How many copies of deleted tasks are removed.
        states: Whether stages and states of jobs are set.
        die_at: The number of the moment, from 1. None to live.
        after: Whether the effect or call of that moment is done before.
    """

    source: tuple[str, str]
    target: tuple[str, str]
    state: Path
    expect: int | None = None
    states: bool = False
    die_at: int | None = None
    after: bool = False


async def _work(job: CopyJob) -> asynccvat.RunReport:
    options = asynccvat.CopyOptions(
        state=job.state,
        prune=job.expect is not None,
        expect=job.expect,
        states=job.states,
    )
    async with (
        asynccvat.CvatClient(job.source[0], token=job.source[1]) as source,
        asynccvat.CvatClient(job.target[0], token=job.target[1]) as target,
    ):
        return await asynccvat.copy(source, target, options=options)


def _run(pipe: Connection, job: CopyJob) -> None:
    for name in ("SHORTEST_INTERVAL", "SHORTEST_PAUSE", "FIRST_POLL", "CLOCK_SLACK"):
        setattr(intervals, name, 0.002)
    for name in ("fsync", "sync_filesystem"):
        setattr(files, name, lambda _fd: None)  # a process that dies loses nothing that it wrote
    RetryPolicy.backoff = lambda _self, _attempt, _jitter: 0.002  # type: ignore[assignment, method-assign]
    moments = Moments(job.die_at, job.after)
    moments.watch()
    try:
        report = asyncio.run(_work(job))
        pipe.send({"ok": report.ok, "report": report.to_json(), "moments": moments.names})
    except BaseException:
        pipe.send({"traceback": traceback.format_exc()})
        raise


def run(job: CopyJob) -> dict[str, Any] | None:
    """Run a copy to its end, and return what it reported; None if it was killed."""
    pipe, theirs = processes.Pipe()
    process = processes.Process(target=_run, args=(theirs, job))
    process.start()
    theirs.close()
    try:
        told: dict[str, Any] | None = None
        try:
            if not pipe.poll(PATIENCE):
                raise TimeoutError("the copy hangs")
            told = pipe.recv()
        except EOFError:
            pass
        process.join(PATIENCE)
        assert told is None or "traceback" not in told, told
        assert process.exitcode == (-signal.SIGKILL if told is None else 0)
        return told
    finally:
        process.kill()
        process.join()
        process.close()
        pipe.close()
