"""Who sent a response is recognised by what real programs send, and by nothing less."""

from __future__ import annotations

import pytest
from gateway_pages import PAGES, Page
from hypothesis import given
from hypothesis import strategies as st

from asynccvat.core.wire.responders import (
    Responder,
    Sender,
    leads_to_email_check,
    leads_to_login,
    recognise,
)

DJANGO = (
    ("Server", "nginx"),
    ("X-Request-Id", "0b3e2c96-82f3-42a2-a67c-14c00eafce87"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
TEXT = ("Content-Type", "text/html; charset=utf-8")
JSON = ("Content-Type", "application/vnd.cvat+json")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.label)
def test_the_sender_of_a_real_page_is_recognised(page: Page) -> None:
    found = recognise(page.status, page.headers, page.body.encode())
    assert (found.kind, found.name) == (page.kind, page.name)


@pytest.mark.parametrize(
    ("status", "headers", "body", "kind"),
    [
        (401, (JSON, ("WWW-Authenticate", "Token")), b'{"detail":"Invalid token."}', "CVAT"),
        (403, (JSON,), b'{"detail":"You do not have permission."}', "CVAT"),
        # Its plain texts come as text/html.
        (404, (*DJANGO, TEXT), b"There is no request with specified id", "CVAT"),
        (410, (*DJANGO, TEXT), b"This endpoint is no longer supported.\n", "CVAT"),
        (409, DJANGO, b"", "CVAT"),
        # A gateway on the way changes the Server header alone.
        (404, (("Server", "cloudflare"), *DJANGO[1:], TEXT), b"There is no request", "CVAT"),
        (500, (TEXT,), b"<!doctype html><html><h1>Server Error (500)</h1>", "CVAT"),
        (
            404,
            (TEXT,),
            (
                b"<!doctype html><html><h1>Not Found</h1><p>The requested resource was not "
                b"found on this server.</p>"
            ),
            "NO_ROUTE",
        ),
        # Nothing tells.
        (400, (TEXT,), b"The export process is not finished", "UNKNOWN"),
        (404, (TEXT, ("Server", "cloudflare")), b"There is no request", "UNKNOWN"),
        (418, (), b"", "UNKNOWN"),
        (404, (("Content-Type", "application/json"),), b'{"detail":"Not found."}', "UNKNOWN"),
        (403, (("Content-Type", "application/json"),), b'{"message":', "UNKNOWN"),
        (400, (JSON,), b'{"message":"a field of that name"}', "CVAT"),
    ],
)
def test_what_cvat_sends_is_not_taken_for_a_gateway(
    status: int, headers: tuple[tuple[str, str], ...], body: bytes, kind: str
) -> None:
    assert recognise(status, headers, body).kind is Responder[kind]


@pytest.mark.parametrize(
    ("challenge", "scheme", "realm"),
    [
        ('Basic realm="Lab &amp; Co"', "Basic", "Lab & Co"),
        ("Negotiate", "Negotiate", ""),
        ("NTLM, Negotiate", "NTLM", ""),
        (
            'Bearer realm="https://sso.example.com", error="invalid_token"',
            "Bearer",
            "https://sso.example.com",
        ),
        ("Digest realm=unquoted, nonce=1", "Digest", "unquoted"),
        ('Basic realm="\x1b[2Jred"', "Basic", "[2Jred"),
        ("<script>", "", ""),
        ("", "", ""),
    ],
)
def test_a_gateway_says_how_it_wants_to_be_asked(challenge: str, scheme: str, realm: str) -> None:
    found = recognise(401, [("WWW-Authenticate", challenge)], b"")
    assert found == Sender(Responder.ASKS_TO_LOG_IN, "", scheme, realm)


def test_headers_of_one_name_are_read_together() -> None:
    found = recognise(401, [("WWW-Authenticate", "Negotiate"), ("www-authenticate", "NTLM")], b"")
    assert found.scheme == "Negotiate"


@given(
    status=st.integers(100, 599),
    headers=st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=5),
    body=st.binary(max_size=300),
)
def test_anything_has_a_sender_that_can_be_shown(
    status: int, headers: list[tuple[str, str]], body: bytes
) -> None:
    found = recognise(status, headers, body)
    assert (found.name + found.scheme + found.realm).isprintable()


@pytest.mark.parametrize(
    ("target", "to_login"),
    [
        ("/login", True),
        ("/accounts/login/", True),
        ("/oauth2/start", True),
        ("/oauth2/sign_in", True),
        ("/realms/lab/protocol/openid-connect/auth", True),
        ("/cdn-cgi/access/login/cvat.example.com", True),
        ("/adfs/ls", True),
        ("/common/oauth2/v2.0/authorize", True),
        ("/saml2/idp/SSOService.php", True),
        ("/sso", True),
        ("/outpost.goauthentik.io/start", True),
        ("https://auth.example.com/?rd=https%3A%2F%2Fcvat.example.com%2Fapi", True),
        ("https://idp.example.com/start?SAMLRequest=fZ", True),
        ("/index.php?action=login", True),
        ("https://cvat.example.org/?page=login-history", False),
        ("/api/tasks", False),
        ("/author", False),
        ("/", False),
    ],
)
def test_redirects_to_login_pages_are_known(target: str, to_login: bool) -> None:
    assert leads_to_login(target) is to_login


@pytest.mark.parametrize(
    ("path", "to_check"),
    [
        ("/auth/email-verification-sent", True),
        ("/auth/confirm-email/", True),
        ("/accounts/verify-email", True),
        ("/auth/login", False),
        ("/emails", False),
    ],
)
def test_paths_on_which_an_address_is_confirmed_are_known(path: str, to_check: bool) -> None:
    assert leads_to_email_check(path) is to_check
