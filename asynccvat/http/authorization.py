"""Who the calls are made as: a token as it was given, or one from a single login.

CVAT has one login token per user, and logging out revokes it for every other client of that
user: so nothing here ever logs out. HTTP Basic would make the server hash the password on every
call, about 200 ms each: it is never used.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from asynccvat.errors import AuthenticationError, ConfigError

_LEGACY_KEY = re.compile(r"[0-9a-f]{40}")
_NO_HEADER = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password, or a token, or neither. Secrets stay out of `repr`."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.token is not None:
            token = self.token.strip()
            if not token or _NO_HEADER.search(token):
                raise ConfigError(
                    "the access token is empty or holds blanks or other characters that no "
                    "token has: give the bare token"
                )
            # A token read from a file or a secret store often ends in a newline.
            object.__setattr__(self, "token", token)
        elif (self.username is None) != (self.password is None):
            given, absent = (
                ("password", "username")
                if self.username is None
                else (
                    "username",
                    "password",
                )
            )
            raise ConfigError(f"a {given} was given without a {absent}: give both, or a token")

    @property
    def token_header(self) -> str | None:
        """The Authorization header of the given token, None without one.

        A personal access token goes as `Bearer`; a key of 40 hexadecimal digits, as a login
        returns it, goes as `Token`. The form decides: no call is spent on finding out.
        """
        if self.token is None:
            return None
        scheme = "Token" if _LEGACY_KEY.fullmatch(self.token) else "Bearer"
        return f"{scheme} {self.token}"

    @property
    def login_body(self) -> dict[str, str] | None:
        """What to post to the login, None where there is no password.

        As CVAT's own user interface does, a name with an `@` is sent as e-mail address.
        """
        if self.token is not None or self.username is None or self.password is None:
            return None
        name = "email" if "@" in self.username else "username"
        return {name: self.username, "password": self.password}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(secret for secret in (self.password, self.token) if secret)


class Authorization:
    """The Authorization header that all calls of a client share.

    Args:
        credentials: Whose.
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
        """What must never be shown."""
        return (*self._credentials.secrets, *((self._key,) if self._key else ()))

    async def header(self) -> str | None:
        """The header to send, after the login if that is still due; None for anonymous calls.

        Raises:
            AuthenticationError: User or password are refused; they are not sent again.
        """
        body = self._credentials.login_body
        if self._header is None and body is not None:
            async with self._lock:
                if self._header is None:
                    await self._log_in(body)
        return self._header

    def accepted(self, header: str | None) -> None:
        """Note that the server took a header."""
        if header is not None and header is self._header:
            self._accepted = True

    def renewable(self, header: str | None) -> bool:
        """Whether a refused header can be replaced by logging in again.

        True for a login's token that the server took before, and where another call has
        replaced it already. A token that was never taken would not be the second time either.
        """
        if self._credentials.login_body is None:
            return False
        # By identity: what a later login brought may well read the same.
        if header is not self._header:
            return True
        if not self._accepted:
            return False
        self._header = None
        self._accepted = False
        return True

    async def _log_in(self, body: dict[str, str]) -> None:
        if self._refusal is not None:
            # Asked again, a wrong password stays wrong, and servers lock accounts for it.
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
