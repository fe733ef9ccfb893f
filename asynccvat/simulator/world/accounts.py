"""Who calls: users, their tokens and sessions, and how often they may call.

`Accounts.identify` reads the credentials of a call as CVAT does; what a user may see is decided by
the handlers. Passwords are compared as they are: what hashing costs is the business of `costs`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.wire.responses import RefusedError, detail, encode
from asynccvat.simulator.world.dates import stamp, utc_now
from asynccvat.simulator.world.tasks import ADMIN, User


@dataclass(slots=True)
class Account:
    """A user who can log in.

    Attributes:
        user: The user as shown.
        password: The password.
        superuser: Whether the user sees everything.
        token: The one key that every login returns, until a logout revokes it.
        last_login: When the user logged in last.
    """

    user: User
    password: str
    superuser: bool
    token: str | None = None
    last_login: datetime | None = None


@dataclass(slots=True)
class AccessToken:
    """A personal access token: `value` is what is sent, with the scheme Bearer."""

    id: int
    name: str
    account: Account
    value: str
    created: datetime
    read_only: bool = False
    expiry: datetime | None = None
    last_used: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A browser session, made by each login."""

    account: Account
    csrf_token: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a call, and by which credentials.

    Attributes:
        account: The user, or None for an anonymous call.
        scheme: `token`, `bearer`, `session`, `basic` or `anonymous`.
        read_only: Whether the access token only reads.
    """

    account: Account | None
    scheme: str
    read_only: bool = False

    @property
    def required(self) -> Account:
        """The user.

        Raises:
            RefusedError: 401, the call is anonymous.
        """
        if self.account is None:
            raise unauthorized("Authentication credentials were not provided.")
        return self.account


ANONYMOUS = Identity(None, "anonymous")


def unauthorized(words: str) -> RefusedError:
    """401 with its challenge."""
    refused = detail(401, words)
    refused.answer.headers["WWW-Authenticate"] = "Token"
    return refused


def read_cookies(header: str) -> dict[str, str]:
    """The cookies of a Cookie header."""
    pairs = (item.strip().partition("=") for item in header.split(";"))
    return {name: value for name, _, value in pairs if name}


class Accounts:
    """The users of a server and everything by which they identify themselves."""

    def __init__(self, options: SimulatorOptions) -> None:
        """The administrator and the users of the options, numbered from 1."""
        self._random = random.Random(f"tokens {options.seed}")
        self._per_anonymous = options.throttle_anonymous
        self._per_user = options.throttle_users
        self._recent: dict[str, deque[float]] = {}
        self.by_id = {1: Account(ADMIN, options.password, superuser=True)}
        for number, spec in enumerate(options.users, start=2):
            user = User(number, spec.username, email=f"{spec.username}@example.com")
            self.by_id[number] = Account(user, spec.password, spec.superuser)
        self.sessions: dict[str, Session] = {}
        self.access_tokens: dict[int, AccessToken] = {}
        self._by_token: dict[str, Account] = {}
        self._next_access_token = 1

    def find(self, name_or_email: str) -> Account | None:
        """The account of that name or e-mail address."""
        for account in self.by_id.values():
            if name_or_email in (account.user.username, account.user.email):
                return account
        return None

    def token_of(self, account: Account) -> str:
        """The account's one key, made now if it has none; every login returns the same."""
        if account.token is None:
            account.token = f"{self._random.getrandbits(160):040x}"
            self._by_token[account.token] = account
        return account.token

    def log_in(self, account: Account) -> tuple[str, str, str]:
        """Log in: the key, the new session's id and its CSRF token."""
        account.last_login = utc_now()
        csrf_token = f"{self._random.getrandbits(128):032x}"
        session_id = f"{self._random.getrandbits(128):032x}"
        self.sessions[session_id] = Session(account, csrf_token)
        return self.token_of(account), session_id, csrf_token

    def log_out(self, account: Account) -> None:
        """Revoke the user's key, for every client that holds it."""
        if account.token is not None:
            del self._by_token[account.token]
            account.token = None

    def create_access_token(
        self,
        account: Account,
        name: str = "token",
        *,
        read_only: bool = False,
        expiry: datetime | None = None,
    ) -> AccessToken:
        """Make a personal access token: eight characters, a point, thirty-two characters."""
        digest = hashlib.sha256(f"{self._random.getrandbits(128)}".encode()).hexdigest()
        token = AccessToken(
            self._next_access_token,
            name,
            account,
            f"{digest[:8]}.{digest[8:40]}",
            utc_now(),
            read_only,
            expiry,
        )
        self._next_access_token += 1
        self.access_tokens[token.id] = token
        return token

    def identify(self, headers: Mapping[str, str], method: str) -> Identity:
        """Who calls.

        Args:
            headers: The headers of the call.
            method: Its method: unsafe ones by session need the CSRF header.

        Raises:
            RefusedError: 401 for wrong credentials, 403 for a session without CSRF header.
        """
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        match scheme.lower():
            case "token":
                account = self._by_token.get(value)
                if account is None:
                    raise unauthorized("Invalid token.")
                return Identity(account, "token")
            case "bearer":
                return self._by_access_token(value)
        cookies = headers.get("Cookie")
        if cookies:
            session = self._by_session(read_cookies(cookies), headers, method)
            if session is not None:
                return session
        if scheme.lower() == "basic":
            return self._by_password(value)
        return ANONYMOUS

    def check_rate(self, identity: Identity, address: str) -> None:
        """Count a call against the limits per minute.

        Raises:
            RefusedError: 429 with Retry-After.
        """
        if identity.account is None:
            limit, key = self._per_anonymous, f"address {address}"
        else:
            limit, key = self._per_user, f"user {identity.account.user.id}"
        if limit is None:
            return
        now = utc_now().timestamp()
        recent = self._recent.setdefault(key, deque())
        while recent and recent[0] <= now - 60:
            recent.popleft()
        if len(recent) < limit:
            recent.append(now)
            return
        seconds = max(1, round(recent[0] + 60 - now)) if recent else 60
        refused = detail(429, f"Request was throttled. Expected available in {seconds} seconds.")
        refused.answer.headers["Retry-After"] = str(seconds)
        raise refused

    def _by_access_token(self, value: str) -> Identity:
        now = utc_now()
        for token in self.access_tokens.values():
            if token.value == value and (token.expiry is None or token.expiry > now):
                token.last_used = now
                return Identity(token.account, "bearer", token.read_only)
        raise unauthorized("Invalid token.")

    def _by_session(
        self, cookies: Mapping[str, str], headers: Mapping[str, str], method: str
    ) -> Identity | None:
        session = self.sessions.get(cookies.get("sessionid", ""))
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

    def _by_password(self, value: str) -> Identity:
        try:
            name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise unauthorized(
                "Invalid basic header. Credentials not correctly base64 encoded."
            ) from None
        account = self.find(name)
        if account is None or account.password != password:
            raise unauthorized("Invalid username/password.")
        return Identity(account, "basic")


def account_json(account: Account, origin: str) -> bytes:
    """`GET /api/users/self`."""
    user = account.user
    return encode(
        {
            "url": f"{origin}/api/users/{user.id}",
            "id": user.id,
            "username": user.username,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "email": user.email,
            "groups": ["admin"] if account.superuser else ["user"],
            "is_staff": account.superuser,
            "is_superuser": account.superuser,
            "is_active": True,
            "last_login": stamp(account.last_login),
            "date_joined": "2026-01-01T08:00:00.567208Z",
            "has_analytics_access": account.superuser,
        }
    )


def access_token_json(token: AccessToken, origin: str) -> dict[str, object]:
    """A personal access token without its value."""
    return {
        "id": token.id,
        "name": token.name,
        "created_date": stamp(token.created),
        "updated_date": stamp(token.created + timedelta(microseconds=27)),
        "expiry_date": stamp(token.expiry),
        "last_used_date": stamp(token.last_used),
        "read_only": token.read_only,
        "owner": user_json(token.account.user, origin),
    }


def user_json(user: User | None, origin: str) -> dict[str, object] | None:
    """A user as owner or assignee."""
    if user is None:
        return None
    return {
        "url": f"{origin}/api/users/{user.id}",
        "id": user.id,
        "username": user.username,
        "first_name": user.first_name,
        "last_name": user.last_name,
    }
