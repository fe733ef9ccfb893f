"""A mirror of a simulated server, and what became of it: the tree, the report, the calls."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from memory_folders import in_memory

import asynccvat as ac
from asynccvat.events import Event, Retrying, ServerPaused
from asynccvat.simulator import CallRecord, SimulatedServer

Tree = dict[str, bytes]

QUICK = ac.MirrorOptions(durable=False)
"""Nothing is synced: what a power cut would do is the business of other tests."""

PATIENT = {"stall_timeout": 600.0, "connect_timeout": 600.0}
"""By the fast clock a busy machine is silent for long: only tests of stalls may find it so."""


@dataclass
class Ran:
    """One run.

    Attributes:
        report: Its report.
        raised: What kept it from beginning, or ended it at once.
        events: What it told.
        calls: What the server was asked.
    """

    report: ac.RunReport
    raised: ac.AsyncCvatError | None
    events: list[Event]
    calls: list[CallRecord]

    @property
    def retries(self) -> list[Retrying]:
        return [event for event in self.events if isinstance(event, Retrying)]

    @property
    def pauses(self) -> list[float]:
        """Seconds that the server asked everybody to wait."""
        return [event.seconds for event in self.events if isinstance(event, ServerPaused)]

    def outcome(self, task_id: int) -> ac.TaskOutcome:
        (found,) = [one for one in self.report.outcomes if one.task_id == task_id]
        return found

    def asked(self, task_id: int) -> dict[str, int]:
        """How often the server was asked for what, in all or about one task."""
        kinds = Counter(_kind(call) for call in self.calls)
        of_task = Counter(_kind(call) for call in self.calls if call.task_id == task_id)
        return {
            "login": kinds["login"],
            "list": kinds["list"],
            "export": of_task["export"],
            "download": of_task["download"],
        }


def _kind(call: CallRecord) -> str:
    match call.method, call.path.rpartition("/")[2]:
        case "POST", "login":
            return "login"
        case "GET", "tasks":
            return "list"
        case _, "export" | "download" | "cancel" as kind:
            return kind
        case _:
            return "wait"


async def run(
    client: ac.CvatClient,
    data: Path,
    server: SimulatedServer,
    *,
    images: bool = False,
    listener: Callable[[Event], None] = lambda _: None,
    **options: Any,
) -> Ran:
    """Mirror all tasks, and tell how that went."""
    events: list[Event] = []

    def hear(event: Event) -> None:
        events.append(event)
        listener(event)

    before = len(server.calls)
    mirror = ac.open_mirror(
        client,
        data,
        spec=ac.ExportSpec(images=images),
        options=replace(QUICK, **options),
        on_event=hear,
    )
    raised = None
    try:
        async with mirror:
            await mirror.wait()
    except ac.AsyncCvatError as error:
        raised = error
    secrets = (server.password, server.token)
    told = json.dumps(mirror.report.to_json()) + repr(raised)
    assert not any(secret in told for secret in secrets)
    return Ran(mirror.report, raised, events, server.calls[before:])


@asynccontextmanager
async def connected(
    server: SimulatedServer, kind: type[ac.CvatClient] = ac.CvatClient, **options: Any
) -> AsyncIterator[ac.CvatClient]:
    """A client of a simulated server, its superuser's unless told otherwise."""
    if "token" not in options:
        options = {"username": server.username, "password": server.password, **options}
    url = options.pop("url", server.url)
    async with kind(url, **{**PATIENT, **options}) as client:
        yield client


async def mirror_undisturbed(server: SimulatedServer, data: Path, **options: Any) -> Ran:
    """A run in which nothing goes wrong any more."""
    server.faults.clear()
    async with connected(server) as client:
        ran = await run(client, data, server, **options)
    assert ran.report.ok, ran.report.failures
    return ran


async def settle(
    server: SimulatedServer, data: Path, *, again: bool = True, **options: Any
) -> Tree:
    """Let the next run, undisturbed, finish what this one left, if anything; return the tree.

    It is compared with that of a mirror that was never disturbed, byte for byte.
    """
    server.faults.clear()
    if again:
        await mirror_undisturbed(server, data, **options)
    never_disturbed = data.with_name("never disturbed")
    await mirror_undisturbed(server, never_disturbed, **options)
    tree = files(data)
    assert tree == files(never_disturbed)
    assert staged(data) == []
    return tree


def files(place: Path) -> Tree:
    """The files of the tasks, by path."""
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in sorted(place.glob("task*/**/*"))
        if path.is_file()
    }


def of_task(tree: Tree, task_id: int) -> Tree:
    return {path: held for path, held in tree.items() if path.startswith(f"task{task_id}/")}


def staged(place: Path) -> list[str]:
    """What still lies in staging."""
    staging = place / ".asynccvat" / "staging"
    return sorted(path.name for path in staging.iterdir()) if staging.exists() else []


@pytest.fixture
def data() -> Iterator[Path]:
    """A destination in memory that is not there yet."""
    with in_memory() as folder:
        yield folder / "data"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What goes wrong in one run, and what must become of it.

    Attributes:
        faults: What goes wrong.
        fails: The tasks that fail, each with its error and what that says.
        stops: The error that ends the run, and what it says; also where it could not begin.
        asked: How often the server is asked for what about task 2, where it is not the usual.
        pauses: Seconds for which all calls wait, each time that they do; None for as long as
            before any retry.
        changed: Tasks that somebody changed meanwhile: the next run has to look after them.
        server: What server.
        client: What client.
        options: What mirror; `images` for one with images.
    """

    faults: tuple[Any, ...] = ()
    fails: dict[int, tuple[type[ac.AsyncCvatError], str]] = field(default_factory=dict)
    stops: tuple[type[ac.AsyncCvatError], str] | None = None
    asked: dict[str, int] = field(default_factory=dict)
    pauses: tuple[float | None, ...] = ()
    changed: tuple[int, ...] = ()
    server: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
