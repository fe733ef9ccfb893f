"""Credentials go to the configured server alone, wherever it, or what stands for it, points."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

import asynccvat as ac
from asynccvat.client import internals
from asynccvat.events import Event, to_json
from asynccvat.http.authorization import Authorization, Credentials
from asynccvat.settings import Settings
from asynccvat.simulator import Fault, SimulatedServer, SimulatorOptions

pytestmark = [pytest.mark.anyio, pytest.mark.proof("Secrets")]

SPEC = ac.ExportSpec("COCO 1.0")
FILE = "annotations/instances_default.json"

LOOKS = {
    "login": ("POST", "/api/auth/login"),
    "about": ("GET", "/api/server/about"),
    "user": ("GET", "/api/users/self"),
    "tasks": ("GET", r"/api/tasks\?"),
    "task": ("GET", r"/api/tasks/\d+$"),
    "data": ("GET", "/data/meta"),
    "projects": ("GET", r"/api/projects\?"),
    "project": ("GET", r"/api/projects/\d+$"),
    "jobs": ("GET", r"/api/jobs\?"),
    "formats": ("GET", "/api/server/annotation/formats"),
    "schema": ("GET", "/api/schema/"),
    "requests": ("GET", r"/api/requests\?"),
    "cancel": ("POST", "/cancel$"),
}
TRANSFERS = {
    "list": ("GET", r"/api/tasks\?"),
    "export": ("POST", "/dataset/export"),
    "request": ("GET", "/api/requests/"),
    "download": ("GET", "/dataset/download"),
    "what a task has": ("GET", "/annotations$"),
    "upload": ("POST", r"/annotations/\?"),
    "upload in pieces": ("POST", "/annotations/$"),
    "piece": ("PATCH", "/annotations/"),
    "how far a piece came": ("HEAD", "/annotations/"),
}
"""With `LOOKS`, every kind of call that a client makes."""


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


def client_of(server: SimulatedServer) -> ac.CvatClient:
    return ac.CvatClient(
        server.url,
        username=server.username,
        password=server.password,
        headers={"X-Api-Key": "never-shown-3"},
    )


async def look(server: SimulatedServer) -> None:
    """Ask for all that can be asked for."""
    async with client_of(server) as client:
        looks: list[Callable[[], Awaitable[object]]] = [
            *(client.about, client.user, client.projects, client.jobs, client.formats),
            *(client.tasks, client.requests, lambda: client.task(1), lambda: client.data_meta(1)),
            *(lambda: client.project(1), lambda: internals(client).check_mode("append")),
            lambda: client.cancel_request("anything"),
        ]
        for one in looks:
            with contextlib.suppress(ac.AsyncCvatError):
                await one()


async def mirror_and_upload(server: SimulatedServer, data: Path, told: list[Event]) -> bool:
    """All transfers that a client does; whether all of it went well."""
    well = []
    async with client_of(server) as client:
        options = ac.MirrorOptions(durable=False, retries=0, prune=True)
        with contextlib.suppress(ac.AsyncCvatError):
            report = await ac.mirror(client, data, spec=SPEC, options=options, on_event=told.append)
            json.dumps(report.to_json())
            well.append(report.ok)
        for number, path in enumerate(data.glob(f"task*/{FILE}")):
            # One goes along with its request, one in pieces.
            path.write_text("{" + " " * (number << 21) + path.read_text()[1:])
        with contextlib.suppress(ac.AsyncCvatError):
            uploading = ac.UploadOptions(lossy=True)  # COCO has no tags
            report = await ac.upload(client, data, options=uploading, on_event=told.append)
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


def redirect(server: SimulatedServer, other: Elsewhere, method: str, path: str) -> None:
    away = f"{other.url}/login?next=x"
    server.faults.add(Fault(method=method, path=path, redirect=away, times=None))


@pytest.mark.parametrize("kind", LOOKS)
async def test_a_redirect_of_any_look_is_not_followed_elsewhere(kind: str) -> None:
    async with elsewhere() as other, simulated() as server:
        redirect(server, other, *LOOKS[kind])
        await look(server)
        assert any(call.status == 302 for call in server.calls), "nothing was redirected"
        assert other.heard == []


@pytest.mark.usefixtures("no_waiting")
@pytest.mark.parametrize("kind", TRANSFERS)
async def test_a_redirect_of_any_call_of_transfers_is_not_followed_elsewhere(
    kind: str, tmp_path: Path
) -> None:
    method, path = TRANSFERS[kind]
    async with elsewhere() as other, simulated() as server:
        redirect(server, other, method, path)
        if method == "HEAD":
            # That is asked where a piece got no answer.
            server.faults.add(Fault(method="PATCH", drop=True))
        told: list[Event] = []
        await mirror_and_upload(server, tmp_path / "data", told)
        assert any(call.status == 302 for call in server.calls), "nothing was redirected"
        assert other.heard == []
        keep(told, tmp_path)


@pytest.mark.usefixtures("no_waiting")
async def test_links_to_another_origin_are_followed_on_the_server_itself(tmp_path: Path) -> None:
    async with elsewhere() as other, simulated() as server:
        server.faults.add(Fault(origin=other.url, times=None))
        told: list[Event] = []
        assert await mirror_and_upload(server, tmp_path / "data", told)
        await look(server)
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

    headers = {"X-Api-Key": "never-shown-3"}
    proxy = "http://bob:never-shown-4@proxy.example.com"
    client = ac.CvatClient(url, headers=headers, proxy=proxy, **kept)  # type: ignore[arg-type]
    holders = [
        client, client._http, client._http._connection, client._http._authorization,
        client._http._options, client._http._options.proxy,
        given, Authorization(given, login), Settings(url=url, **kept),  # type: ignore[arg-type]
    ]  # fmt: skip
    for holder in holders:
        for shown in (repr(holder), str(holder), f"{holder}"):
            assert "never-shown" not in shown
