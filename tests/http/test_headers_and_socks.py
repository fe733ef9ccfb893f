"""Headers of the user go along with every call, and SOCKS proxies are gone through."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from scripted import Connect, ScriptedServer, reply

from asynccvat.client import CvatClient
from asynccvat.errors import ConfigError, ConnectError, PermissionDeniedError

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
USER = b'{"id":1,"username":"alice"}'
KEY = "gateway-key-1234567"


# Headers


async def test_headers_go_along_with_every_call_the_login_too(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    client = await connect(headers={"X-Api-Key": KEY, "User-Agent": "own"})
    await client.user()
    assert [one.path for one in server.asked] == ["/api/auth/login", "/api/users/self"]
    assert {one.headers["X-Api-Key"] for one in server.asked} == {KEY}
    assert {one.headers["User-Agent"] for one in server.asked} == {"own"}


async def test_headers_of_the_user_are_shown_nowhere(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = reply({"detail": f"the key {KEY} may not do this"}, 403)
    client = await connect(token=TOKEN, headers={"X-Api-Key": KEY})
    with pytest.raises(PermissionDeniedError) as caught:
        await client.user()
    assert "the key *** may not do this" in str(caught.value)
    for holder in (client, client._http, client._http._options, client._http._connection):
        assert KEY not in repr(holder)


def test_headers_that_cannot_be_sent_are_refused() -> None:
    with pytest.raises(ConfigError, match="the header 'Authorization' is set by asynccvat itself"):
        CvatClient("https://x", token=TOKEN, headers={"Authorization": "Basic x"})


# SOCKS


@asynccontextmanager
async def socks_server(user: str = "", password: str = "") -> AsyncIterator[tuple[str, list[str]]]:
    """A SOCKS5 proxy (RFC 1928, 1929), and the hosts that it was asked for."""
    asked: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # one side left
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError):
            await converse(reader, writer)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        writer.write(bytes([5, 2 if user else 0]) if not user or 2 in methods else b"\x05\xff")
        if user:
            (_, length) = await reader.readexactly(2)
            name = await reader.readexactly(length)
            (length,) = await reader.readexactly(1)
            given = await reader.readexactly(length)
            right = (name.decode(), given.decode()) == (user, password)
            writer.write(b"\x01\x00" if right else b"\x01\x01")
            if not right:
                return
        *_, kind = await reader.readexactly(4)
        assert kind == 3, "the proxy looks up the name"
        (length,) = await reader.readexactly(1)
        host = (await reader.readexactly(length)).decode()
        port = int.from_bytes(await reader.readexactly(2), "big")
        asked.append(f"{host}:{port}")
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await asyncio.gather(pump(reader, back), pump(there, writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}", asked
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("variable", ["ALL_PROXY", None])
async def test_a_socks_proxy_is_gone_through_and_looks_up_the_name(
    server: ScriptedServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    port = server.url.rpartition(":")[2]
    pytest.importorskip("aiohttp_socks")
    async with socks_server("bob", "hunter2-hunter2") as (address, asked):
        proxy = f"socks5://bob:hunter2-hunter2@{address}"
        if variable:
            monkeypatch.setenv(variable, proxy)
        client = await connect(
            f"http://cvat.test:{port}", token=TOKEN, **({} if variable else {"proxy": proxy})
        )
        assert (await client.user()).username == "alice"
        assert asked == [f"cvat.test:{port}"]
        await client.close()


async def test_a_socks_proxy_that_refuses_is_named_without_its_password(connect: Connect) -> None:
    pytest.importorskip("aiohttp_socks")
    async with socks_server("bob", "another-password") as (address, _):
        client = await connect(
            "http://cvat.test", token=TOKEN, proxy=f"socks5://bob:hunter2-hunter2@{address}"
        )
        with pytest.raises(ConnectError) as caught:
            await client.user()
        assert f"the proxy socks5://{address} (proxy=)" in str(caught.value)
        assert "hunter2" not in str(caught.value) + repr(caught.value.__cause__)


async def test_a_socks_proxy_that_is_down_is_named(connect: Connect) -> None:
    pytest.importorskip("aiohttp_socks")
    client = await connect("http://cvat.test", token=TOKEN, proxy="socks5://127.0.0.1:1")
    with pytest.raises(ConnectError, match=r"the proxy socks5://127\.0\.0\.1:1 \(proxy=\)"):
        await client.user()


async def test_a_missing_package_for_socks_is_named(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asynccvat.http.socks", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    with pytest.raises(ConfigError) as caught:
        await connect("http://cvat.test", token=TOKEN)
    assert str(caught.value) == (
        "the proxy socks5://127.0.0.1:1 (ALL_PROXY) speaks SOCKS, for which a package is missing. "
        "Run: pip install 'asynccvat[socks]'."
    )


# The option wins


async def test_the_given_proxy_wins_over_that_of_the_environment(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "cvat.test")
    client = await connect("http://cvat.test", token=TOKEN, proxy=server.url)
    assert (await client.user()).username == "alice"
    assert server.asked[0].headers["Host"] == "cvat.test"
