"""An address for webhooks, which keeps what it receives."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Received:
    """A body that was sent to the address."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Hook:
    """The address: its URL, what it received, and what it answers."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    status: int = 200
    answer: bytes = b""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        self.received.append(Received(request.path, dict(request.headers), body))
        return web.Response(status=self.status, body=self.answer)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Hook]:
    """Listen on a free port of 127.0.0.1."""
    hook = Hook()
    runner = web.ServerRunner(web.Server(hook.handle))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        hook.url = f"http://{host}:{port}/hook"
        yield hook
    finally:
        await runner.cleanup()
