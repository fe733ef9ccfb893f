"""A connector and trace configurations of the user's serve a client, and stay the user's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from scripted import Connect, ScriptedServer, reply, scripted_server
from yarl import URL

from asynccvat.aio.threads import in_thread
from asynccvat.client import CvatClient, internals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import StallError, TransportError
from asynccvat.http.body_receiver import WORTHWHILE

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
OTHER_TOKEN = "hgfedcba.VUTSRQPONMLKJIHGFEDCBA9876543210"
ONCE = RetryPolicy(attempts=0)
USER = "GET /api/users/self"
RESULT = "/api/tasks/5/dataset/download?rq_id=1"
DOWNLOAD = "GET /api/tasks/5/dataset/download"


@pytest.fixture
def user(server: ScriptedServer) -> ScriptedServer:
    server[USER] = lambda _: reply(
        {"id": 1, "username": "alice"}, Set_Cookie="sessionid=of-the-client; Path=/"
    )
    return server


@pytest.fixture
async def connector() -> AsyncIterator[aiohttp.BaseConnector]:
    async with aiohttp.TCPConnector() as connector:
        yield connector


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def asks_for_certificates(authority: trustme.CA) -> AsyncIterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    async with scripted_server(context) as running:
        running[USER] = reply({"id": 1, "username": "alice"})
        yield running


async def test_a_client_certificate_opens_a_server_that_asks_for_one(
    asks_for_certificates: ScriptedServer, authority: trustme.CA
) -> None:
    body = bytes(WORTHWHILE + 1)
    asks_for_certificates[DOWNLOAD] = reply(body=body, content_type="application/zip")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.issue_cert("alice@example.com").configure_cert(context)
    received = bytearray()

    def copy(pieces: Iterable[memoryview]) -> None:
        for piece in pieces:
            received.extend(piece)

    async with aiohttp.TCPConnector(ssl=context) as connector:
        for _ in range(2):
            async with CvatClient(
                asks_for_certificates.url, token=TOKEN, connector=connector
            ) as client:
                assert (await client.user()).username == "alice"
                async with internals(client).open_result(RESULT) as stream:
                    receiver = stream.body_receiver(lambda _: None)
                    assert receiver is not None
                    with receiver:
                        await in_thread(receiver.drain, copy)
                    receiver.check()
            assert not connector.closed
    assert received == 2 * body


async def test_without_a_client_certificate_the_server_refuses(
    asks_for_certificates: ScriptedServer, authority: trustme.CA
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with (
        aiohttp.TCPConnector(ssl=context) as connector,
        CvatClient(
            asks_for_certificates.url, token=TOKEN, connector=connector, policy=ONCE
        ) as client,
    ):
        with pytest.raises(TransportError):
            await client.user()
    assert asks_for_certificates.asked == []


async def test_a_connector_carries_nothing_from_one_client_to_another(
    user: ScriptedServer, connector: aiohttp.BaseConnector
) -> None:
    async with (
        CvatClient(user.url, token=TOKEN, organization="one", connector=connector) as first,
        CvatClient(user.url, token=OTHER_TOKEN, connector=connector) as second,
    ):
        await first.user()
        await second.user()
        assert (first.requests_sent, second.requests_sent) == (1, 1)
    async with (
        aiohttp.ClientSession(connector=connector, connector_owner=False) as session,
        session.get(f"{user.url}/api/users/self") as response,
    ):
        assert response.status == 200
    of_first, of_second, of_others = (one.headers for one in user.asked)
    assert of_first["Authorization"] == f"Bearer {TOKEN}"
    assert of_first["X-Organization"] == "one"
    assert of_second["Authorization"] == f"Bearer {OTHER_TOKEN}"
    assert "X-Organization" not in of_second
    assert "Authorization" not in of_others
    assert "asynccvat" not in of_others["User-Agent"]
    assert not any("Cookie" in one.headers for one in user.asked)
    # All three went over the one connection of the connector.
    assert len({one.peer for one in user.asked}) == 1


async def test_a_client_takes_no_cookie_and_no_header_of_another_session(
    user: ScriptedServer, connector: aiohttp.BaseConnector
) -> None:
    async with aiohttp.ClientSession(
        connector=connector,
        connector_owner=False,
        cookies={"sessionid": "of-the-session"},
        headers={"Authorization": "Basic b2Y6dGhlbQ==", "X-Theirs": "1"},
    ) as session:
        async with session.get(f"{user.url}/api/users/self") as response:
            assert response.status == 200
        async with CvatClient(user.url, token=TOKEN, connector=connector) as client:
            await client.user()
    ours = user.asked[-1].headers
    assert ours["Authorization"] == f"Bearer {TOKEN}"
    assert not {"Cookie", "X-Theirs"} & ours.keys()


async def test_trace_configurations_see_every_call(user: ScriptedServer, connect: Connect) -> None:
    seen: list[str] = []
    contexts: list[SimpleNamespace] = []

    async def started(_session: Any, context: Any, params: aiohttp.TraceRequestStartParams) -> None:
        contexts.append(context)
        seen.append(f"{params.method} {params.url.path}")

    async def ended(_session: Any, _context: Any, params: aiohttp.TraceRequestEndParams) -> None:
        seen.append(f"{params.response.status}")

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(started)
    tracing.on_request_end.append(ended)
    user[DOWNLOAD] = reply(body=b"PK", content_type="application/zip")
    for _ in range(2):
        client = await connect(trace_configs=[tracing])
        await client.user()
        async with internals(client).open_result(RESULT) as stream:
            assert [chunk async for chunk in stream.chunks()] == [b"PK"]
    of_one_client = [
        *("POST /api/auth/login", "200"),
        *("GET /api/users/self", "200"),
        *("GET /api/tasks/5/dataset/download", "200"),
    ]
    assert seen == 2 * of_one_client
    # The deadline of a request travels by another way.
    assert {context.trace_request_ctx for context in contexts} == {None}


async def test_a_stall_ends_a_call_over_a_given_connector(
    user: ScriptedServer, connector: aiohttp.BaseConnector
) -> None:
    over = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await over.wait()
        return reply()

    user[USER] = hang
    async with CvatClient(
        user.url, token=TOKEN, connector=connector, stall_timeout=0.05, policy=ONCE
    ) as client:
        with pytest.raises(StallError, match=r"sent nothing for 0\.05 s"):
            await client.user()
    over.set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"connector": 5}, "connector must be an aiohttp connector .*, not int"),
        ({"connector": aiohttp.ClientSession}, "connector must be an aiohttp connector .*, not"),
        ({"trace_configs": [print]}, "trace_configs must hold aiohttp.TraceConfig objects"),
        ({"verify": ssl.create_default_context()}, "verify must be .*, not SSLContext. Give a TLS"),
        ({"verify": None}, "verify must be True, False or the path of a CA bundle, not None"),
        ({"stall_timeout": "60"}, "stall_timeout must be a number, not str"),
        ({"max_connections": None}, "max_connections must be a number, not None"),
        ({"policy": 3}, "policy must be a RetryPolicy, not int"),
        ({"organization": 3}, "organization must be a string, not int"),
        ({"token": 3}, "token must be a string, not int"),
        ({"username": b"alice", "password": "x"}, "username must be a string, not bytes"),
        ({"url": URL("http://localhost")}, "url must be a string, not URL"),
    ],
)
def test_an_option_of_the_wrong_type_is_a_type_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        CvatClient(**{"url": "http://localhost", **options})


async def test_a_connector_excludes_a_choice_of_certificates(
    connector: aiohttp.BaseConnector,
) -> None:
    with pytest.raises(TypeError, match=r"exclude each other\. Give the connector a TLS context"):
        CvatClient("http://localhost", connector=connector, verify=False)


async def test_a_closed_connector_is_refused(connector: aiohttp.BaseConnector) -> None:
    client = CvatClient("http://localhost", token=TOKEN, connector=connector)
    await connector.close()
    with pytest.raises(RuntimeError, match=r"the given connector is closed\. Make a new one"):
        await client.__aenter__()


def test_a_connector_of_another_loop_is_refused() -> None:
    async def make() -> aiohttp.TCPConnector:
        return aiohttp.TCPConnector()

    async def use(connector: aiohttp.BaseConnector) -> None:
        async with CvatClient("http://localhost", token=TOKEN, connector=connector):
            pytest.fail("it was opened")

    async def close(connector: aiohttp.TCPConnector) -> None:
        await connector.close()

    with asyncio.Runner() as one:
        connector = one.run(make())
        with (
            asyncio.Runner() as other,
            pytest.raises(RuntimeError, match=r"belongs to another event loop\. Make it inside"),
        ):
            other.run(use(connector))
        one.run(close(connector))
