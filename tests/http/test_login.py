"""A client logs in once, never logs out, keeps no cookies and shows no secrets."""

from __future__ import annotations

import asyncio
import json
import traceback

import pytest
from aiohttp import web
from scripted import KEY, Connect, FakeTime, ScriptedServer, page, reply

from asynccvat.client import CvatClient
from asynccvat.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ProtocolError,
    ResponseError,
    ServerError,
)
from asynccvat.http import Credentials

pytestmark = pytest.mark.anyio

USER = {"id": 1, "username": "alice"}
PAT = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
INVALID = reply({"detail": "Invalid token."}, 401)


async def test_many_calls_at_once_share_one_login(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/users/self"] = reply(USER)
    client = await connect()
    await asyncio.gather(*(client.user() for _ in range(10)))
    assert server.times("POST /api/auth/login") == 1
    login, *calls = server.asked
    assert json.loads(login.body) == {"username": "alice", "password": "s3cret-pw"}
    assert "Authorization" not in login.headers
    assert {call.headers["Authorization"] for call in calls} == {f"Token {KEY}"}
    assert client.requests_sent == 11


async def test_nothing_is_sent_before_the_first_call_and_nothing_logs_out(
    server: ScriptedServer,
) -> None:
    async with CvatClient(server.url, username="alice", password="x") as client:
        assert server.asked == []
        await client.login()
        await client.login()
    assert [one.path for one in server.asked] == ["/api/auth/login"]


async def test_a_user_name_with_an_at_sign_is_sent_as_email(
    server: ScriptedServer, connect: Connect
) -> None:
    client = await connect(username="alice@example.com", password="x")
    await client.login()
    assert json.loads(server.asked[0].body) == {"email": "alice@example.com", "password": "x"}


@pytest.mark.parametrize(
    ("token", "header"),
    [
        (PAT, f"Bearer {PAT}"),
        (f" {PAT}\n", f"Bearer {PAT}"),
        (KEY, f"Token {KEY}"),
        ("something-else", "Bearer something-else"),
    ],
)
async def test_the_form_of_a_token_chooses_its_scheme(
    server: ScriptedServer, connect: Connect, token: str, header: str
) -> None:
    server["GET /api/users/self"] = reply(USER)
    client = await connect(token=token)
    await client.login()
    assert (await client.user()).username == "alice"
    assert [one.headers["Authorization"] for one in server.asked] == [header]


async def test_cookies_are_not_kept(server: ScriptedServer, connect: Connect) -> None:
    server["POST /api/auth/login"] = reply({"key": KEY}, Set_Cookie="sessionid=1; Path=/")
    server["GET /api/users/self"] = reply(USER)
    client = await connect()
    await client.user()
    assert all("Cookie" not in one.headers for one in server.asked)


async def test_about_needs_no_credentials(server: ScriptedServer, connect: Connect) -> None:
    server["GET /api/server/about"] = reply({"name": "CVAT", "version": "2.54.1"})
    client = await connect(organization="lab")
    assert (await client.about()).version == "2.54.1"
    assert not {"Authorization", "X-Organization"} & server.asked[0].headers.keys()


async def test_a_client_without_credentials_sends_anonymous_calls(server: ScriptedServer) -> None:
    server["GET /api/users/self"] = reply(
        {"detail": "Authentication credentials were not provided."}, 401
    )
    async with CvatClient(server.url) as client:
        with pytest.raises(AuthenticationError, match="or give a valid token"):
            await client.user()
    assert server.times("POST /api/auth/login") == 0


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refused_password_is_never_sent_again(
    server: ScriptedServer, connect: Connect, status: int
) -> None:
    server["POST /api/auth/login"] = reply(
        {"non_field_errors": ["Unable to log in with provided credentials."]}, status
    )
    client = await connect()
    outcomes = await asyncio.gather(
        *(client.user() for _ in range(5)), client.login(), return_exceptions=True
    )
    for error in outcomes:
        assert isinstance(error, AuthenticationError)
        assert error.status == status
        assert "refuses the login of 'alice': Unable to log in with provided" in str(error)
    assert [one.path for one in server.asked] == ["/api/auth/login"]


async def test_a_token_revoked_during_a_run_is_renewed_once(
    server: ScriptedServer, connect: Connect
) -> None:
    valid = [KEY]

    def self_(request: web.Request) -> web.Response:
        given = request.headers["Authorization"]
        return reply(USER) if given == f"Token {valid[0]}" else INVALID

    server["GET /api/users/self"] = self_
    server["POST /api/auth/login"] = lambda _: reply({"key": valid[0]})
    client = await connect()
    await client.user()
    valid[0] = "f" * 40
    users = await asyncio.gather(*(client.user() for _ in range(8)))
    assert len(users) == 8
    assert server.times("POST /api/auth/login") == 2


async def test_a_call_refused_after_another_one_renewed_the_token_uses_the_new_token(
    server: ScriptedServer, connect: Connect
) -> None:
    renewed, asked_again = asyncio.Event(), asyncio.Event()

    async def late(_: web.Request) -> web.Response:
        await renewed.wait()
        return INVALID

    async def later(_: web.Request) -> web.Response:
        # Taken only after the other call was refused, and has asked again.
        renewed.set()
        await asked_again.wait()
        return reply(USER)

    def again(_: web.Request) -> web.Response:
        asked_again.set()
        return reply({"id": 5})

    # The login brings the same key as ever, as CVAT's does.
    server["GET /api/users/self"] = reply(USER)
    client = await connect()
    await client.user()
    server["GET /api/tasks/5"] = [late, again]
    server["GET /api/users/self"] = [INVALID, later]
    await asyncio.gather(client.task(5), client.user())
    assert server.times("POST /api/auth/login") == 2


async def test_a_renewed_token_that_is_refused_again_is_an_error(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = [reply(USER), INVALID]
    client = await connect()
    await client.user()
    with pytest.raises(AuthenticationError, match=r"401, Invalid token\. The token may have"):
        await client.user()
    assert server.times("POST /api/auth/login") == 2


async def test_a_token_that_was_never_accepted_is_not_renewed(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = INVALID
    client = await connect()
    for _ in range(3):
        with pytest.raises(AuthenticationError):
            await client.user()
    assert server.times("POST /api/auth/login") == 1


async def test_a_refused_access_token_is_not_tried_again(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = INVALID
    client = await connect(token=PAT)
    with pytest.raises(AuthenticationError) as caught:
        await client.user()
    assert caught.value.status == 401
    assert client.requests_sent == 1


async def test_a_login_is_retried_after_an_outage(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    bad_gateway = reply(status=502, text="<html><h1>502 Bad Gateway</h1></html>")
    server["POST /api/auth/login"] = [bad_gateway, bad_gateway, reply({"key": KEY})]
    server["GET /api/users/self"] = reply(USER)
    client = await connect()
    assert (await client.user()).id == 1
    assert fake_time.slept == [0.5, 1.0]


async def test_an_explicit_login_is_retried(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server["POST /api/auth/login"] = reply(status=502, text="down")
    client = await connect()
    with pytest.raises(ServerError, match="502, down") as caught:
        await client.login()
    assert caught.value.step == "login"
    assert len(fake_time.slept) == 5


@pytest.mark.parametrize(
    "answer",
    [
        reply({"token": "x"}),
        reply([1]),
        reply(body=b"{bad", content_type="application/json"),
    ],
)
async def test_a_login_answered_without_a_key_is_a_protocol_error(
    server: ScriptedServer, connect: Connect, answer: web.Response
) -> None:
    server["POST /api/auth/login"] = answer
    client = await connect()
    with pytest.raises(ProtocolError):
        await client.login()


@pytest.mark.parametrize(
    ("options", "secrets"),
    [
        ({"username": "alice", "password": "s3cret-pw"}, ("s3cret-pw", KEY)),
        ({"token": PAT}, (PAT,)),
    ],
)
async def test_secrets_are_in_no_repr_and_no_error(
    server: ScriptedServer, connect: Connect, options: dict[str, str], secrets: tuple[str, ...]
) -> None:
    def echo(request: web.Request) -> web.Response:
        own = options.get("password", "")
        return reply(status=400, text=f"you sent {request.headers['Authorization']} {own}")

    server["GET /api/users/self"] = echo
    client = await connect(**options)
    with pytest.raises(ResponseError, match=r"you sent (Token|Bearer) \*\*\*") as caught:
        await client.user()
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
    shown += repr(client) + repr(client._http) + repr(client._http._authorization)
    for secret in secrets:
        assert secret not in shown


def test_incomplete_credentials_and_impossible_tokens_are_refused() -> None:
    with pytest.raises(ConfigError, match="a password was given without a username"):
        Credentials(password="x")
    with pytest.raises(ConfigError, match="a username was given without a password"):
        CvatClient("https://x", username="alice")
    for token in ("two words", "new\nline", "schlüssel"):
        with pytest.raises(ConfigError, match="cannot be used: it has blanks or other characters"):
            Credentials(token=token)
    for token in ("", "  "):
        with pytest.raises(ConfigError, match="is empty"):
            Credentials(token=token)


@pytest.mark.parametrize(
    ("pasted", "why"),
    [
        ("'abcdefgh.secret'", "it stands in quotes. Give it without them."),
        ('"abcdefgh.secret"', "it stands in quotes. Give it without them."),
        ("Token abcdefgh.secret", "it begins with 'Token'. Give what follows alone."),
        ("bearer abcdefgh.secret", "it begins with 'bearer'. Give what follows alone."),
        ("Authorization: Token abcdefgh.secret", "begins with 'Authorization: Token'. Give what"),
    ],
)
def test_a_token_that_was_pasted_with_more_is_refused_and_not_repeated(
    pasted: str, why: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Credentials(token=pasted)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_environment_names_server_and_credentials() -> None:
    environment = {
        "CVAT_URL": "https://cvat.example.com/",
        "CVAT_USERNAME": "alice",
        "CVAT_PASSWORD": "x",
        "CVAT_ORGANIZATION": "lab",
    }
    client = CvatClient.from_environment(environment=environment)
    assert (client.origin, client.organization) == ("https://cvat.example.com", "lab")
    assert client._http._authorization._credentials == Credentials("alice", "x")
    environment["CVAT_ACCESS_TOKEN"] = PAT
    client = CvatClient.from_environment(environment=environment)
    assert client._http._authorization._credentials == Credentials(token=PAT)
    with pytest.raises(ConfigError, match="CVAT_URL is not set"):
        CvatClient.from_environment(environment={})


def test_the_process_s_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAT_URL", "http://localhost:8080")
    monkeypatch.setenv("CVAT_ACCESS_TOKEN", PAT)
    assert CvatClient.from_environment().origin == "http://localhost:8080"


async def test_a_closed_client_says_how_to_use_it(server: ScriptedServer) -> None:
    client = CvatClient(server.url, token=PAT)
    with pytest.raises(RuntimeError, match="async with"):
        await client.tasks()
    async with client:
        with pytest.raises(RuntimeError, match="open already"):
            await client.open()
        server["GET /api/tasks"] = page()
        await client.tasks()
    with pytest.raises(RuntimeError, match="async with"):
        await client.user()
    await client.close()


async def test_a_client_can_be_opened_again_and_logs_in_once(server: ScriptedServer) -> None:
    server["GET /api/tasks"] = page()
    client = CvatClient(server.url, username="alice", password="s3cret-pw")
    for _ in range(2):
        assert await client.open() is client
        await client.tasks()
        await client.close()
    assert server.times("POST /api/auth/login") == 1
    assert server.times("GET /api/tasks") == 2


async def test_a_failed_login_does_not_hide_an_unreachable_server(connect: Connect) -> None:
    client = await connect("http://127.0.0.1:1")
    with pytest.raises(ConnectError):
        await client.login()
