"""Fixtures of the client's tests: a scripted server and clients that never wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from scripted import FakeTime, ScriptedServer, scripted_server

from asynccvat.client import CvatClient


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
