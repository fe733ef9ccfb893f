"""Two simulated servers, clients of both, and copies between them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import asynccvat
from asynccvat import CopyOptions, CvatClient, RetryPolicy, RunReport, Selection
from asynccvat.models import CopyPlan
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

QUICK = RetryPolicy(attempts=3, base=0.001, cap=0.002)
_IDS = frozenset({"id", "label_id", "spec_id", "job_id", "version"})


@dataclass
class TwoServers:
    """A source with tasks, and a target without."""

    old: SimulatedServer
    new: SimulatedServer
    source: CvatClient
    target: CvatClient
    state: Path

    def options(self, **more: Any) -> CopyOptions:
        """Options with the state folder of this copy."""
        return CopyOptions(**{"state": self.state, "durable": False, "retries": 2, **more})

    async def copy(self, selection: Selection | None = None, **options: Any) -> RunReport:
        """Copy, with the options given."""
        return await asynccvat.copy(
            self.source, self.target, selection, options=self.options(**options)
        )

    async def plan(self, selection: Selection | None = None, **options: Any) -> CopyPlan:
        """Plan a copy, with the options given."""
        return await asynccvat.plan_copy(
            self.source, self.target, selection, options=self.options(**options)
        )

    def add_project(self) -> None:
        """Give the target a project of the same name and labels."""
        for project in self.old.world.projects.values():
            self.new.world.add_project(project.name, project.labels)

    def restores(self) -> int:
        """How many tasks the target made of backups."""
        return len(self.new.world.tasks)

    async def assert_equal(self, report: RunReport) -> None:
        """Both sides hold the same: by the JSON of annotations, and by CVAT XML."""
        for outcome in report.outcomes:
            assert outcome.new_id is not None
            mine = await self.source.annotations(outcome.task_id)
            theirs = await self.target.annotations(outcome.new_id)
            assert without_ids(mine.raw) == without_ids(theirs.raw)

    def fail(self, *faults: Fault, at: str = "new") -> None:
        """Let one of the servers fail."""
        getattr(self, at).faults.add(*faults)


def without_ids(raw: bytes) -> Any:
    """The annotations without what is each server's own."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(one) for key, one in value.items() if key not in _IDS}
        return [strip(one) for one in value] if isinstance(value, list) else value

    return strip(msgspec.json.decode(raw))


def member_names(archive: bytes) -> list[str]:
    """The names in a zip."""
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        return content.namelist()


@asynccontextmanager
async def two_servers(
    state: Path, *, new: SimulatorOptions | None = None, **content: Any
) -> AsyncIterator[TwoServers]:
    """Start both servers."""
    options = SimulatorOptions(**{"tasks": 4, "frames": 3, **content})
    empty = new or SimulatorOptions(tasks=0, projects=0, seed=9)
    async with (
        SimulatedServer(options) as old,
        SimulatedServer(empty) as there,
        client_of(old) as source,
        client_of(there) as target,
    ):
        yield TwoServers(old, there, source, target, state)


def client_of(server: SimulatedServer, *, organization: str | None = None) -> CvatClient:
    """A client of a simulated server."""
    return CvatClient(
        server.url,
        username=server.username,
        password=server.password,
        organization=organization,
        policy=QUICK,
    )
