"""Logins that are kept: what is known of each, apart from its secrets.

`settings.logins` reads and writes them, `login_secrets` has the secrets. Pure functions.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec

from asynccvat.core.decoding import UNREADABLE
from asynccvat.core.models import AccessToken, User
from asynccvat.core.wire.urls import same_server
from asynccvat.errors import ConfigError

VERSION = 1
"""The version of the file's format."""

LONGEST_NAME = 50
"""Characters of the name of a login; CVAT allows as many in a token's name."""

SOON = timedelta(days=7)
"""How long before its end a token's expiry is worth a warning."""


class TokenStore(StrEnum):
    """Where the token of a login is kept."""

    KEYRING = "keyring"
    FILE = "file"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A server, and the user that a client is there.

    Attributes:
        url: The server's address.
        version: Its version of CVAT.
        user: The user.
        organization: The organization to work in, "" for the personal workspace, None for all that
            the user may see.
        token: What the server says of the access token in use, None for other credentials.
    """

    url: str
    version: str
    user: User
    organization: str | None = None
    token: AccessToken | None = None


class SavedLogin(msgspec.Struct, frozen=True, kw_only=True):
    """A login that is kept, without its secrets.

    Attributes:
        name: Its name, as `--profile` takes it.
        url: The server's address.
        username: The user.
        store: Where the token is kept.
        fingerprint: The beginning of a hash of the token, to know it again.
        token: What the server said of the access token, None for other tokens.
        made: Whether the login made the token. Then logging out revokes it.
        organization: The organization to work in, None for all that the user may see.
        ca_bundle: The file of certificate authorities, None for those of the system.
        client_cert: The file of a client certificate, None for none.
        client_key: The file of its key, None for none.
        insecure: Whether the server's certificate is not checked.
        headers: The names of the headers for a gateway. Their values are kept with the token.
        proxy: The proxy to go through, without user and password, which are kept with the token.
        saved: When it was saved.
    """

    name: str
    url: str
    username: str
    store: TokenStore
    fingerprint: str
    token: AccessToken | None = None
    made: bool = False
    organization: str | None = None
    ca_bundle: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    insecure: bool = False
    headers: tuple[str, ...] = ()
    proxy: str | None = None
    saved: datetime

    @property
    def expiry(self) -> datetime | None:
        """When the token expires, None if it does not."""
        return None if self.token is None else self.token.expiry_date

    def is_expired(self, now: datetime) -> bool:
        """Whether the token has expired."""
        return self.expiry is not None and self.expiry <= now

    @property
    def made_token(self) -> AccessToken | None:
        """The token to revoke when the login ends: the one that the login itself made."""
        return self.token if self.made else None

    def is_of(self, token: str) -> bool:
        """Whether a token is the one of this login."""
        return self.fingerprint == fingerprint(token)

    def warning(self, now: datetime) -> str | None:
        """Return what to say of a token that has expired or will do so soon, else None."""
        if self.expiry is None or self.expiry - now > SOON:
            return None
        verb = "expired" if self.is_expired(now) else "expires"
        return (
            f"the access token of the login {self.name!r} {verb} on {day(self.expiry)}. Run: "
            f"{self.command}"
        )

    @property
    def command(self) -> str:
        """The command that makes it again. `...` stands for secrets, which are to be filled in."""
        words = ["asynccvat", "login", self.url]
        if self.name != default_name(self.url, ()):
            words += ["--name", self.name]
        if self.organization is not None:
            words += ["--org", self.organization]
        for flag, path in (
            ("--ca-bundle", self.ca_bundle),
            ("--client-cert", self.client_cert),
            ("--client-key", self.client_key),
        ):
            words += [] if path is None else [flag, path]
        words += ["--insecure"] if self.insecure else []
        for name in self.headers:
            words += ["--header", f"{name}: ..."]
        words += [] if self.proxy is None else ["--proxy", self.proxy]
        return shlex.join(words)


class LoginResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a login or a logout did.

    Attributes:
        login: The login that was saved, or forgotten.
        account: The server and the user, of a login.
        replaced: The login of the same name that it replaced, None for none.
        revoked: The token that was revoked at the server: of the replaced login, or of the one
            that was forgotten. None for none.
        left: A token that `login` made, that nothing uses any more, and that still works.
        still_stored: Whether the token of the replaced login is still where it was kept, since a
            locked keyring, for example, could not remove it.
    """

    login: SavedLogin
    account: Account | None = None
    replaced: SavedLogin | None = None
    revoked: AccessToken | None = None
    left: AccessToken | None = None
    still_stored: bool = False


class SavedLogins(msgspec.Struct, frozen=True, kw_only=True):
    """All logins that are kept.

    Attributes:
        version: The version of the format.
        default: The name of the login to use if nothing names another one, None for none.
        logins: The logins, in the order in which they were made.
    """

    version: int = VERSION
    default: str | None = None
    logins: tuple[SavedLogin, ...] = ()

    def find(self, name: str) -> SavedLogin | None:
        """Return the login with a name, None if there is none."""
        return next((login for login in self.logins if login.name == name), None)

    def chosen(self, name: str | None = None) -> SavedLogin:
        """Return a login by its name or its server's address; by default the default one.

        Raises:
            ConfigError: There is none, or several are for the server.
        """
        wanted = self.default if name is None else name
        if wanted is None:
            raise ConfigError("there is no saved login. Save one with `asynccvat login`.")
        found = self.find(wanted)
        if found is not None:
            return found
        fitting = [one for one in self.logins if "://" in wanted and same_server(one.url, wanted)]
        if len(fitting) == 1:
            return fitting[0]
        names = ", ".join(repr(login.name) for login in fitting or self.logins)
        raise ConfigError(
            f"there {'are several saved logins' if fitting else 'is no saved login'} {wanted!r}. "
            + (f"Choose from {names}." if names else "Save one with `asynccvat login`.")
        )

    def of_user(self, url: str, username: str) -> SavedLogin | None:
        """Return the latest login of a user at a server, None if there is none."""
        fitting = [
            login
            for login in self.logins
            if login.username == username and same_server(login.url, url)
        ]
        return fitting[-1] if fitting else None

    def with_login(self, login: SavedLogin) -> SavedLogins:
        """Return them with another login, which replaces that of its name and is the default."""
        others = tuple(other for other in self.logins if other.name != login.name)
        return SavedLogins(default=login.name, logins=(*others, login))

    def without(self, name: str) -> SavedLogins:
        """Return them without a login. If it was the default, the latest other one becomes it."""
        left = tuple(login for login in self.logins if login.name != name)
        default = self.default
        if default == name:
            default = left[-1].name if left else None
        return SavedLogins(default=default, logins=left)


def fingerprint(token: str) -> str:
    """Return the beginning of a token's hash, from which the token cannot be found."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def encode(logins: SavedLogins) -> bytes:
    """Return logins as the content of a file."""
    return msgspec.json.format(msgspec.json.encode(logins), indent=2) + b"\n"


def decode(content: bytes, place: str) -> SavedLogins:
    """Return the logins of a file's content.

    Args:
        content: The content.
        place: The file, for messages.

    Raises:
        ConfigError: It is not readable, or a newer asynccvat wrote it.
    """
    try:
        version = msgspec.json.decode(content, type=_Version).version
        if version > VERSION:
            raise ConfigError(
                f"{place} has version {version}, but this asynccvat reads version {VERSION}. "
                "Update asynccvat."
            )
        return msgspec.json.decode(content, type=SavedLogins)
    except UNREADABLE:
        raise ConfigError(
            f"the list of logins {place} cannot be read: it is damaged. Remove it, and log in "
            "again with `asynccvat login`."
        ) from None


class _Version(msgspec.Struct):
    version: int


def default_name(address: str, taken: Iterable[str]) -> str:
    """Return a name for a login at a server: its host, and a number if that name is taken."""
    host = re.sub(r"[^\w.-]+", "-", address.partition("://")[2]).strip("-")[: LONGEST_NAME - 4]
    names = set(taken)
    if host not in names:
        return host
    return next(name for number in range(2, 1000) if (name := f"{host}-{number}") not in names)


def check_name(name: str) -> None:
    """Refuse a name that other options would take for a file.

    Raises:
        ConfigError: It cannot be a login's name.
    """
    if re.fullmatch(rf"[\w.@ -]{{1,{LONGEST_NAME}}}", name) and name.strip() == name:
        if not name.endswith((".yaml", ".yml")):
            return
        raise ConfigError(
            f"the login cannot be called {name!r}: that is the name of a file. Choose another name."
        )
    raise ConfigError(
        f"the login cannot be called {name!r}. Use at most {LONGEST_NAME} letters, digits, blanks, "
        "and the characters - . _ @"
    )


def token_name(host: str, user: str) -> str:
    """Return the name of an access token to make, from this machine's name and its user."""
    return f"asynccvat, {user or 'a user'} at {host or 'a machine'}"[:LONGEST_NAME]


def day(moment: datetime) -> str:
    """Return a moment's date, as `2027-03-31`."""
    return moment.astimezone(UTC).date().isoformat()
