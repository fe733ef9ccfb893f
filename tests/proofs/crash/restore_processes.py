"""Restores, imports and creations in processes of their own, which kill themselves at a moment.

A moment is an effect on the disk, or a call that changes something at the server: before it is sent
and after its answer has come, of which the process then knows nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from mirror_processes import PATIENCE, processes

import asynccvat
from asynccvat.core.scheduling import intervals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.fs import files
from asynccvat.http.session import HttpSession

EFFECTS = tuple(name for name in files.EFFECTS if name not in ("fsync", "sync_filesystem"))


@dataclass(frozen=True)
class RestoreJob:
    """What a process does, and where it dies.

    Attributes:
        url: The server.
        token: The superuser's key.
        source: The backups.
        projects: Whether they are of projects.
        project: The project that the tasks are moved into.
        datasets: Datasets to import into `project`, instead of restoring.
        new_project: The name of a project in which tasks are created, instead of restoring.
        die_at: The number of the moment, from 1. None to live.
        after: Whether the effect or call of that moment is done before.
    """

    url: str
    token: str
    source: Path
    projects: bool = False
    project: int | None = None
    datasets: Sequence[Path] = ()
    new_project: str | None = None
    die_at: int | None = None
    after: bool = False


@dataclass
class Moments:
    """Counts the moments of this process, and ends it at one."""

    die_at: int | None
    after: bool
    names: list[str] = field(default_factory=list)

    def watch(self) -> None:
        for name in EFFECTS:
            setattr(files, name, self._effect(name, getattr(files, name)))
        calling = HttpSession.call

        async def call(session: HttpSession, wanted: Any) -> Any:
            if wanted.method in ("GET", "HEAD") or wanted.step == "login":
                return await calling(session, wanted)
            if not self._is_last(f"{wanted.method} {wanted.path} {dict(wanted.headers)}"):
                return await calling(session, wanted)
            if self.after:
                await calling(session, wanted)
            return die()

        HttpSession.call = call  # type: ignore[assignment, method-assign]

    def _effect(self, name: str, effect: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if not self._is_last(name):
                return effect(*args, **kwargs)
            if self.after:
                effect(*args, **kwargs)
            return die()

        return counted

    def _is_last(self, name: str) -> bool:
        self.names.append(name)
        return len(self.names) == self.die_at


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _work(job: RestoreJob) -> asynccvat.RunReport:
    async with asynccvat.CvatClient(job.url, token=job.token) as client:
        if job.datasets:
            assert job.project is not None
            return await asynccvat.import_datasets(
                client, job.project, job.datasets, format="COCO 1.0"
            )
        if job.new_project is not None:
            return await asynccvat.create(
                client, job.source, project=job.new_project, labels=["car", "bus"]
            )
        return await asynccvat.restore(
            client, job.source, projects=job.projects, project=job.project
        )


def _run(pipe: Connection, job: Any, work: Callable[[Any], Any]) -> None:
    for name in ("SHORTEST_INTERVAL", "SHORTEST_PAUSE", "FIRST_POLL", "CLOCK_SLACK"):
        setattr(intervals, name, 0.002)
    for name in ("fsync", "sync_filesystem"):
        setattr(files, name, lambda _fd: None)  # a process that dies loses nothing that it wrote
    RetryPolicy.backoff = lambda _self, _attempt, _jitter: 0.002  # type: ignore[assignment, method-assign]
    moments = Moments(job.die_at, job.after)
    moments.watch()
    try:
        report = asyncio.run(work(job))
        pipe.send({"ok": report.ok, "report": report.to_json(), "moments": moments.names})
    except BaseException:
        pipe.send({"traceback": traceback.format_exc()})
        raise


def run(job: Any, work: Callable[[Any], Any] = _work) -> dict[str, Any] | None:
    """Run a job to its end, and return what it reported; None if it was killed.

    Args:
        job: What is done, and where the process dies.
        work: Does it, and returns a report.
    """
    pipe, theirs = processes.Pipe()
    process = processes.Process(target=_run, args=(theirs, job, work))
    process.start()
    theirs.close()
    try:
        told: dict[str, Any] | None = None
        try:
            if not pipe.poll(PATIENCE):
                raise TimeoutError("the restore hangs")
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
