"""Connections that fail, stall or are refused: each has one clear error, none of aiohttp's own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import aiohttp
import anyio
import pytest
from aiohttp import web
from scripted import Connect, FakeTime, ScriptedServer, raw_server, reply

from asynccvat.client import internals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    ConnectError,
    NotFoundError,
    ReadError,
    StallError,
    TransportError,
)
from asynccvat.http import Call, StreamedBody
from asynccvat.http.connection import _TimedResolver
from asynccvat.http.failures import translate
from asynccvat.http.route import Route

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
USER = b'{"id":1,"username":"alice"}'
ONCE = RetryPolicy(attempts=0)
BROKEN_CHUNKS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"id"\r\n'
)


def http(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/vnd.cvat+json",
        f"Content-Length: {len(body) if length is None else length}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# The connection


async def test_a_server_that_never_answered_is_reported_at_once(
    connect: Connect, fake_time: FakeTime
) -> None:
    client = await connect("http://127.0.0.1:1", token=TOKEN)
    with pytest.raises(ConnectError, match=r"no connection to http://127.0.0.1:1: .*Check the URL"):
        await client.user()
    assert fake_time.slept == []
    assert client.requests_sent == 1


async def test_a_server_that_answered_before_is_retried(
    connect: Connect, fake_time: FakeTime
) -> None:
    async with raw_server(http(USER)) as url:
        client = await connect(url, token=TOKEN)
        await client.user()
    with pytest.raises(ConnectError):
        await client.user()
    assert fake_time.slept == [0.5, 1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (None, "the connection to .* was lost"),
        (http(USER[:10], length=len(USER)), "broke off before its end"),
        (BROKEN_CHUNKS, "broke off before its end"),
    ],
)
async def test_a_call_is_retried_after_a_broken_response(
    connect: Connect, fake_time: FakeTime, broken: bytes | None, message: str
) -> None:
    async with raw_server(broken, broken, http(USER)) as url:
        client = await connect(url, token=TOKEN)
        assert (await client.user()).username == "alice"
    assert fake_time.slept[0] == 0.5
    async with raw_server(broken) as url:
        client = await connect(url, token=TOKEN, policy=ONCE)
        with pytest.raises(ReadError, match=message):
            await client.user()


async def test_silence_is_a_stall(connect: Connect) -> None:
    async with raw_server(None, hold=True) as url:
        client = await connect(url, token=TOKEN, stall_timeout=0.05, policy=ONCE)
        with pytest.raises(StallError, match=r"sent nothing for 0\.05 s"):
            await client.user()


@pytest.mark.parametrize(
    "credentials", [{"token": TOKEN}, {"username": "ann", "password": "correct horse"}]
)
async def test_headers_that_trickle_are_a_stall(
    connect: Connect, credentials: dict[str, str]
) -> None:
    left = asyncio.Event()

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not writer.is_closing():
            writer.write(b"y")
            await asyncio.sleep(0.02)
        writer.close()
        left.set()

    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as slow:
        port = slow.sockets[0].getsockname()[1]
        client = await connect(
            f"http://127.0.0.1:{port}", **credentials, stall_timeout=0.1, policy=ONCE
        )
        with pytest.raises(StallError):
            await client.user()
        await left.wait()


async def test_silence_within_a_response_is_a_stall(connect: Connect) -> None:
    async with raw_server(http(USER[:10], length=len(USER)), hold=True) as url:
        client = await connect(url, token=TOKEN, stall_timeout=0.05, policy=ONCE)
        with pytest.raises(StallError):
            await client.user()


async def test_an_unknown_host_is_a_connect_error(connect: Connect) -> None:
    client = await connect("http://nosuch.invalid", token=TOKEN)
    with pytest.raises(ConnectError, match=r"the host of http://nosuch.invalid cannot be found"):
        await client.user()


async def test_a_slow_name_lookup_ends_after_the_connect_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: object, **__: object) -> None:
        await anyio.sleep_forever()

    resolver = _TimedResolver(0.01)
    monkeypatch.setattr(resolver._loop, "getaddrinfo", never)
    with pytest.raises(OSError, match=r"the name lookup took longer than 0\.01 s"):
        await resolver.resolve("example.com", 80)


async def test_a_call_that_is_cancelled_is_cancelled(
    server: ScriptedServer, connect: Connect
) -> None:
    asked = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        asked.set()
        await anyio.sleep_forever()
        raise AssertionError

    server["GET /api/users/self"] = never
    client = await connect(token=TOKEN)
    call = asyncio.create_task(client.user())
    await asked.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_connections_are_kept_for_the_next_call(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    server["GET /api/result"] = reply(body=b"x" * 300_000, content_type="application/zip")
    client = await connect(token=TOKEN)
    for _ in range(3):
        await client.user()
        with pytest.raises(NotFoundError):
            await client.task(1)
        async with internals(client).open_result("/api/result") as stream:
            assert sum([len(chunk) async for chunk in stream.chunks()]) == 300_000
    assert len({one.peer for one in server.asked}) == 1


async def test_several_clients_share_nothing(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    one, other = await connect(), await connect(token=TOKEN)
    await asyncio.gather(one.user(), other.user(), one.user())
    assert (one.requests_sent, other.requests_sent) == (3, 1)
    sent = [asked.headers.get("Authorization") for asked in server.asked]
    assert sent.count(f"Bearer {TOKEN}") == 1


async def test_a_body_that_the_server_stops_reading_is_a_stall(connect: Connect) -> None:
    length = 1 << 27  # more than sockets hold for a server that does not read

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(length >> 20):
            yield bytes(1 << 20)

    async with raw_server(None, hold=True) as url:
        client = await connect(url, stall_timeout=0.1)
        body = StreamedBody(length, pieces)
        call = Call(
            method="PATCH", path="/x", step="upload", body=body, retry=False, anonymous=True
        )
        with pytest.raises(StallError):
            await client._http.call(call)


# What aiohttp raises seldom


@pytest.mark.parametrize(
    ("exc", "kind", "message"),
    [
        (aiohttp.ConnectionTimeoutError(), ConnectError, "no connection to http://x within 3 s"),
        (aiohttp.SocketTimeoutError(), StallError, "sent nothing for 7 s"),
        (aiohttp.InvalidURL("http://"), ConfigError, "Check the server URL"),
        (aiohttp.ClientConnectionError("odd"), TransportError, "the exchange with .*: odd"),
        (aiohttp.ServerDisconnectedError(), ReadError, "was lost: Server disconnected"),
        (ConnectionResetError(104, "reset by peer"), ReadError, "was lost: reset by peer"),
        (ssl.SSLError(1, "bad record mac"), ReadError, "was lost: bad record mac"),
        (OSError(), ReadError, "was lost: OSError"),
        (aiohttp.ClientError("y" * 500), TransportError, r"y{199}…\. Check"),
    ],
)
async def test_each_exception_has_its_error(
    exc: Exception, kind: type[AsyncCvatError], message: str
) -> None:
    error = translate(exc, Route("http://x", "x"), connect_timeout=3.0, stall_timeout=7.0)
    assert type(error) is kind
    assert ". Check" in str(error)
    with pytest.raises(kind, match=message):
        raise error
