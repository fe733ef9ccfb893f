"""Who makes a call: the credentials in its headers, read as CVAT reads them.

`throttle` limits how often they may call; the routes decide what they may see.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from asynccvat.simulator.wire.responses import RefusedError, detail
from asynccvat.simulator.world.accounts import Accounts, UserAccount
from asynccvat.simulator.world.dates import utc_now


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a call, and by which credentials.

    Attributes:
        account: The user, or None for an anonymous call.
        scheme: `token`, `bearer`, `session`, `basic` or `anonymous`.
        read_only: Whether the access token only reads.
    """

    account: UserAccount | None
    scheme: str
    read_only: bool = False

    @property
    def required(self) -> UserAccount:
        """The user.

        Raises:
            RefusedError: 401, the call is anonymous.
        """
        if self.account is None:
            raise unauthorized("Authentication credentials were not provided.")
        return self.account


ANONYMOUS = Identity(None, "anonymous")


def unauthorized(words: str) -> RefusedError:
    """Refuse with 401 and a `WWW-Authenticate` challenge."""
    refused = detail(401, words)
    refused.response.headers["WWW-Authenticate"] = "Token"
    return refused


def identify(accounts: Accounts, headers: Mapping[str, str], method: str) -> Identity:
    """Find out who makes a call.

    Args:
        accounts: The accounts of the server.
        headers: The headers of the call.
        method: Its method: unsafe ones by session need the CSRF header.

    Raises:
        RefusedError: 401 for wrong credentials, 403 for a session without CSRF header.
    """
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    match scheme.lower():
        case "token":
            account = accounts.with_token(value)
            if account is None:
                raise unauthorized("Invalid token.")
            return Identity(account, "token")
        case "bearer":
            return _by_access_token(accounts, value)
    cookies = headers.get("Cookie")
    if cookies:
        session = _by_session(accounts, _read_cookies(cookies), headers, method)
        if session is not None:
            return session
    if scheme.lower() == "basic":
        return _by_password(accounts, value)
    return ANONYMOUS


def _read_cookies(header: str) -> dict[str, str]:
    pairs = (item.strip().partition("=") for item in header.split(";"))
    return {name: value for name, _, value in pairs if name}


def _by_access_token(accounts: Accounts, value: str) -> Identity:
    now = utc_now()
    for token in accounts.access_tokens.values():
        if token.value == value and (token.expiry is None or token.expiry > now):
            token.last_used = now
            return Identity(token.account, "bearer", token.read_only)
    raise unauthorized("Invalid token.")


def _by_session(
    accounts: Accounts, cookies: Mapping[str, str], headers: Mapping[str, str], method: str
) -> Identity | None:
    session = accounts.sessions.get(cookies.get("sessionid", ""))
    if session is None:
        return None
    if method not in ("GET", "HEAD", "OPTIONS"):
        sent = headers.get("X-CSRFToken")
        if sent is None:
            raise detail(403, "CSRF Failed: CSRF token missing.")
        if sent != cookies.get("csrftoken") or sent != session.csrf_token:
            raise detail(
                403, "CSRF Failed: CSRF token from the 'X-Csrftoken' HTTP header incorrect."
            )
    return Identity(session.account, "session")


def _by_password(accounts: Accounts, value: str) -> Identity:
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise unauthorized(
            "Invalid basic header. Credentials not correctly base64 encoded."
        ) from None
    account = accounts.find(name)
    if account is None or account.password != password:
        raise unauthorized("Invalid username/password.")
    return Identity(account, "basic")
