"""Accounts of users: passwords, tokens and browser sessions.

Passwords are compared as plain text; `routes.costs` accounts for the time that hashing takes.
`wire.credentials` reads the credentials of a call.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from datetime import datetime

from asynccvat.simulator.options import SimulatorOptions
from asynccvat.simulator.world.dates import utc_now
from asynccvat.simulator.world.users import ADMIN, User


@dataclass(slots=True)
class UserAccount:
    """A user who can log in.

    Attributes:
        user: The user as shown.
        password: The password.
        superuser: Whether the user sees everything.
        worker: Whether the user may create nothing.
        token: The one key that every login returns, until a logout revokes it.
        last_login: When the user logged in last.
    """

    user: User
    password: str
    superuser: bool
    token: str | None = None
    last_login: datetime | None = None
    worker: bool = False


@dataclass(slots=True)
class AccessToken:
    """A personal access token: `value` is what is sent, with the scheme Bearer."""

    id: int
    name: str
    account: UserAccount
    value: str
    created: datetime
    read_only: bool = False
    expiry: datetime | None = None
    last_used: datetime | None = None


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A browser session, made by each login."""

    account: UserAccount
    csrf_token: str


class Accounts:
    """The accounts of a server, with their tokens and sessions.

    Attributes:
        by_id: The accounts, by the user's id.
        sessions: Browser sessions, by id.
        access_tokens: Personal access tokens, by id.
    """

    def __init__(self, options: SimulatorOptions) -> None:
        """Create the administrator and the users of the options, numbered from 1."""
        self._random = random.Random(f"tokens {options.seed}")
        self.by_id = {1: UserAccount(ADMIN, options.password, superuser=True)}
        for number, spec in enumerate(options.users, start=2):
            user = User(number, spec.username, email=f"{spec.username}@example.com")
            self.by_id[number] = UserAccount(
                user, spec.password, spec.superuser, worker=spec.worker
            )
        self.sessions: dict[str, BrowserSession] = {}
        self.access_tokens: dict[int, AccessToken] = {}
        self._by_token: dict[str, UserAccount] = {}
        self._next_access_token = 1

    def find(self, name_or_email: str) -> UserAccount | None:
        """Return the account of that name or e-mail address."""
        for account in self.by_id.values():
            if name_or_email in (account.user.username, account.user.email):
                return account
        return None

    def with_token(self, token: str) -> UserAccount | None:
        """Return the account whose key this is."""
        return self._by_token.get(token)

    def token_of(self, account: UserAccount) -> str:
        """Return the account's one key, which every login returns.

        It is made at the first call.
        """
        if account.token is None:
            account.token = f"{self._random.getrandbits(160):040x}"
            self._by_token[account.token] = account
        return account.token

    def log_in(self, account: UserAccount) -> tuple[str, str, str]:
        """Log in: return the key, the new session's id and its CSRF token."""
        account.last_login = utc_now()
        csrf_token = f"{self._random.getrandbits(128):032x}"
        session_id = f"{self._random.getrandbits(128):032x}"
        self.sessions[session_id] = BrowserSession(account, csrf_token)
        return self.token_of(account), session_id, csrf_token

    def log_out(self, account: UserAccount) -> None:
        """Revoke the user's key, for every client that holds it."""
        if account.token is not None:
            del self._by_token[account.token]
            account.token = None

    def usable_tokens(self, account: UserAccount) -> list[AccessToken]:
        """Return a user's access tokens that have not expired, newest first."""
        now = utc_now()
        return [
            token
            for token in reversed(self.access_tokens.values())
            if token.account is account and (token.expiry is None or token.expiry > now)
        ]

    def create_access_token(
        self,
        account: UserAccount,
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
