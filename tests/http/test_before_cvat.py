"""What stands before CVAT is not taken for it: messages name who refused, and what helps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aiohttp import web
from gateway_pages import CLOUDFLARE_CHALLENGE, CVAT_INTERFACE, LOGIN_FORM, PAGES, Page
from multidict import CIMultiDict
from scripted import Connect, FakeTime, ScriptedServer, page, reply, scripted_server

from asynccvat.client import internals
from asynccvat.core.wire.responders import Responder
from asynccvat.errors import (
    AsyncCvatError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    GatewayError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    ServerError,
)

pytestmark = pytest.mark.anyio

TOKEN = "abcdefgh.0123456789ABCDEFGHIJKLMNOPQRSTUV"
USER = b'{"id":1,"username":"alice"}'
DJANGO_404 = (
    "<!doctype html><html><body><h1>Not Found</h1><p>The requested resource was not found on this "
    "server.</p></body></html>"
)
BY_LABEL = {page.label: page for page in PAGES}
SO = "so CVAT was not reached."
ASK = (
    "Ask its administrator to let /api/ pass, or for a header or a client certificate that "
    "programs may use, and give that with --header or --client-cert."
)


def sent(page: Page) -> web.Response:
    headers = CIMultiDict(page.headers)
    return web.Response(status=page.status, body=page.body.encode(), headers=headers)


def always(page: Page) -> object:
    return lambda _: sent(page)


@pytest.mark.parametrize(
    ("label", "kind", "message"),
    [
        (
            "nginx Basic",
            GatewayError,
            (
                f"cannot read the user: nginx before {{}} asks for a login of its own (Basic, "
                f"'Lab'), "
                f"{SO} {ASK} The token of CVAT needs the Authorization header for itself."
            ),
        ),
        (
            "IIS of Windows",
            GatewayError,
            (
                f"cannot read the user: IIS before {{}} asks for a login of its own (Negotiate), "
                f"so CVAT was not "
                f"reached. "
                f"{ASK} The token of CVAT needs the Authorization header for itself."
            ),
        ),
        (
            "oauth2-proxy 401",
            GatewayError,
            (
                "cannot read the user: a gateway before {} asks for a login of its own, so CVAT "
                "was not reached. "
                f"{ASK}"
            ),
        ),
        (
            "oauth2-proxy 403",
            GatewayError,
            f"cannot read the user: a gateway before {{}} answered with a login page, {SO} {ASK}",
        ),
        (
            "Cloudflare challenge",
            GatewayError,
            (
                "cannot read the user: Cloudflare before {} answered 403 with a check for a "
                "browser, which no "
                "program "
                f"passes, {SO} {ASK}"
            ),
        ),
        (
            "Cloudflare challenge of old",
            GatewayError,
            (
                "cannot read the user: Cloudflare before {} answered 503 with a check for a "
                "browser, which no "
                "program "
                f"passes, {SO} {ASK}"
            ),
        ),
        (
            "AWS WAF challenge",
            GatewayError,
            (
                "cannot read the user: AWS WAF before {} answered 202 with a check for a browser, "
                "which no program "
                f"passes, {SO} {ASK}"
            ),
        ),
        (
            "nginx client certificate",
            GatewayError,
            (
                "cannot read the user: nginx before {} wants a client certificate. Give it with "
                "--client-cert and "
                "--client-key."
            ),
        ),
        (
            "AWS ALB 403",
            GatewayError,
            (
                "cannot read the user: AWS load balancer before {} answered 403, Forbidden. CVAT "
                "was not "
                "reached. Ask the "
                "gateway's administrator."
            ),
        ),
        (
            "AWS API Gateway",
            GatewayError,
            (
                "cannot read the user: AWS API Gateway before {} answered 403, Missing "
                "Authentication Token. CVAT was not reached. Ask the gateway's administrator."
            ),
        ),
        (
            "a captive portal",
            GatewayError,
            (
                "cannot read the user: the network on the way to {} wants a login first (511). "
                "Log in with a browser, and run again."
            ),
        ),
        (
            "nginx 502",
            ServerError,
            (
                "cannot read the user: nginx before {} answered 502, Bad Gateway. CVAT behind it "
                "does not "
                "answer. Check "
                "that the server runs, or try again later."
            ),
        ),
        (
            "Cloudflare 522",
            ServerError,
            (
                "cannot read the user: Cloudflare before {} answered 522, error code: 522. CVAT "
                "behind it does not "
                "answer. Check that the server runs, or try again later."
            ),
        ),
        (
            "Squid 503 without headers",
            ConnectError,
            (
                "a proxy before {}, Squid, does not pass calls on to {}: 503, The requested URL "
                "could not "
                "be retrieved: No DNS records. Check the URL, and that the proxy can reach it. "
                "Ask its "
                "administrator."
            ),
        ),
        (
            "a login form",
            GatewayError,
            f"cannot read the user: Apache before {{}} answered with a login page, {SO} {ASK}",
        ),
        (
            "CVAT's interface",
            ConfigError,
            (
                "cannot read the user: {} answered with CVAT's user interface instead of its API. "
                "Check address "
                "and port, "
                "and that the web server passes /api/ to CVAT."
            ),
        ),
    ],
)
async def test_the_message_says_who_refused_and_what_helps(
    server: ScriptedServer,
    connect: Connect,
    label: str,
    kind: type[AsyncCvatError],
    message: str,
) -> None:
    server["GET /api/users/self"] = always(BY_LABEL[label])
    client = await connect(token=TOKEN, policy=None)
    with pytest.raises(kind) as caught:
        await client.user()
    assert str(caught.value) == message.replace("{}", client.origin)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.kind not in (Responder.GATEWAY, Responder.PROXY)],
    ids=lambda page: page.label,
)
async def test_what_only_a_person_can_change_is_not_tried_again(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime, page: Page
) -> None:
    server["GET /api/users/self"] = always(page)
    client = await connect(token=TOKEN)
    with pytest.raises((GatewayError, ConfigError)):
        await client.user()
    assert fake_time.slept == []
    assert client.requests_sent == 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.label)
async def test_no_page_says_anything_about_a_task(
    server: ScriptedServer, connect: Connect, page: Page
) -> None:
    """A folder whose task is gone may be removed, so only CVAT may say that it is."""
    server["GET /api/tasks/5"] = always(page)
    client = await connect(token=TOKEN)
    with pytest.raises(AsyncCvatError) as caught:
        await client.task(5)
    assert not isinstance(caught.value, NotFoundError | AuthenticationError)
    assert "no such task" not in str(caught.value)
    assert "account" not in str(caught.value)


async def test_a_gateway_s_refusal_of_one_call_is_no_refusal_of_the_user(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks/5"] = always(BY_LABEL["nginx 403"])
    client = await connect(token=TOKEN)
    with pytest.raises(PermissionDeniedError, match=r"nginx before .* answered 403, Forbidden\."):
        await client.task(5)


@pytest.mark.parametrize(
    "label",
    ["nginx Basic", "nginx 403", "Kong 403", "Cloudflare challenge", "nginx client certificate"],
)
async def test_a_login_that_did_not_reach_cvat_says_nothing_about_the_password(
    server: ScriptedServer, connect: Connect, label: str
) -> None:
    server["POST /api/auth/login"] = [sent(BY_LABEL[label]), reply({"key": "a" * 40})]
    server["GET /api/users/self"] = reply(body=USER)
    client = await connect()
    with pytest.raises(GatewayError) as caught:
        await client.user()
    assert "password" not in str(caught.value)
    # A wrong password would not be sent again. Nobody has said that it is wrong.
    assert (await client.user()).username == "alice"


async def test_a_gateway_s_401_does_not_discard_the_token_of_the_login(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = [reply(body=USER), sent(BY_LABEL["nginx Basic"])]
    client = await connect()
    await client.user()
    with pytest.raises(GatewayError):
        await client.user()
    assert server.times("POST /api/auth/login") == 1


async def test_a_gateway_s_404_is_no_end_of_a_list(
    server: ScriptedServer, connect: Connect, fake_time: FakeTime
) -> None:
    server["GET /api/tasks"] = [
        page(1, count=2),
        sent(BY_LABEL["Traefik 404"]),
        page(2, count=2),
    ]
    client = await connect(token=TOKEN)
    listing = await client.tasks(page_size=1)
    assert [task.id for task in listing.tasks] == [1, 2]
    assert listing.complete
    assert fake_time.slept == [0.5]


@pytest.mark.parametrize(
    ("label", "status", "what"),
    [
        (
            "Kong 403",
            404,
            "Check that the server runs, and that the gateway passes all of /api/ on.",
        ),
        ("nginx 403", 405, "CVAT was not reached. Ask the gateway's administrator."),
    ],
)
async def test_a_call_that_a_gateway_does_not_pass_on_is_its_administrator_s(
    server: ScriptedServer, connect: Connect, label: str, status: int, what: str
) -> None:
    server["GET /api/users/self"] = reply(body=USER)
    server["GET /api/tasks/5"] = always(replace(BY_LABEL[label], status=status))
    client = await connect(token=TOKEN, policy=None)
    await client.user()
    with pytest.raises(AsyncCvatError) as caught:
        await client.task(5)
    assert str(caught.value).endswith(what)


async def test_a_403_of_an_unknown_program_blames_neither_user_nor_password(
    server: ScriptedServer, connect: Connect
) -> None:
    refused = reply(status=403, text="wrong key", content_type="text/plain")
    server["POST /api/auth/login"] = server["GET /api/users/self"] = refused
    for credentials in ({}, {"token": TOKEN}):
        client = await connect(**credentials)
        with pytest.raises(GatewayError) as caught:
            await client.user()
        assert str(caught.value).partition(": ")[2] == (
            f"{client.origin} answered 403, wrong key. It has sent nothing that only CVAT sends. "
            "Ask the administrator of the gateway before it, or check the URL."
        )


async def test_a_challenge_instead_of_a_page_of_tasks_is_recognised(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/tasks"] = reply(text=CLOUDFLARE_CHALLENGE)
    client = await connect(token=TOKEN)
    with pytest.raises(GatewayError, match=r"Cloudflare before .* with a check for a browser"):
        await client.tasks()


@pytest.mark.parametrize("body", [LOGIN_FORM, CVAT_INTERFACE])
async def test_a_page_instead_of_an_archive_is_recognised(
    server: ScriptedServer, connect: Connect, body: str
) -> None:
    server["GET /download"] = reply(text=body)
    client = await connect(token=TOKEN)
    with pytest.raises(
        (GatewayError, ConfigError), match=r"cannot download the export of task 5: .* answered with"
    ):
        async with internals(client).open_result("/download", task_id=5):
            pass


async def test_json_of_another_program_makes_doubt_of_the_address(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = reply(body=b'{"status":"ok"}', content_type="application/json")
    client = await connect(token=TOKEN)
    with pytest.raises(ProtocolError, match=r"`id`\. Check that the URL is that of a CVAT server"):
        await client.user()


# Redirects


@pytest.mark.parametrize(
    "location",
    [
        "https://sso.example.com/realms/lab/protocol/openid-connect/auth?state=secret-1",
        "https://sso.example.com/adfs/ls?wa=wsignin1.0",
        "https://sso.example.com/?rd=https%3A%2F%2Fcvat.example.com%2Fapi",
    ],
)
async def test_a_login_page_elsewhere_is_not_the_cvat_server(
    server: ScriptedServer, connect: Connect, location: str
) -> None:
    server["GET /api/users/self"] = reply(status=302, text="", Location=location)
    client = await connect(token=TOKEN)
    with pytest.raises(GatewayError) as caught:
        await client.user()
    assert str(caught.value) == (
        f"cannot read the user: a gateway before {client.origin} redirects to a login page at "
        f"https://sso.example.com, {SO} {ASK}"
    )


async def test_a_login_page_on_the_server_itself_is_not_fetched(
    server: ScriptedServer, connect: Connect
) -> None:
    server["GET /api/users/self"] = reply(
        status=302, text="", Location="/oauth2/start?rd=%2Fapi%2Fusers%2Fself"
    )
    client = await connect(token=TOKEN)
    with pytest.raises(GatewayError, match="redirects to its own login page, so CVAT was not"):
        await client.user()
    assert client.requests_sent == 1


async def test_a_server_that_moved_is_named_even_below_the_path_of_a_login(
    server: ScriptedServer, connect: Connect
) -> None:
    async with scripted_server() as moved:
        server["POST /api/auth/login"] = reply(
            status=301, text="", Location=f"{moved.url}/api/auth/login/"
        )
        client = await connect()
        with pytest.raises(ConfigError, match=f"give {moved.url} as its URL"):
            await client.login()
        assert moved.asked == []


# Logins of CVAT itself


async def test_an_address_that_is_not_confirmed_is_named(
    server: ScriptedServer, connect: Connect
) -> None:
    server["POST /api/auth/login"] = reply(
        status=302, text="", Location="/auth/email-verification-sent"
    )
    client = await connect()
    for _ in range(2):
        with pytest.raises(
            AuthenticationError, match=r"e-mail address is not confirmed\. Open the"
        ):
            await client.user()
    assert server.times("POST /api/auth/login") == 1


async def test_a_cvat_without_logins_by_password_asks_for_a_token(
    server: ScriptedServer, connect: Connect
) -> None:
    server["POST /api/auth/login"] = reply(status=404, text=DJANGO_404)
    server["GET /api/server/about"] = reply({"name": "CVAT", "version": "2.64.0"})
    client = await connect()
    outcomes = await asyncio.gather(*(client.user() for _ in range(3)), return_exceptions=True)
    for error in outcomes:
        assert isinstance(error, AuthenticationError)
        assert "has no login with a password" in str(error)
        assert "Give a personal access token with --token" in str(error)
    assert server.times("POST /api/auth/login") == 1


async def test_a_server_that_is_not_cvat_has_no_login_either(
    server: ScriptedServer, connect: Connect
) -> None:
    server["POST /api/auth/login"] = reply(status=404, text="<html><h1>Not Found</h1></html>")
    server["GET /api/server/about"] = reply(status=404, text="<html><h1>Not Found</h1></html>")
    client = await connect()
    with pytest.raises(ConfigError, match="has sent nothing that only CVAT sends"):
        await client.user()


# Proxies


@pytest.mark.parametrize(
    ("label", "user", "message"),
    [
        (
            "Squid 407",
            "",
            (
                "asks for a user and a password. Give them in its address, like --proxy "
                "http://user:password@host:3128."
            ),
        ),
        ("Squid 407", "bob:hunter2@", "refuses its user and password. Correct them in HTTP_PROXY."),
        (
            "Squid 400",
            "bob:hunter2@",
            (
                "does not pass calls on to http://cvat.test: 400, The "
                "requested URL could not be retrieved: Invalid URL. Ask its administrator, or add "
                "cvat.test to NO_PROXY."
            ),
        ),
        (
            "Squid 403",
            "",
            (
                "does not pass calls on to http://cvat.test: 403, The requested URL "
                "could not be retrieved: Access Denied. Ask its administrator, or add cvat.test to "
                "NO_PROXY."
            ),
        ),
    ],
)
async def test_a_proxy_that_refuses_is_named_with_its_variable(
    server: ScriptedServer,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    *,
    label: str,
    user: str,
    message: str,
) -> None:
    server["GET /api/users/self"] = always(BY_LABEL[label])
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("//", f"//{user}"))
    client = await connect("http://cvat.test", token=TOKEN)
    with pytest.raises(ConnectError) as caught:
        await client.user()
    assert str(caught.value) == f"the proxy {server.url} (HTTP_PROXY), Squid, {message}"
    assert not caught.value.retryable
