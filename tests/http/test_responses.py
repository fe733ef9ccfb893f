"""Refusals, redirects and responses that CVAT would not send: each has one clear error."""

from __future__ import annotations

import gzip

import pytest
from aiohttp import web
from scripted import Connect, ScriptedServer, page, raw_server, reply, scripted_server

import asynccvat
from asynccvat.client import CvatClient, internals
from asynccvat.core.wire.retry import RetryPolicy
from asynccvat.errors import (
    ConfigError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ResponseError,
    ServerError,
)
from asynccvat.http import HttpOptions

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


async def test_the_error_repeats_the_servers_message(
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
        f"cannot read task 5: {client.origin} answered 403, You do not have permission to perform "
        "this action. This user may not see or export it. Ask for access, or use another account."
    )
    assert error.detail == "You do not have permission to perform this action."
    assert (error.task_id, error.step, error.status) == (5, "detail", 403)


async def test_a_refusal_without_a_message_is_named_by_its_status(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/5"] = reply(status=418, text="")
    client = await connect(token=TOKEN)
    with pytest.raises(ResponseError) as caught:
        await client.task(5)
    assert str(caught.value) == (
        f"cannot read task 5: {client.origin} answered 418. Check that the URL is that of a CVAT "
        "server."
    )


async def test_an_unknown_organization_is_a_configuration_error(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = reply({"detail": "nosuch organization does not exist."}, 404)
    client = await connect(token=TOKEN, organization="nosuch")
    with pytest.raises(ConfigError, match=r"knows no organization 'nosuch' of yours\. Check its"):
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


def test_options_that_are_not_positive_are_refused() -> None:
    with pytest.raises(ConfigError, match="connect_timeout must be positive, not 0"):
        HttpOptions(connect_timeout=0)
    with pytest.raises(ConfigError, match="stall_timeout must be positive, not -1"):
        HttpOptions(stall_timeout=-1)
    with pytest.raises(ConfigError, match="max_connections must be positive, not 0"):
        HttpOptions(max_connections=0)


async def test_every_call_accepts_the_types_that_cvat_sends(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = page(1)
    client = await connect(token=TOKEN)
    await client.tasks()
    headers = server.asked[0].headers
    assert headers["Accept"] == "application/vnd.cvat+json, */*"
    assert headers["User-Agent"] == f"asynccvat/{asynccvat.__version__}"


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
        (
            reply(body=USER, Content_Encoding="gzip"),
            "response that cannot be decompressed",
        ),
    ],
)
async def test_an_unreadable_response_is_a_protocol_error(
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
        (reply(text="<html><h1>Welcome</h1></html>"), r"text/html instead of JSON\. Check that"),
        (reply(body=b"", content_type=""), "a body without a type instead of JSON"),
        (
            reply(status=404, text="<h1>Not here</h1>"),
            r"answered 404, and has .*\. Check that",
        ),
        (
            reply(status=405, text="<h1>Not so</h1>"),
            r"answered 405, and has .*\. Check that",
        ),
        (
            reply(status=501, text="<h1>Not so</h1>"),
            r"answered 501, and has .*\. Check that",
        ),
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


async def test_a_cvat_that_sends_a_page_instead_of_json_is_a_protocol_error(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/5"] = reply({"id": 5})
    server["GET /api/users/self"] = reply(text="<html><h1>Welcome</h1></html>")
    client = await connect(token=TOKEN)
    await client.task(5)
    with pytest.raises(ProtocolError, match="text/html instead of JSON"):
        await client.user()


async def test_a_response_that_is_too_long_is_not_read(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asynccvat.http.exchange._MAX_BODY", 2**20)
    server["GET /api/users/self"] = reply(body=b" " * (2**20 + 1))
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match=r"sent more than 1 MiB\. .* check the server URL"):
        await client.user()


@pytest.mark.parametrize("of_task", ["annotations", "data/meta"])
async def test_a_task_whose_json_is_too_long_can_be_exported(
    server: ScriptedServer, connect: Connect, monkeypatch: pytest.MonkeyPatch, of_task: str
) -> None:
    monkeypatch.setattr("asynccvat.http.exchange._MAX_BODY", 2**20)
    server[f"GET /api/tasks/5/{of_task}"] = reply(body=b" " * (2**20 + 1))
    calls = internals(await connect(token=TOKEN)).json_calls
    with pytest.raises(ProtocolError) as caught:
        await (calls.annotations(5) if of_task == "annotations" else calls.data_meta(5))
    said = str(caught.value)
    assert f"cannot read the answer to /api/tasks/5/{of_task}: " in said
    assert "sent more than 1 MiB. " in said
    assert "export the task: with --with-exports, and another --format than json" in said
    assert "server URL" not in said


async def test_a_server_that_does_not_speak_http_is_a_protocol_error(connect: Connect) -> None:
    async with raw_server(b"SSH-2.0-OpenSSH_9.6\r\n\r\n") as url:
        client = await connect(url, token=TOKEN)
        with pytest.raises(ProtocolError, match="does not answer in HTTP") as caught:
            await client.user()
    # Its repr holds the request's headers, the token among them.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_an_error_page_that_breaks_off_counts_by_its_status(connect: Connect) -> None:
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


async def test_a_login_follows_no_redirect(server: ScriptedServer, connect: Connect) -> None:
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


async def test_circular_redirects_end(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/users/self"] = reply(status=302, text="", Location="/api/users/self")
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match="redirects in a circle"):
        await client.user()


async def test_not_found_and_server_errors_have_their_classes(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/2"] = reply(
        status=500, text="<!doctype html><h1>Server Error (500)</h1>"
    )
    client = await connect(token=TOKEN, policy=ONCE)
    with pytest.raises(NotFoundError, match=r"Not Found\. There is no such task, or this user may"):
        await client.task(1)
    with pytest.raises(ServerError, match=r"answered 500, Server Error \(500\)"):
        await client.task(2)
