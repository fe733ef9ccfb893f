"""Credentials go to the configured server alone, wherever it, or what stands for it, points."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

import asynccvat as ac
from asynccvat.events import Event, to_json
from asynccvat.http.auth import Authorization, Credentials
from asynccvat.settings import Settings
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Secrets")]

SPEC = ac.ExportSpec("COCO 1.0")
FILE = "annotations/instances_default.json"

CALLS = {
    "login": ("POST", "/api/auth/login"),
    "tasks": ("GET", r"/api/tasks\?"),
    "task": ("GET", r"/api/tasks/\d+$"),
    "export": ("POST", "/dataset/export"),
    "request": ("GET", "/api/requests/"),
    "requests": ("GET", r"/api/requests\?"),
    "download": ("GET", "/dataset/download"),
    "formats": ("GET", "/api/server/annotation/formats"),
    "upload": ("POST", r"/annotations/\?"),
    "piece": ("PATCH", "/annotations/"),
}


@dataclass
class Elsewhere:
    """Another server, which notes all that it is told."""

    url: str = ""
    heard: list[str] = field(default_factory=list)

    async def hear(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode("utf-8", "replace")
        self.heard.append(f"{request.method} {request.raw_path} {dict(request.headers)} {body}")
        return web.json_response({})


@asynccontextmanager
async def elsewhere() -> AsyncIterator[Elsewhere]:
    other = Elsewhere()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", other.hear)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        other.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield other
    finally:
        await runner.cleanup()


async def mirror_and_upload(server: SimulatedServer, data: Path, told: list[Event]) -> bool:
    """Everything that a client does with a server; whether all of it went well."""
    well = []
    user, password = server.username, server.password
    async with ac.CvatClient(server.url, username=user, password=password) as client:
        options = ac.MirrorOptions(durable=False, retries=0, prune=True)
        with contextlib.suppress(ac.AsyncCvatError):
            report = await ac.mirror(client, data, spec=SPEC, options=options, on_event=told.append)
            json.dumps(report.to_json())
            well.append(report.ok)
        with contextlib.suppress(ac.AsyncCvatError):
            await client.tasks(page_size=1)
            await client.task(1)
            await client.requests()
            await client.formats()
        for number, path in enumerate(data.glob(f"task*/{FILE}")):
            # One goes along with its request, one in pieces.
            path.write_text("{" + " " * (number << 21) + path.read_text()[1:])
        with contextlib.suppress(ac.AsyncCvatError):
            report = await ac.upload(client, data, on_event=told.append)
            well.append(report.ok)
    return well == [True, True]


def keep(told: list[Event], folder: Path) -> None:
    """Leave the events where every test's files are looked through for secrets."""
    with (folder / "events.json").open("x") as file:
        json.dump([to_json(event) for event in told], file)


@asynccontextmanager
async def simulated() -> AsyncIterator[SimulatedServer]:
    async with SimulatedServer(SimulatorOptions(tasks=2, frames=1)) as server:
        yield server


@pytest.mark.parametrize("kind", CALLS)
async def test_a_redirect_of_any_call_is_not_followed_elsewhere(kind: str, tmp_path: Path) -> None:
    method, path = CALLS[kind]
    async with elsewhere() as other, simulated() as server:
        fault = Fault(method=method, path=path, redirect=f"{other.url}/login?next=x", times=None)
        server.faults.add(fault)
        told: list[Event] = []
        await mirror_and_upload(server, tmp_path / "data", told)
        assert any(call.status == 302 for call in server.calls), "nothing was redirected"
        assert other.heard == []
        keep(told, tmp_path)


async def test_links_to_another_origin_are_followed_on_the_server_itself(tmp_path: Path) -> None:
    async with elsewhere() as other, simulated() as server:
        server.faults.add(Fault(origin=other.url, times=None))
        told: list[Event] = []
        assert await mirror_and_upload(server, tmp_path / "data", told)
        assert any(call.method == "PATCH" for call in server.calls), "nothing went in pieces"
        assert other.heard == []
        keep(told, tmp_path)


@pytest.mark.parametrize(
    "kept", [{"password": "never-shown-1", "username": "u"}, {"token": "never-shown-2"}]
)
def test_what_holds_credentials_does_not_show_them(kept: dict[str, str]) -> None:
    url = "https://cvat.example.com"
    given = Credentials(kept.get("username"), kept.get("password"), kept.get("token"))

    async def login(_: dict[str, str]) -> str:
        return "key"

    client = ac.CvatClient(url, **kept)  # type: ignore[arg-type]
    holders = [
        client, client._http, client._http._connection, client._http._authorization,
        given, Authorization(given, login), Settings(url=url, **kept),  # type: ignore[arg-type]
    ]  # fmt: skip
    for holder in holders:
        for shown in (repr(holder), str(holder), f"{holder}"):
            assert "never-shown" not in shown
