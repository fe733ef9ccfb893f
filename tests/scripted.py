"""A server that answers as a test scripts it and records its requests, with its fixtures.

A folder's `conftest.py` imports the fixtures that its tests use.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio.lowlevel
import msgspec
import pytest
from aiohttp import web
from blockbuster import BlockBuster, blockbuster_ctx
from yarl import URL

from asynccvat.client import CvatClient
from asynccvat.http.retry_after import RetryAfterGate, Timing

KEY = "0123456789abcdef0123456789abcdef01234567"
DATE = "Mon, 23 Nov 2026 11:42:53 GMT"
JSON = "application/vnd.cvat+json"

Connect = Callable[..., Awaitable[CvatClient]]
"""What the `connect` fixture gives: opens a client of the scripted server, or of any URL."""


def reply(
    json: Any = None,
    status: int = 200,
    *,
    text: str | None = None,
    body: bytes | None = None,
    content_type: str | None = None,
    **headers: str,
) -> web.Response:
    """An answer as CVAT gives it; header names are written with underscores."""
    if body is None:
        body = msgspec.json.encode(json) if text is None else text.encode()
    kind = (
        (JSON if text is None else "text/html; charset=utf-8")
        if content_type is None
        else content_type
    )
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(
        status=status, body=body, headers={"Content-Type": kind, "Date": DATE, **fields}
    )


@dataclass
class Asked:
    """One request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    raw_path: str
    peer: object


@dataclass
class ScriptedServer:
    """Routes are `"GET /api/tasks"`; a list of answers is given one after the other."""

    routes: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self.routes.setdefault("POST /api/auth/login", lambda _: reply({"key": KEY}))

    def __setitem__(self, route: str, answer: Any) -> None:
        self.routes[route] = answer

    def times(self, route: str) -> int:
        """How often a route was asked for."""
        return sum(f"{one.method} {one.path}" == route for one in self.asked)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(
            Asked(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                await request.read(),
                request.raw_path,
                request.transport and request.transport.get_extra_info("peername"),
            )
        )
        answer = self.routes.get(f"{request.method} {request.path}")
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if answer is None:
            return reply({"detail": "Not Found."}, 404)
        if callable(answer):
            answer = answer(request)
        if not isinstance(answer, web.StreamResponse):
            answer = await answer
        assert isinstance(answer, web.StreamResponse)
        if isinstance(answer, web.Response):
            # An answer object serves once; the same content may be due again.
            return web.Response(status=answer.status, body=answer.body, headers=answer.headers)
        return answer


@asynccontextmanager
async def scripted_server(context: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        host = "localhost" if context else "127.0.0.1"
        server.url = str(URL.build(scheme="https" if context else "http", host=host, port=port))
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_server(*answers: bytes | None, hold: bool = False) -> AsyncIterator[str]:
    """Answer each connection's request with bytes as they are; the last answer repeats.

    None closes the connection unanswered. With `hold` the connection stays open, silent.
    """
    waiting = list(answers)
    over = asyncio.Event()
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            if answer is not None:
                writer.write(answer)
                await writer.drain()
            if hold:
                await over.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, as some tests make it do
        finally:
            writer.close()
            handlers.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        over.set()
        server.close()
        while handlers:
            await asyncio.wait(set(handlers))


@dataclass
class FakeTime:
    """A clock that a sleep moves forward, so that tests do not wait."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await anyio.lowlevel.checkpoint()

    def drive(self, client: CvatClient) -> None:
        """Make a client live by this clock."""
        timing = Timing(clock=lambda: self.now, sleep=self.sleep, jitter=lambda: 1.0)
        client._http.retries._timing = timing
        client._http.retries._gate = RetryAfterGate(timing)
        client._http.retries.outages._timing = timing


def page(*ids: int, count: int | None = None, **extra: Any) -> web.Response:
    """A page of tasks."""
    results = [{"id": number, "name": f"task {number}", **extra} for number in ids]
    return reply({"count": len(ids) if count is None else count, "next": None, "results": results})


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Fail when the client blocks the event loop."""
    with blockbuster_ctx("asynccvat") as guard:
        yield guard


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as running:
        yield running


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def connect(server: ScriptedServer, fake_time: FakeTime) -> AsyncIterator[Callable[..., Any]]:
    """Open a client of the scripted server, by default with a password; closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_client(url: str | None = None, **options: Any) -> CvatClient:
            if not {"token", "username"} & options.keys():
                options |= {"username": "alice", "password": "s3cret-pw"}
            client = CvatClient(url or server.url, **options)
            fake_time.drive(client)
            return await stack.enter_async_context(client)

        yield open_client
