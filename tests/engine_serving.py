"""Run a simulated server with a client, and read what a mirror made."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import anyio
import anyio.lowlevel
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

import asynccvat as ac
from asynccvat.client import internals
from asynccvat.events import Event, Retrying, to_json
from asynccvat.simulator import CallRecord, SimulatedServer, SimulatorOptions

Tree = dict[str, bytes]
E = TypeVar("E")

QUICK = ac.MirrorOptions(durable=False)
QUICK_DOWNLOAD = ac.DownloadOptions(durable=False)
"""Nothing is synced: other tests check power cuts."""


@dataclass
class Serving:
    """A simulated server and its client."""

    server: SimulatedServer
    client: ac.CvatClient

    async def archive(self, task_id: int, spec: ac.ExportSpec | None = None) -> Tree:
        """Return the files of the server's archive of a task, read with Python's `zipfile`."""
        accepted = await self.client.request_export(task_id, spec or ac.ExportSpec())
        while not (request := await self.client.request(accepted.rq_id)).ended:
            await anyio.lowlevel.checkpoint()
        assert request.result_url is not None, request.message
        async with internals(self.client).open_result(request.result_url) as stream:
            data = b"".join([chunk async for chunk in stream.chunks()])
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    async def archives(self, spec: ac.ExportSpec | None = None, *, prefix: str = "task") -> Tree:
        """Return the files that a mirror of the whole server must hold."""
        return {
            f"{prefix}{task_id}/{name}": data
            for task_id, task in sorted(self.server.tasks.items())
            if task.size is not None
            for name, data in (await self.archive(task_id, spec)).items()
        }

    def calls(self, *needles: str, since: int = 0) -> list[CallRecord]:
        """Return the calls whose method and path hold all of these words."""
        return [
            call
            for call in self.server.calls[since:]
            if all(needle in f"{call.method} {call.path}" for needle in needles)
        ]

    async def annotate(self, task_id: int, **annotations: list[dict[str, Any]]) -> None:
        """Replace the annotations of a task, as a person does in CVAT."""
        url = f"{self.server.url}/api/tasks/{task_id}/annotations"
        headers = {"Authorization": f"Token {self.server.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.put(url, json=annotations) as answer,
        ):
            assert answer.status == 200, await answer.text()

    def box(self, task_id: int) -> dict[str, Any]:
        """Return a rectangle for `annotate`."""
        label = self.server.tasks[task_id].labels[0].id
        return {"label_id": label, "type": "rectangle", "frame": 0, "points": [5, 6, 7, 8]}

    def track(self, task_id: int) -> dict[str, Any]:
        """Return a rectangle for `annotate` that stays through all frames."""
        label = self.server.tasks[task_id].labels[0].id
        first = {"type": "rectangle", "frame": 0, "points": [1, 2, 30, 40]}
        return {"label_id": label, "frame": 0, "shapes": [first]}

    async def stuck(self, task_id: int) -> None:
        """Wait until the export of a task has begun, and with it the fault that delays it."""
        requests = self.server.requests
        await until(
            lambda: any(
                request.task_id == task_id and request.status == "started"
                for request in requests.values()
            )
        )

    async def stuck_importing(self, task_id: int) -> None:
        """Wait until an import into a task has begun, and with it the fault that delays it."""
        await until(
            lambda: any(
                request.task_id == task_id and request.status == "started"
                for request in self.server.requests.values()
                if request.id.startswith("action=import")
            )
        )


@asynccontextmanager
async def serving(
    tasks: int = 3, *, client: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Serving]:
    """Run a server with this many small tasks, and a client with user and password."""
    given = {"frames": 2, "tasks": tasks, **options}
    async with (
        SimulatedServer(SimulatorOptions(**given)) as server,
        connected(server, **(client or {})) as connection,
    ):
        yield Serving(server, connection)


@asynccontextmanager
async def connected(server: SimulatedServer, **options: Any) -> AsyncIterator[ac.CvatClient]:
    """Open a client of a simulated server, by default as its superuser."""
    if "token" not in options:
        options = {"username": server.username, "password": server.password, **options}
    async with ac.CvatClient(server.url, **options) as client:
        yield client


def files(place: Path, *, own: bool = False) -> Tree:
    """Return the files below a folder, by path. `own` adds those in `.asynccvat/`."""
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and (own or ".asynccvat" not in path.parts)
    }


def kept(place: Path) -> dict[str, bytes]:
    """Return the files in quarantine, by name."""
    folder = place / ".asynccvat" / "kept"
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def staged(place: Path) -> list[str]:
    """Return the names in staging."""
    return sorted(path.name for path in (place / ".asynccvat" / "staging").iterdir())


def receipt_head(place: Path, task_id: int) -> dict[str, Any]:
    path = place / ".asynccvat" / "receipts" / f"{task_id}.json"
    head: dict[str, Any] = json.loads(path.read_bytes().splitlines()[0])
    return head


def actions(report: ac.RunReport) -> dict[int, tuple[str, str]]:
    """Return the action and the reason of each task."""
    return {one.task_id: (str(one.action), one.reason) for one in report.outcomes}


def outcome(report: ac.RunReport, task_id: int) -> ac.TaskOutcome:
    (found,) = [one for one in report.outcomes if one.task_id == task_id]
    return found


def error(report: ac.RunReport, task_id: int) -> ac.AsyncCvatError:
    found = outcome(report, task_id).error
    assert found is not None
    return found


@dataclass
class Log:
    """Remember events, and react to some of them."""

    events: list[Event] = field(default_factory=list)
    reactions: list[tuple[type, Callable[[Any], object]]] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        for kind, reaction in self.reactions:
            if isinstance(event, kind):
                reaction(event)

    def on(self, kind: type[E], reaction: Callable[[E], object]) -> None:
        self.reactions.append((kind, reaction))

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def retries(self, step: str) -> int:
        return sum(event.step == step for event in self.of(Retrying))

    @property
    def names(self) -> list[str]:
        return [to_json(event)["event"] for event in self.events]


async def until(condition: Callable[[], bool]) -> None:
    """Run the event loop until a condition is true. Fail after 30 seconds."""
    with anyio.fail_after(30):
        while not condition():
            await anyio.lowlevel.checkpoint()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A destination that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Fail if the package blocks the event loop. The simulated server may block it."""
    with blockbuster_ctx("asynccvat", excluded_modules=["asynccvat.simulator"]) as guard:
        for function in guard.functions.values():
            # Callbacks of these tests read the disk during a run.
            function.can_block_in("engine_serving.py", {"__call__"})
        yield guard


@pytest.fixture(autouse=True)
def never_waiting(no_waiting: None) -> None:
    """Shorten all waits, since the simulated server exports at once."""


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
