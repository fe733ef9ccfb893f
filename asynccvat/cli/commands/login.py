"""`asynccvat login`: keep a server and a token for later commands."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import accounts, credentials, output, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.queries import record
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import printable

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import AccessToken, LoginResult, SavedLogin
    from asynccvat.settings import Settings

_TOKEN = "Access token"  # noqa: S105 - a panel of the help


class Store(StrEnum):
    """Where a token is kept."""

    KEYRING = "keyring"
    FILE = "file"


@command
def login(
    shared: SharedOptions,
    *,
    address: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="The server's address.", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name", metavar="NAME", help="The login's name for --profile; by default the host."
        ),
    ] = None,
    store: Annotated[
        Store | None,
        typer.Option(
            "--store",
            metavar="PLACE",
            help="Where to keep the token: keyring or file. By default in the system's keyring if "
            "it can be used, or else in the file of profiles of CVAT's own tools.",
        ),
    ] = None,
    token_stdin: Annotated[
        bool,
        typer.Option(
            "--token-stdin",
            help="Read the token from the first line of stdin.",
            rich_help_panel=_TOKEN,
        ),
    ] = False,
    read_only: Annotated[
        bool | None,
        typer.Option(
            "--read-only/--read-write",
            help="Whether a token made of a password may only read, and export. A terminal asks; "
            "elsewhere it is read-only by default.",
            rich_help_panel=_TOKEN,
        ),
    ] = None,
    token_name: Annotated[
        str | None,
        typer.Option(
            "--token-name",
            metavar="TEXT",
            help="The name of a token made of a password; by default this machine and its user.",
            rich_help_panel=_TOKEN,
        ),
    ] = None,
    expires: Annotated[
        int,
        typer.Option(
            "--expires",
            metavar="DAYS",
            min=0,
            max=36500,
            help="Days until a token made of a password expires; 0 for never.",
            rich_help_panel=_TOKEN,
        ),
    ] = 365,
    as_json: AsJson = False,
) -> int:
    """Log in to a server for good: later commands need no address and no password.

    It asks for what is missing: the server, and a token or a user name and a password. Of a
    password it makes a personal access token, and keeps that instead.

    For example:

    asynccvat login https://cvat.example.com

    asynccvat login https://cvat.example.com --token-stdin

    asynccvat login https://cvat.example.com -u ann --password-stdin --read-write
    """
    settings = _settings(_with_address(shared, address), token_stdin=token_stdin)
    accounts.warn_of_readers(settings)
    settings = _with_credentials(settings)
    if settings.token is None and read_only is None:
        read_only = _asked_to_read_only()

    async def query(client: CvatClient) -> LoginResult:
        return await asynccvat.login(
            client,
            name=name,
            read_only=read_only is not False,
            label=token_name,
            lifetime=timedelta(days=expires) if expires else None,
            store=None if store is None else store.value,
        )

    result = queries.ask(settings, query)
    if as_json:
        output.write_json(record(result.login))
    else:
        assert result.account is not None
        accounts.write_server(result.account)
        for line in _said(result.login, result.revoked):
            output.remark(printable(line))
    for line in _warnings(result):
        output.remark(f"warning: {printable(line)}")
    return ExitCode.DONE


def _with_address(shared: SharedOptions, address: str | None) -> SharedOptions:
    """Return the options with the server that the argument names.

    Raises:
        typer.BadParameter: An option names one, too, or a saved login.
    """
    accounts.refuse(shared, "login", ("profile",))
    if address is None:
        return shared
    if shared.url is not None and shared.url != address:
        raise typer.BadParameter(
            "--url names the server, too. Remove one of them.", param_hint="URL"
        )
    return replace(shared, url=address)


def _settings(shared: SharedOptions, *, token_stdin: bool) -> Settings:
    """Return the settings of all places except saved logins; ask for the server if none names it.

    Raises:
        ConfigError: A setting is unusable, or there is no terminal to ask on.
    """
    from asynccvat.errors import NoServerError  # noqa: PLC0415 - `--help` stays light

    if token_stdin:
        shared = replace(shared, token=_token_of_stdin(shared))
    password = shared.given_password()
    try:
        settings = shared.settings_for({}, password, saved=False)
    except NoServerError:
        question = "Address of the CVAT server, like https://cvat.example.com: "
        address = credentials.ask(question) if credentials.on_a_terminal() else ""
        if not address:
            raise NoServerError(
                "no server is given. Give its address: asynccvat login https://cvat.example.com"
            ) from None
        settings = replace(shared, url=address).settings_for({}, password, saved=False)
    for warning in settings.warnings:
        output.remark(f"warning: {warning}")
    return settings


def _token_of_stdin(shared: SharedOptions) -> str:
    for other in ("token", "username", "password"):
        if getattr(shared, other) is not None:
            raise typer.BadParameter(
                f"--{other} gives credentials, too. Remove one of them.", param_hint="--token-stdin"
            )
    if shared.password_stdin:
        raise typer.BadParameter(
            "--password-stdin reads stdin, too. Remove one of them.", param_hint="--token-stdin"
        )
    if credentials.on_a_terminal():
        token = credentials.ask_hidden("Access token: ").strip()
    else:
        token = sys.stdin.readline().strip()
    if not token:
        raise asynccvat.ConfigError(
            "--token-stdin found no token. Write it to the first line of stdin, like "
            "'asynccvat login URL --token-stdin < token.txt'."
        )
    return token


def _with_credentials(settings: Settings) -> Settings:
    """Return the settings with a token, or with a user name and a password.

    Raises:
        ConfigError: There are none, and no terminal to ask on.
    """
    if settings.username is not None or settings.token is not None:
        return credentials.complete(settings)
    if not credentials.on_a_terminal():
        raise asynccvat.ConfigError(
            "no credentials are given. Use --token-stdin, or --username and --password-stdin."
        )
    credentials.check_asking(settings)
    output.remark(
        f"Make an access token at {settings.address}/profile, and paste it here. Or press Enter to "
        "log in with a user name and a password."
    )
    token = credentials.ask_hidden("Access token: ").strip()
    return replace(settings, token=token) if token else credentials.complete(settings)


def _asked_to_read_only() -> bool:
    """Ask what the new token may do. Without a terminal it is read-only."""
    if not credentials.on_a_terminal():
        return True
    answer = credentials.ask("May the new token change tasks, as uploads need it? [y/N] ")
    return answer.lower() not in ("y", "yes")


def _said(login: SavedLogin, revoked: AccessToken | None) -> Iterator[str]:
    """Yield what a login did, besides the server and the user."""
    if login.made_token is not None:
        yield f"Made the {accounts.described(login.made_token)}."
    elif login.token is not None:
        yield f"Checked the {accounts.described(login.token)}."
    else:
        yield (
            f"The key of a login is kept. It may do whatever {login.username} may, and works until "
            f"{login.username} logs out of CVAT."
        )
        if login.store == Store.FILE.value:
            yield "CVAT's own tools cannot use it."
    if login.store == Store.KEYRING.value:
        yield f"Saved as login {login.name!r}, with the token in the system's keyring."
    else:
        yield (
            f"Saved as login {login.name!r}, with the token in the file of profiles that CVAT's "
            "own tools read, too. Only this user may read it."
        )
    if login.headers:
        names = ", ".join(login.headers)
        yield f"Kept with the token: the header{'s' if len(login.headers) > 1 else ''} {names}."
    if login.proxy is not None:
        yield f"Kept with the token: the proxy {login.proxy}."
    if revoked is not None:
        yield f"Revoked the token {revoked.name!r} of the earlier login."
    yield "Commands without --url use it from now on, like: asynccvat mirror data/"


def _place(login: SavedLogin) -> str:
    if login.store == Store.KEYRING.value:
        return f"the system's keyring, entry {f'asynccvat {login.url}'!r}"
    return "the file of profiles of CVAT's own tools"


def _warnings(result: LoginResult) -> Iterator[str]:
    """Yield what keeps a login from being all that is needed."""
    login = result.login
    if result.left is not None:
        yield (
            f"the access token {result.left.name!r} of the earlier login still works. Revoke it at "
            f"{login.url}/profile."
        )
    if result.still_stored and result.replaced is not None:
        yield (
            f"the token of the earlier login could not be removed from {_place(result.replaced)}. "
            "Remove it there."
        )
    for place in _winning_places(login):
        yield f"{place} wins over this login. Remove it to use the login."


def _winning_places(login: SavedLogin) -> Iterator[str]:
    """Yield the places whose server or credentials commands use instead of a login's."""
    from asynccvat.settings import PageUrl, load_settings  # noqa: PLC0415 - `--help` stays light

    try:
        settings = load_settings(keyring=False)
    except asynccvat.ConfigError:
        return  # the next command says what is wrong
    places = dict(settings.places)
    if PageUrl.parse(settings.url).server != PageUrl.parse(login.url).server:
        yield places["url"]
    for name in ("token", "username"):
        if name in places and repr(login.name) not in places[name]:
            yield places[name]
