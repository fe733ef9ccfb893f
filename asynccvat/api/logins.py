"""Logins that last: `login`, `logout`, `whoami` and `saved_logins`.

`settings.logins` keeps them, `client.tokens` makes and revokes access tokens.
"""

from __future__ import annotations

import getpass
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asynccvat.aio.threads import in_thread
from asynccvat.api.arguments import check_client
from asynccvat.client import CvatClient
from asynccvat.client.client import internals
from asynccvat.core.login_secrets import Gateway, LoginSecrets
from asynccvat.core.logins import (
    Account,
    LoginResult,
    SavedLogin,
    SavedLogins,
    TokenStore,
    check_name,
    default_name,
    fingerprint,
    token_name,
)
from asynccvat.core.models import AccessToken
from asynccvat.core.wire.server_versions import has_access_tokens
from asynccvat.core.wire.urls import same_server
from asynccvat.errors import AsyncCvatError, ConfigError
from asynccvat.settings import keyring_secrets
from asynccvat.settings.logins import LoginFiles, read_saved

LIFETIME = timedelta(days=365)
"""How long an access token works that `login` makes, if nothing else is said."""


def saved_logins() -> SavedLogins:
    """Return the logins that are kept, without their tokens. Blocks while it reads a file.

    Raises:
        ConfigError: The file cannot be read, or others may read or write it.
    """
    return LoginFiles.of_user().read()


async def whoami(client: CvatClient) -> Account:
    """Return the server of a client, and the user that the client is there.

    Raises:
        AuthenticationError: The credentials are not accepted.
        ConfigError: The server is too old, or no CVAT.
        TransportError: The server cannot be reached.
    """
    check_client(client)
    about = await client.about()
    await client.check_version()
    user = await client.user()
    return Account(
        url=client.origin,
        version=about.version,
        user=user,
        organization=client.organization,
        token=await client.access_token(),
    )


async def login(
    client: CvatClient,
    *,
    name: str | None = None,
    read_only: bool = True,
    label: str | None = None,
    lifetime: timedelta | None = LIFETIME,
    store: TokenStore | str | None = None,
) -> LoginResult:
    """Keep a client's token for later runs, which then need no credentials.

    Of a user name and a password it makes a personal access token, and keeps that. Where the
    server has none (before CVAT 2.48), it keeps the key of the login. A login that was saved for
    the same user at the same server is replaced; a token that it had made is revoked, which needs
    the password.

    Args:
        client: The server and the credentials, with the organization, the certificates, the headers
            and the proxy to keep. Headers and proxy may be secrets, and are kept with the token.
        name: The login's name. By default the server's host.
        read_only: Whether a token that is made may only read, and export.
        label: The name of a token that is made, at most 50 characters. By default it tells this
            machine and its user.
        lifetime: How long a token that is made works. None for ever.
        store: Where to keep the token: `keyring` or `file`. By default in the system's keyring if
            it can be used, else in the file of profiles of CVAT's own tools.

    Returns:
        The login.

    Raises:
        AuthenticationError: The credentials are not accepted.
        ConfigError: The token cannot be kept, or the name is taken. Then no token was made, or it
            was revoked again. The message says so if a token could not be revoked.
        AsyncCvatError: The server cannot be reached, or makes no token.
    """
    check_client(client)
    files = LoginFiles.of_user()
    place = await in_thread(_usable_store, store)
    account = await whoami(client)
    others = await in_thread(_names_of_others, files)
    _name(name, account, await in_thread(files.read), others)
    value, token, made = await _token(client, account, read_only, label, lifetime)
    options = internals(client).options
    proxy = options.proxy
    gateway = Gateway(headers=dict(options.headers), proxy=None if proxy is None else proxy.address)

    def login_for(known: SavedLogins) -> SavedLogin:
        chosen = _name(name, account, known, others)
        before = known.find(chosen)
        return SavedLogin(
            name=chosen,
            url=account.url,
            username=account.user.username,
            store=place,
            fingerprint=fingerprint(value),
            token=token,
            made=made or (before is not None and before.is_of(value) and before.made),
            organization=account.organization,
            headers=tuple(gateway.headers),
            proxy=None if proxy is None else proxy.url,
            saved=datetime.now(UTC),
            **certificates_of(client),
        )

    try:
        saved = await in_thread(files.save, login_for, LoginSecrets(value, gateway))
    # A cancellation is raised after the login was saved, which then needs its token.
    except Exception as error:
        if made and token is not None:
            await _take_back(client, token, error)
        raise
    is_same = saved.before is not None and saved.before.is_of(value)
    revoked, left = await _revoke(client, None if is_same else saved.before)
    return LoginResult(
        login=saved.login,
        account=account,
        replaced=saved.before,
        revoked=revoked,
        left=left,
        still_stored=not saved.removed,
    )


async def _take_back(client: CvatClient, token: AccessToken, failure: Exception) -> None:
    """Revoke a token that cannot be kept.

    Raises:
        ConfigError: It still works. The message begins with why it cannot be kept.
    """
    try:
        await client.revoke_access_token(token.id)
    except AsyncCvatError:
        raise ConfigError(
            f"{failure} The access token {token.name!r} that was made for it could not be revoked, "
            f"and still works. Revoke it at {client.origin}/profile."
        ) from failure


async def logout(name: str | None = None, *, client: CvatClient | None = None) -> LoginResult:
    """Forget a saved login, and revoke the token that it made.

    CVAT's own logout is never called: it would end every other client of the user.

    Args:
        name: The login's name. By default the default login.
        client: A client of its server and user with a password, to revoke the token. CVAT lets no
            access token revoke tokens. None leaves the token as it is.

    Returns:
        What was forgotten, and what became of its token.

    Raises:
        AuthenticationError: The client's password is not accepted. The login is kept then.
        ConfigError: There is no such login, or the client is for another server or user.
        AsyncCvatError: The server cannot be reached. The login is kept then.
    """
    files = LoginFiles.of_user()
    known = await in_thread(files.read)
    ended = known.chosen(name)
    if client is not None:
        check_client(client)
        if not same_server(client.origin, ended.url):
            raise ConfigError(
                f"the login {ended.name!r} is for {ended.url}, and the client for {client.origin}."
                " Give a client of the login's server."
            )
    revoked, left = await _revoke(client, ended, strict=True)
    await in_thread(files.remove, ended)
    return LoginResult(login=ended, revoked=revoked, left=left)


def _usable_store(store: TokenStore | str | None) -> TokenStore:
    if store is not None:
        try:
            place = TokenStore(store)
        except ValueError:
            raise ConfigError(
                f"the store must be {' or '.join(TokenStore)}, not {store!r}"
            ) from None
        if place is TokenStore.FILE:
            return place
    problem = keyring_secrets.unusable()
    if problem is None:
        return TokenStore.KEYRING
    if store is None:
        return TokenStore.FILE
    raise ConfigError(f"{problem}. Or choose the store 'file'.")


def _names_of_others(files: LoginFiles) -> frozenset[str]:
    """Return the names of the profiles that CVAT's own tools saved. Blocks."""
    saved = read_saved(files).saved
    return frozenset(name for name, profile in saved.items() if profile.login is None)


def _name(name: str | None, account: Account, known: SavedLogins, others: frozenset[str]) -> str:
    """Return the name of a login to save.

    Raises:
        ConfigError: The name cannot be used, or is that of something else.
    """
    if name is None:
        before = known.of_user(account.url, account.user.username)
        if before is not None and before.name not in others:
            return before.name
        return default_name(account.url, {*others, *(login.name for login in known.logins)})
    check_name(name)
    if name in others:
        raise ConfigError(
            f"the login cannot be called {name!r}: CVAT's own tools saved a profile of that name. "
            "Choose another name."
        )
    before = known.find(name)
    if before is not None and not same_server(before.url, account.url):
        raise ConfigError(
            f"the login cannot be called {name!r}: that login is for {before.url}. Choose another "
            "name, or log out of it first."
        )
    return name


async def _token(
    client: CvatClient,
    account: Account,
    read_only: bool,
    label: str | None,
    lifetime: timedelta | None,
) -> tuple[str, AccessToken | None, bool]:
    """Return the token to keep, what the server says of it, and whether it was made for this."""
    given = internals(client).token
    assert given is not None  # the server has accepted it
    if not internals(client).is_password_login:
        return given, account.token, False
    made = await client.create_access_token(
        label or token_name(socket.gethostname(), _local_user()),
        read_only=read_only,
        expiry=None if lifetime is None else datetime.now(UTC) + lifetime,
    )
    if made is None:
        if has_access_tokens(account.version):
            raise ConfigError(
                f"cannot make an access token: {account.url} has no such call (404), although it "
                f"is CVAT {account.version}. A gateway may not let it pass. Make a token at "
                f"{account.url}/profile, and log in with it."
            )
        return given, None, False
    return made.value, made.token, True


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user without a name
        return ""


def certificates_of(client: CvatClient) -> dict[str, Any]:
    """Return how a client checks certificates and shows its own, by the names of the settings."""
    options = internals(client).options
    return {
        "ca_bundle": None if isinstance(options.verify, bool) else _absolute(options.verify),
        "client_cert": _absolute(options.client_cert),
        "client_key": _absolute(options.client_key),
        "insecure": options.verify is False,
    }


def _absolute(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).expanduser().absolute())


async def _revoke(
    client: CvatClient | None, ended: SavedLogin | None, *, strict: bool = False
) -> tuple[AccessToken | None, AccessToken | None]:
    """Revoke the token that a login made.

    Args:
        client: A client with a password. Others cannot revoke tokens.
        ended: The login.
        strict: Raise the server's errors, instead of leaving the token.

    Returns:
        The token if it is revoked, and the token if it is left and still works.
    """
    token = None if ended is None else ended.made_token
    if ended is None or token is None or ended.is_expired(datetime.now(UTC)):
        return None, None
    if client is None or not internals(client).is_password_login:
        return None, token
    try:
        await _check_user(client, ended)
        await client.revoke_access_token(token.id)
    except AsyncCvatError:
        if strict:
            raise
        return None, token
    return token, None


async def _check_user(client: CvatClient, ended: SavedLogin) -> None:
    """Refuse a client of another user, for whom the login's token seems to be revoked already.

    Raises:
        AsyncCvatError: The client is another user's, or the server does not tell.
    """
    user = await client.user()
    if user.username != ended.username:
        raise ConfigError(
            f"the login {ended.name!r} is for {ended.username!r}, and the client for "
            f"{user.username!r}. Give a client of the login's user."
        )
