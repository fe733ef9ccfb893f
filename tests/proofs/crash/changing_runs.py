"""Runs that change a server: restores, imports, new tasks, copies, deletions, exports to a bucket.

Each has a stage of its own, as what was done cannot be undone: servers, and a folder with all that
the run reads and writes. `act` does the run, or goes on with it, in that folder or in a copy of it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server_changes import PROJECT, datasets_in, held, put_backups, put_datasets, put_media

import asynccvat as ac
from asynccvat.core.scheduling import intervals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.events import Event
from asynccvat.simulator import SimulatedServer, SimulatorOptions

MAKING = (
    ac.Action.RESTORED,
    ac.Action.IMPORTED,
    ac.Action.CREATED,
    ac.Action.COPIED,
    ac.Action.WRITTEN,
    ac.Action.DELETED,
)
"""The actions that changed a server."""

Tell = Callable[[Event], None]
Act = Callable[[Path, Tell], Awaitable[ac.RunReport]]


def unheard(_event: Event) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Stage:
    """Servers, and a run on them.

    Attributes:
        act: Does the run in a folder, or goes on with it.
        held: Reads what the changed server has.
    """

    act: Act
    held: Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Announced:
    """A kind of call, and the line that has to be durable before it.

    Attributes:
        call: What the call looks like: method, path and headers.
        line: What the line says, as JSON values by name.
    """

    call: re.Pattern[str]
    line: dict[str, Any]


@dataclass(frozen=True)
class ChangingRun:
    """A kind of run.

    Attributes:
        opened: Makes a stage, and fills a folder for it.
        announced: The calls that count.
        done: What the line says that has to be durable before the caller is told.
    """

    opened: Callable[[Path], AbstractAsyncContextManager[Stage]]
    announced: tuple[Announced, ...]
    done: dict[str, Any]


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Look at the server at once, as it needs no time."""
    for name in ("SHORTEST_INTERVAL", "SHORTEST_PAUSE", "FIRST_POLL", "CLOCK_SLACK"):
        patch.setattr(intervals, name, 0.002)
    patch.setattr(RetryPolicy, "backoff", lambda _self, _attempt, _jitter: 0.002)


def _client(server: SimulatedServer) -> ac.CvatClient:
    return ac.CvatClient(server.url, token=server.token)


ONE_TASK = SimulatorOptions(tasks=1, frames=1)


def restoring(
    *, projects: bool = False, into: int | None = None
) -> Callable[[Path], AbstractAsyncContextManager[Stage]]:
    """Restores of two tasks, or of a project with both."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Stage]:
        async with SimulatedServer(ONE_TASK) as server:
            put_backups(folder, projects=projects)

            async def act(place: Path, tell: Tell) -> ac.RunReport:
                async with _client(server) as client:
                    return await ac.restore(
                        client, place, projects=projects, project=into, on_event=tell
                    )

            yield Stage(act, lambda: held(server))

    return opened


@asynccontextmanager
async def importing(folder: Path) -> AsyncIterator[Stage]:
    """Imports of two datasets into a project."""
    async with SimulatedServer(ONE_TASK) as server:
        put_datasets(folder)

        async def act(place: Path, tell: Tell) -> ac.RunReport:
            async with _client(server) as client:
                return await ac.import_datasets(
                    client, PROJECT, datasets_in(place), format="COCO 1.0", on_event=tell
                )

        yield Stage(act, lambda: held(server))


@asynccontextmanager
async def creating(folder: Path) -> AsyncIterator[Stage]:
    """A new project with two new tasks, one of them with annotations."""
    async with SimulatedServer(ONE_TASK) as server:
        put_media(folder)

        async def act(place: Path, tell: Tell) -> ac.RunReport:
            async with _client(server) as client:
                return await ac.create(
                    client, place, project="Harbour", labels=["car", "bus"], on_event=tell
                )

        yield Stage(act, lambda: held(server))


@asynccontextmanager
async def copying(folder: Path) -> AsyncIterator[Stage]:
    """A second copy, of a task that was edited, one that was deleted, and a new one."""
    async with (
        SimulatedServer(SimulatorOptions(tasks=2, frames=1)) as source,
        SimulatedServer(SimulatorOptions(tasks=0, projects=0)) as target,
    ):

        async def act(place: Path, tell: Tell, expect: int | None = 1) -> ac.RunReport:
            options = ac.CopyOptions(state=place, prune=expect is not None, expect=expect)
            async with _client(source) as old, _client(target) as new:
                report = await ac.copy(old, new, options=options, on_event=tell)
            if report.guard is not None and expect:
                # What a run that was cut off has removed cannot be expected again.
                return await act(place, tell, 0)
            return report

        folder.mkdir(parents=True)
        (await act(folder, unheard, None)).raise_for_failures()
        source.edit_task(1)
        source.delete_task(2)
        source.add_task(frames=1)
        yield Stage(act, lambda: held(target))


@asynccontextmanager
async def exporting(folder: Path) -> AsyncIterator[Stage]:
    """Exports of two tasks to a bucket, which is on another disk."""
    bucket = folder.parent.with_name(f"{folder.parent.name} bucket")
    (bucket / "x").mkdir(parents=True)
    folder.mkdir(parents=True)
    async with SimulatedServer(SimulatorOptions(tasks=2, frames=1)) as server:
        server.add_cloud_storage(bucket)

        async def act(place: Path, tell: Tell) -> ac.RunReport:
            options = ac.CloudOptions(record=place / "record.jsonl", concurrency=1)
            async with _client(server) as client:
                return await ac.export_to_cloud(client, 1, "x", options=options, on_event=tell)

        async def objects() -> Any:
            return sorted(path.name for path in (bucket / "x").iterdir())

        yield Stage(act, objects)


@asynccontextmanager
async def deleting(folder: Path) -> AsyncIterator[Stage]:
    """A deletion of two of three tasks, as a dry run planned it."""
    folder.mkdir(parents=True)
    wanted = ac.Selection(task_ids=[1, 2])
    async with SimulatedServer(SimulatorOptions(tasks=3, frames=1)) as server:
        async with _client(server) as client:
            plan = await ac.plan_delete(client, wanted)

        async def act(place: Path, tell: Tell) -> ac.RunReport:
            options = ac.DeleteOptions(log=place / "log.jsonl")
            async with _client(server) as client:
                return await ac.delete(
                    client, wanted, expect=plan.count, plan=plan, options=options, on_event=tell
                )

        yield Stage(act, lambda: held(server))


def _calls(pattern: str, **line: Any) -> Announced:
    return Announced(re.compile(pattern), line)


_RESTORE = _calls(r"POST /api/(task|project)s/backup/ .*Upload-Finish", type="requesting")
_IMPORT = _calls(r"POST /api/projects/\d+/dataset/ .*Upload-Finish", type="requesting")
_CREATE = (
    _calls(r"POST /api/projects ", line="project asked"),
    _calls(r"POST /api/tasks ", line="task asked"),
    _calls(r"POST /api/tasks/\d+/data( |/ .*Upload-Finish)", line="finishing"),
    _calls(r"POST /api/tasks/\d+/annotations", line="annotating"),
)
# The copy of task 1 goes when the new one was compared.
_REPLACE = _calls(r"DELETE /api/tasks/1 ", entry="copied", task=1)
_EXPORT = _calls(r"POST /api/tasks/\d+/dataset/export", state="")
_DELETE = _calls(r"DELETE /api/tasks/\d+", what="delete")

RUNS = {
    "restored tasks": ChangingRun(restoring(), (_RESTORE,), {"type": "done"}),
    "tasks restored into a project": ChangingRun(
        restoring(into=PROJECT), (_RESTORE,), {"type": "done"}
    ),
    "restored project": ChangingRun(restoring(projects=True), (_RESTORE,), {"type": "done"}),
    "imported datasets": ChangingRun(importing, (_IMPORT,), {"type": "done"}),
    "new tasks": ChangingRun(creating, _CREATE, {"line": "done"}),
    "copied tasks": ChangingRun(copying, (_RESTORE, _REPLACE), {"entry": "copied"}),
    "deleted tasks": ChangingRun(deleting, (_DELETE,), {"what": "deleted"}),
    "exports to a bucket": ChangingRun(exporting, (_EXPORT,), {}),
}
