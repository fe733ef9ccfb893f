"""A bare HTTP client for tests of the simulated server, which keeps whole responses."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
from anyio.lowlevel import checkpoint
from multidict import CIMultiDictProxy
from yarl import URL

from asynccvat.simulator import SimulatedServer, SimulatorOptions

EXPORT = "dataset/export?format=CVAT+for+images+1.1&save_images=true"


@dataclass(frozen=True)
class RawResponse:
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        return self.headers.get("Content-Type", "")


class SimulatorClient:
    """Calls one server, by default as its superuser."""

    def __init__(self, server: SimulatedServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        token: str | None = None,
        anonymous: bool = False,
        json: Any = None,
        data: Any = None,
    ) -> RawResponse:
        sent = dict(headers or {})
        if not anonymous:
            sent.setdefault("Authorization", f"Token {token or self.server.token}")
        url = URL(path if "://" in path else self.server.url + path, encoded=True)
        async with self.session.request(
            method, url, headers=sent, json=json, data=data, allow_redirects=False
        ) as response:
            return RawResponse(response.status, response.headers, await response.read())

    async def get(self, path: str, **more: Any) -> RawResponse:
        return await self("GET", path, **more)

    async def export(self, task_id: int = 1, **more: Any) -> RawResponse:
        return await self("POST", f"/api/tasks/{task_id}/{EXPORT}", **more)

    async def exported(self, task_id: int = 1) -> dict[str, Any]:
        """Export a task, wait for the end, and return the request."""
        rq_id = (await self.export(task_id)).json["rq_id"]
        return await self.ended(rq_id)

    async def ended(self, rq_id: str) -> dict[str, Any]:
        """Wait for the end of a request, and return it."""
        while not self.server.requests[rq_id].ended:
            await checkpoint()
        value: dict[str, Any] = (await self.request(rq_id)).json
        return value

    async def request(self, rq_id: str) -> RawResponse:
        return await self.get(f"/api/requests/{rq_id.replace('&', '%26').replace('=', '%3D')}")


@contextlib.asynccontextmanager
async def simulator_client(
    options: SimulatorOptions | None = None,
) -> AsyncIterator[SimulatorClient]:
    """Start a server, and yield a client of it."""
    jar = aiohttp.DummyCookieJar()
    async with (
        SimulatedServer(options or SimulatorOptions(tasks=3, frames=2)) as server,
        aiohttp.ClientSession(cookie_jar=jar) as session,
    ):
        yield SimulatorClient(server, session)
