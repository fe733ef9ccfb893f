"""The credentials of all calls: a given token, or the token of a single login.

CVAT has one login token per user, and a logout revokes it for all clients of that user. So nothing
here logs out. HTTP Basic is not used either, because the server would hash the password for every
call, about 200 ms each.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from asynccvat.errors import AuthenticationError, ConfigError
from asynccvat.http.calls import described_type

_LEGACY_KEY = re.compile(r"[0-9a-f]{40}")
_KNOWN_TOKENS = re.compile(r"[0-9a-f]{40}|[^.]{8}\.[^.]+")
_NOT_IN_HEADERS = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password, or a token, or neither. Secrets stay out of `repr`.

    Attributes:
        username: User name or e-mail address, None with a token.
        password: The user's password, None with a token.
        token: A personal access token or a login's key, None with a user name.

    Raises:
        ConfigError: The token cannot be one, or only one of user name and password is given.
        TypeError: A value is not a string.
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("username", "password", "token"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a string, not {described_type(value)}")
            if value == "":
                raise ConfigError(f"{name} is empty. Give a value, or None if there is none.")
        if self.token is not None:
            token = self.token.strip()
            why = _not_a_token(token)
            if why is not None:
                raise ConfigError(f"the access token cannot be used: {why}")
            # A token read from a file or a secret store often ends in a newline.
            object.__setattr__(self, "token", token)
        elif (self.username is None) != (self.password is None):
            given, absent = "username", "password"
            if self.username is None:
                given, absent = absent, given
            raise ConfigError(f"a {given} was given without a {absent}. Give both, or a token.")

    @property
    def token_header(self) -> str | None:
        """The Authorization header for the given token, None without a token.

        A personal access token is sent as `Bearer`. A key of 40 hexadecimal digits, as a login
        returns it, is sent as `Token`. The form of the token decides, without a call.
        """
        if self.token is None:
            return None
        scheme = "Token" if _LEGACY_KEY.fullmatch(self.token) else "Bearer"
        return f"{scheme} {self.token}"

    @property
    def login_body(self) -> dict[str, str] | None:
        """The body of the login call, None without a password.

        A name with an `@` is sent as e-mail address, as CVAT's user interface does.
        """
        if self.token is not None or self.username is None or self.password is None:
            return None
        name = "email" if "@" in self.username else "username"
        return {name: self.username, "password": self.password}

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown."""
        return tuple(secret for secret in (self.password, self.token) if secret)


def _not_a_token(text: str) -> str | None:
    """Say why a text cannot be a token, and what to do, without repeating it. None if it can."""
    if text[:1] in ("'", '"') and text[:1] == text[-1:]:
        return "it stands in quotes. Give it without them."
    prefix = re.match(r"(?:Authorization:\s*)?(?:Token|Bearer|Basic)(?=\s)", text, re.IGNORECASE)
    if prefix is not None:
        return f"it begins with {prefix[0]!r}. Give what follows alone."
    if not text:
        return "it is empty. Give a token."
    if _NOT_IN_HEADERS.search(text):
        return "it has blanks or other characters that are in no token. Give the token alone."
    return None


class Authorization:
    """Provide the Authorization header that all calls of a client share.

    Args:
        credentials: The user's credentials.
        login: Sends the login and returns the key.
    """

    def __init__(
        self, credentials: Credentials, login: Callable[[dict[str, str]], Awaitable[str]]
    ) -> None:
        self._credentials = credentials
        self._login = login
        self._header = credentials.token_header
        self._key: str | None = None
        self._accepted = False
        self._refusal: AuthenticationError | None = None
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._credentials!r})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """Texts that must never be shown."""
        return (*self._credentials.secrets, *((self._key,) if self._key else ()))

    @property
    def token(self) -> str | None:
        """The given token, or the key of the login; None before a login."""
        return self._credentials.token or self._key

    @property
    def logs_in(self) -> bool:
        """Whether the header is the key of a login with a password."""
        return self._credentials.login_body is not None

    @property
    def is_access_token(self) -> bool:
        """Whether the credentials are a personal access token, by its form."""
        return (self._credentials.token_header or "").startswith("Bearer ")

    @property
    def is_known(self) -> bool:
        """Whether there is a header to send without a login."""
        return self._header is not None

    @property
    def is_like_no_token(self) -> bool:
        """Whether the given token has the form of no token of a known CVAT."""
        token = self._credentials.token
        return token is not None and not _KNOWN_TOKENS.fullmatch(token)

    async def header(self) -> str | None:
        """Return the header to send, after a login if one is due; None without credentials.

        Raises:
            AuthenticationError: User name or password are refused. They are not sent again.
        """
        body = self._credentials.login_body
        if self._header is None and body is not None:
            async with self._lock:
                if self._header is None:
                    await self._log_in(body)
        return self._header

    def note_accepted(self, header: str | None) -> None:
        """Note that the server accepted a header."""
        if header is not None and header is self._header:
            self._accepted = True

    def discard(self, header: str | None) -> bool:
        """Discard a refused header if a new login may replace it.

        Returns:
            True for the header of a login that the server accepted before, and if another call
            has discarded it already. False for a header that was never accepted, because a new
            login would be refused, too.
        """
        if self._credentials.login_body is None:
            return False
        # By identity, because a later login may return an equal token.
        if header is not self._header:
            return True
        if not self._accepted:
            return False
        self._header = None
        self._accepted = False
        return True

    async def _log_in(self, body: dict[str, str]) -> None:
        if self._refusal is not None:
            # Servers lock accounts after repeated logins with a wrong password.
            raise AuthenticationError(
                self._refusal.message, status=self._refusal.status, step="login"
            )
        try:
            key = await self._login(body)
        except AuthenticationError as error:
            self._refusal = error
            raise
        self._key = key
        self._header = f"Token {key}"
        self._accepted = False
