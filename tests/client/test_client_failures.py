"""Every way in which an exchange fails has one clear error; none of aiohttp's comes through."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import anyio
import pytest
import trustme
from aiohttp import web
from scripted import Connect, FakeTime, ScriptedServer, page, raw_server, reply, scripted_server

from asynccvat.client import CvatClient
from asynccvat.core.retry import RetryPolicy
from asynccvat.errors import (
    AsyncCvatError,
    ConfigError,
    ConnectError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ReadError,
    ResponseError,
    ServerError,
    StallError,
    TransportError,
)
from asynccvat.http import HttpOptions
from asynccvat.http.connection import _TimedResolver
from asynccvat.http.failures import translate

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


# Refusals


async def test_the_server_s_words_are_in_the_error(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/5"] = reply(
        {"detail": "You do not have permission to perform this action."}, 403
    )
    client = await connect(token=TOKEN)
    with pytest.raises(PermissionDeniedError) as caught:
        await client.task(5)
    error = caught.value
    assert str(error) == (
        f"detail of task 5: {client.origin} answered 403, You do not have permission to perform "
        "this action.; this user may not see or export it: ask for access, or use another account"
    )
    assert error.detail == "You do not have permission to perform this action."
    assert (error.task_id, error.step, error.status) == (5, "detail", 403)


async def test_an_answer_without_a_word_is_told_by_its_status(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/5"] = reply(status=418, text="")
    client = await connect(token=TOKEN)
    with pytest.raises(ResponseError) as caught:
        await client.task(5)
    assert str(caught.value) == (
        f"detail of task 5: {client.origin} answered 418; check that the URL is that of a CVAT "
        "server"
    )


async def test_an_unknown_organization_is_a_matter_of_configuration(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = reply({"detail": "nosuch organization does not exist."}, 404)
    client = await connect(token=TOKEN, organization="nosuch")
    with pytest.raises(ConfigError, match="knows no organization 'nosuch' of yours; check its"):
        await client.tasks()
    assert server.asked[0].headers["X-Organization"] == "nosuch"


async def test_the_personal_workspace_is_asked_for_by_an_empty_organization(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = page(1)
    client = await connect(token=TOKEN, organization="")
    await client.tasks()
    assert server.asked[0].query["org"] == ""
    assert "X-Organization" not in server.asked[0].headers


def test_an_organization_that_no_header_can_hold_is_refused() -> None:
    for name in ("two words", "new\nline", "größe"):
        with pytest.raises(ConfigError, match="cannot be an organization's short name"):
            CvatClient("https://x", organization=name)


def test_options_that_cannot_be_meant_are_refused() -> None:
    with pytest.raises(ConfigError, match="connect_timeout must be positive, not 0"):
        HttpOptions(connect_timeout=0)
    with pytest.raises(ConfigError, match="stall_timeout must be positive, not -1"):
        HttpOptions(stall_timeout=-1)
    with pytest.raises(ConfigError, match="max_connections must be positive, not 0"):
        HttpOptions(max_connections=0)


async def test_every_call_asks_for_what_cvat_can_give(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = page(1)
    client = await connect(token=TOKEN)
    await client.tasks()
    headers = server.asked[0].headers
    assert headers["Accept"] == "application/vnd.cvat+json, */*"
    assert headers["User-Agent"] == "asynccvat"


# Answers that are not what was due


async def test_compressed_answers_are_unpacked(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/users/self"] = reply(body=gzip.compress(USER), Content_Encoding="gzip")
    client = await connect(token=TOKEN)
    assert (await client.user()).username == "alice"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply({"id": "seven"}), "JSON that cannot be read: Expected `int`, got `str`"),
        (reply(body=USER[:9]), "JSON that cannot be read"),
        (reply(body=USER.replace(b'"a', b'"\xe9')), "JSON that cannot be read"),
        (reply(body=USER, Content_Encoding="gzip"), "compressed answer that cannot be unpacked"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_a_protocol_error(
    server: ScriptedServer, connect: Connect, answer: web.Response, message: str
) -> None:
    server["GET /api/users/self"] = answer
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match=message):
        await client.user()
    assert client.requests_sent == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reply(text="<html><h1>Welcome</h1></html>"), "text/html where JSON was due; check that"),
        (reply(body=b"", content_type=""), "something where JSON was due"),
        (reply(status=404, text="<h1>Not here</h1>"), "answered 404, and nothing .* check that"),
        (reply(status=405, text="<h1>Not so</h1>"), "answered 405, and nothing .* check that"),
        (reply(status=501, text="<h1>Not so</h1>"), "answered 501, and nothing .* check that"),
    ],
)
async def test_a_server_that_never_spoke_as_cvat_does_is_a_wrong_url(
    server: ScriptedServer, connect: Connect, answer: web.Response, message: str
) -> None:
    server["GET /api/users/self"] = answer
    client = await connect(token=TOKEN)
    with pytest.raises(ConfigError, match=message):
        await client.user()
    assert client.requests_sent == 1


async def test_a_cvat_that_sends_a_page_instead_is_out_of_order(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/5"] = reply({"id": 5})
    server["GET /api/users/self"] = reply(text="<html><h1>Welcome</h1></html>")
    client = await connect(token=TOKEN)
    await client.task(5)
    with pytest.raises(ProtocolError, match="text/html where JSON was due"):
        await client.user()


async def test_an_answer_without_end_is_not_read(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.http.connection._MAX_ANSWER", 100)
    server["GET /api/users/self"] = reply(body=b" " * 101)
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match="an answer without end"):
        await client.user()


async def test_what_does_not_speak_http_is_named(connect: Connect) -> None:
    async with raw_server(b"SSH-2.0-OpenSSH_9.6\r\n\r\n") as url:
        client = await connect(url, token=TOKEN)
        with pytest.raises(ProtocolError, match="does not answer in HTTP") as caught:
            await client.user()
    # Its repr holds the request's headers, the token among them.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_an_error_page_that_breaks_off_is_an_error_page_still(connect: Connect) -> None:
    async with raw_server(http(b'{"det', status="400 Bad Request", length=100)) as url:
        client = await connect(url, token=TOKEN)
        with pytest.raises(ResponseError, match="answered 400"):
            await client.user()


# Redirects


async def test_redirects_within_the_server_are_followed(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = reply(status=302, text="", Location="/api/users/1?x=%2F")
    server["GET /api/users/1"] = reply(body=USER)
    client = await connect(token=TOKEN)
    assert (await client.user()).username == "alice"
    assert server.asked[1].raw_path == "/api/users/1?x=%2F"
    assert server.asked[1].headers["Authorization"] == f"Bearer {TOKEN}"
    assert client.requests_sent == 2


async def test_a_redirect_to_another_origin_gets_no_credentials(
    server: ScriptedServer, connect: Connect
) -> None:
    async with scripted_server() as elsewhere:
        target = elsewhere.url
        server["GET /api/users/self"] = reply(status=302, text="", Location=f"{target}/x?secret=1")
        client = await connect(token=TOKEN)
        with pytest.raises(ConfigError) as caught:
            await client.user()
        assert f"redirects to {target}, where no credentials are sent" in str(caught.value)
        assert f"give {target} as its URL" in str(caught.value)
        assert "secret" not in str(caught.value)
        assert elsewhere.asked == []


async def test_a_login_is_not_redirected(server: ScriptedServer, connect: Connect) -> None:
    server["POST /api/auth/login"] = reply(
        status=301, text="", Location=server.url.replace("http:", "https:") + "/api/auth/login"
    )
    client = await connect()
    with pytest.raises(ConfigError, match=r"redirects to https://127.0.0.1:"):
        await client.login()


@pytest.mark.parametrize("location", ["/other", "", "mailto:alice@example.com"])
async def test_a_redirect_that_cannot_be_followed_is_an_error(
    server: ScriptedServer, connect: Connect, location: str
) -> None:
    server["POST /api/auth/login"] = reply(status=307, text="", Location=location)
    client = await connect()
    with pytest.raises(ResponseError, match="redirects the login call, which is not followed"):
        await client.login()


async def test_redirects_in_a_circle_end(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/users/self"] = reply(status=302, text="", Location="/api/users/self")
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match="redirects in a circle"):
        await client.user()


# The connection


async def test_a_server_that_never_answered_is_reported_at_once(
    connect: Connect, fake_time: FakeTime
) -> None:
    client = await connect("http://127.0.0.1:1", token=TOKEN)
    with pytest.raises(ConnectError, match=r"no connection to http://127.0.0.1:1: .*check the URL"):
        await client.user()
    assert fake_time.slept == []
    assert client.requests_sent == 1


async def test_a_server_that_went_away_is_tried_again(
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
async def test_a_broken_answer_is_asked_for_again(
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


async def test_silence_in_mid_answer_is_a_stall(connect: Connect) -> None:
    async with raw_server(http(USER[:10], length=len(USER)), hold=True) as url:
        client = await connect(url, token=TOKEN, stall_timeout=0.05, policy=ONCE)
        with pytest.raises(StallError):
            await client.user()


async def test_a_name_that_nobody_knows_is_a_connect_error(connect: Connect) -> None:
    client = await connect("http://nosuch.invalid", token=TOKEN)
    with pytest.raises(ConnectError, match=r"the host of http://nosuch.invalid cannot be found"):
        await client.user()


async def test_a_name_service_without_an_answer_counts_as_connect_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: object, **__: object) -> None:
        await anyio.sleep_forever()

    resolver = _TimedResolver(0.01)
    monkeypatch.setattr(resolver._loop, "getaddrinfo", never)
    with pytest.raises(OSError, match=r"the name service gave no answer in 0\.01 s"):
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
        async with client.open_result("/api/result") as stream:
            assert sum([len(chunk) async for chunk in stream.chunks()]) == 300_000
    assert len({one.peer for one in server.asked}) == 1


async def test_several_clients_do_not_meet(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    one, other = await connect(), await connect(token=TOKEN)
    await asyncio.gather(one.user(), other.user(), one.user())
    assert (one.requests_sent, other.requests_sent) == (3, 1)
    sent = [asked.headers.get("Authorization") for asked in server.asked]
    assert sent.count(f"Bearer {TOKEN}") == 1


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with scripted_server(context) as running:
        running["GET /api/users/self"] = reply(body=USER)
        yield running


@pytest.fixture
def bundle(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


async def test_a_certificate_of_an_unknown_authority_is_refused(
    secure: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    client = await connect(secure.url, token=TOKEN)
    with pytest.raises(ConnectError, match=r"TLS certificate of .* is refused: .*as CA bundle"):
        await client.user()
    assert fake_time.slept == []
    assert secure.asked == []


async def test_a_ca_bundle_makes_it_known(
    secure: ScriptedServer, connect: Connect, bundle: Path
) -> None:
    client = await connect(secure.url, token=TOKEN, verify=bundle)
    assert (await client.user()).username == "alice"


async def test_insecure_checks_nothing(secure: ScriptedServer, connect: Connect) -> None:
    client = await connect(secure.url, token=TOKEN, verify=False)
    assert (await client.user()).username == "alice"


async def test_a_folder_of_certificates_is_a_bundle_too(
    secure: ScriptedServer, connect: Connect, tmp_path: Path
) -> None:
    client = await connect(secure.url, token=TOKEN, verify=tmp_path)
    with pytest.raises(ConnectError, match="TLS certificate"):
        await client.user()


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_bundle_that_is_none_is_a_matter_of_configuration(
    connect: Connect, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"the CA bundle '.*ca\.pem' cannot be used"):
        await connect("https://localhost:1", token=TOKEN, verify=path)


async def test_https_to_a_port_that_speaks_http_is_named(
    server: ScriptedServer, connect: Connect
) -> None:
    client = await connect(server.url.replace("http:", "https:"), token=TOKEN)
    with pytest.raises(ConnectError, match=r"no TLS connection to .*check that the port speaks"):
        await client.user()


# Proxies


async def test_the_environment_s_proxy_is_used(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server["GET http://cvat.test/api/users/self"] = reply(body=USER)
    server["GET /api/users/self"] = reply(body=USER)
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", "//bob:pr%40xy@"))
    client = await connect("http://cvat.test", token=TOKEN)
    assert (await client.user()).username == "alice"
    (asked,) = server.asked
    assert asked.headers["Host"] == "cvat.test"
    assert asked.headers["Proxy-Authorization"] == "Basic Ym9iOnByQHh5"


@pytest.mark.parametrize("variable", ["NO_PROXY", None])
async def test_the_environment_can_be_told_not_to(
    server: ScriptedServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    if variable:
        monkeypatch.setenv(variable, "127.0.0.1")
    client = await connect(token=TOKEN, trust_environment=variable is not None)
    assert (await client.user()).username == "alice"


async def test_a_proxy_that_is_down_is_named(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "127.0.0.1:1")
    client = await connect("http://cvat.test", token=TOKEN)
    with pytest.raises(ConnectError, match="no connection to the proxy on the way to"):
        await client.user()


async def test_a_proxy_that_refuses_is_named(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(refusal) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.replace("//", "//bob:hunter2@"))
        client = await connect("https://cvat.test", token=TOKEN)
        with pytest.raises(ConnectError, match=r"the proxy refused to connect .*: 407") as caught:
            await client.user()
    assert not caught.value.retryable
    assert "hunter2" not in repr(caught.value.__cause__) + str(caught.value)


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("socks5://user:hunter2@127.0.0.1:1", "a proxy of the kind 'socks5', only http and https"),
        ("http://[bad", "is not a URL: correct HTTP_PROXY, or name cvat.test in NO_PROXY"),
        ("http://", "a proxy of the kind 'http'"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_a_matter_of_configuration(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, proxy: str, message: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ConfigError, match=message) as caught:
        await connect("http://cvat.test", token=TOKEN)
    assert "hunter2" not in str(caught.value)


# What aiohttp raises seldom


@pytest.mark.parametrize(
    ("exc", "kind", "message"),
    [
        (aiohttp.ConnectionTimeoutError(), ConnectError, "no connection to http://x within 3 s"),
        (aiohttp.SocketTimeoutError(), StallError, "sent nothing for 7 s"),
        (aiohttp.InvalidURL("http://"), ConfigError, "check the server URL"),
        (aiohttp.ClientConnectionError("odd"), TransportError, "the exchange with .*: odd"),
        (aiohttp.ServerDisconnectedError(), ReadError, "was lost: Server disconnected"),
        (ConnectionResetError(104, "reset by peer"), ReadError, "was lost: reset by peer"),
        (ssl.SSLError(1, "bad record mac"), ReadError, "was lost: bad record mac"),
        (OSError(), ReadError, "was lost: OSError"),
        (aiohttp.ClientError("y" * 500), TransportError, r"y{197}\.\.\.;"),
    ],
)
async def test_each_exception_has_its_error(
    exc: Exception, kind: type[AsyncCvatError], message: str
) -> None:
    error = translate(exc, origin="http://x", connect_timeout=3.0, stall_timeout=7.0)
    assert type(error) is kind
    assert "; check" in str(error)
    with pytest.raises(kind, match=message):
        raise error


async def test_not_found_and_server_errors_have_their_classes(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/2"] = reply(status=500, text="<html><h1>Server Error (500)</h1></html>")
    client = await connect(token=TOKEN, policy=ONCE)
    with pytest.raises(NotFoundError, match="Not Found; there is no such task, or this user may"):
        await client.task(1)
    with pytest.raises(ServerError, match=r"answered 500, Server Error \(500\)"):
        await client.task(2)
