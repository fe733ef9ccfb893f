"""`asynccvat logout`: forget a saved login, and revoke its token."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import asynccvat
from asynccvat.cli import accounts, credentials, output, queries, signals
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson
from asynccvat.cli.completion.values import completing, logins
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.queries import record
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import printable

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import LoginResult, SavedLogin
    from asynccvat.settings import Settings


@command
def logout(
    shared: SharedOptions,
    *,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="The login's name or its server's address; by default the default login.",
            show_default=False,
            autocompletion=completing(logins),
        ),
    ] = None,
    keep_token: Annotated[
        bool,
        typer.Option("--keep-token", help="Forget the login, and revoke nothing at the server."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Forget a saved login, and revoke the access token that it made.

    CVAT lets no access token revoke tokens, so the password is asked for. Other programs of the
    user stay logged in.

    For example:

    asynccvat logout

    asynccvat logout cvat.example.com --password-stdin
    """
    accounts.refuse(shared, "logout", ("username", "token", "profile"))
    known = asynccvat.saved_logins()
    ended = known.chosen(name or shared.url)
    settings = None if keep_token else _to_revoke(shared, ended)

    async def forget(client: CvatClient | None) -> LoginResult:
        return await asynccvat.logout(ended.name, client=client)

    if settings is None:
        result = signals.run(lambda: forget(None))
    else:
        try:
            result = queries.ask(settings, forget)
        except asynccvat.AsyncCvatError:
            output.remark(
                f"The login {ended.name!r} is kept. '--keep-token' forgets it without the server."
            )
            raise
    if as_json:
        output.write_json(record(result))
        return ExitCode.DONE
    output.sentence(printable(f"Logged out of {ended.url} (login {ended.name!r})."))
    if result.revoked is not None:
        output.remark(printable(f"The access token {result.revoked.name!r} is revoked."))
    elif ended.token is not None and not ended.is_expired(datetime.now(UTC)):
        why = ": to revoke it needs the password" if ended.made else ""
        output.remark(
            printable(
                f"The access token {ended.token.name!r} still works{why}. If nothing else uses it, "
                f"revoke it at {ended.url}/profile."
            )
        )
    return ExitCode.DONE


def _to_revoke(shared: SharedOptions, ended: SavedLogin) -> Settings | None:
    """Return the settings to revoke the token of a login with, None if it is not to be revoked."""
    token = ended.made_token
    if token is None or ended.is_expired(datetime.now(UTC)):
        return None
    password = shared.given_password()
    if password is None and credentials.on_a_terminal():
        password = credentials.ask_hidden(
            f"Password of {ended.username} at {ended.url}, to revoke the access token "
            f"{token.name!r} (Enter to leave it): "
        )
    if not password:
        return None
    with_login = replace(
        shared,
        url=ended.url,
        username=ended.username,
        insecure=shared.insecure or ended.insecure,
        **_connection(shared, ended),
    )
    return with_login.settings_for({}, password, saved=False)


def _connection(shared: SharedOptions, ended: SavedLogin) -> dict[str, Any]:
    """Return what the login was made with to reach its server, where no option says otherwise.

    Raises:
        ConfigError: The keyring or a file cannot be read.
    """
    from asynccvat.settings import read_gateway  # noqa: PLC0415 - `--help` stays light

    found: dict[str, Any] = {
        name: Path(path)
        for name in ("ca_bundle", "client_cert", "client_key")
        if (path := getattr(ended, name)) is not None
    }
    gateway = read_gateway(ended)
    if "headers" in gateway:
        found["headers"] = gateway["headers"].text.splitlines()
    if "proxy" in gateway:
        found["proxy"] = gateway["proxy"].text
    return {name: value for name, value in found.items() if not getattr(shared, name)}
