"""`asynccvat whoami` and `check-connection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import asynccvat
from asynccvat.cli import accounts, output, queries
from asynccvat.cli.command import command
from asynccvat.cli.common_options import AsJson
from asynccvat.cli.exit_codes import ExitCode
from asynccvat.cli.queries import record
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import printable

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.models import Account, SavedLogin
    from asynccvat.settings import Settings


@command
def whoami(
    shared: SharedOptions,
    *,
    every: Annotated[
        bool, typer.Option("--all", help="List all saved logins; ask no server.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show the server and the user that commands work with, and the access token.

    For example:

    asynccvat whoami

    asynccvat whoami --all
    """
    if every:
        _list_logins(as_json=as_json)
        return ExitCode.DONE
    settings = shared.settings()
    account, proxy = _ask(settings)
    if as_json:
        output.write_json(accounts.as_json(account, settings, proxy))
        return ExitCode.DONE
    accounts.write(account)
    places = dict(settings.places)
    place = places.get("token") or places.get("username") or "the terminal"
    output.write(printable(f"credentials: from {place}"))
    return ExitCode.DONE


@command
def check_connection(shared: SharedOptions, *, as_json: AsJson = False) -> int:
    """Log in, and show the user, the server's version, and where each setting comes from.

    For example:

    asynccvat check-connection --url https://cvat.example.com -u ann
    """
    settings = shared.settings()
    if not as_json:
        for line in accounts.origins(settings):
            output.remark(printable(line))
    accounts.warn_of_readers(settings)
    account, proxy = _ask(settings, shows_proxy=not as_json)
    if as_json:
        output.write_json(accounts.as_json(account, settings, proxy))
        return ExitCode.DONE
    accounts.write(account)
    accounts.remark_read_only(account)
    return ExitCode.DONE


def _ask(settings: Settings, *, shows_proxy: bool = False) -> tuple[Account, str | None]:
    async def query(client: CvatClient) -> tuple[Account, str | None]:
        if client.proxy is not None and shows_proxy:
            output.remark(f"proxy: {client.proxy}")
        return await asynccvat.whoami(client), client.proxy

    return queries.ask(settings, query)


def _list_logins(*, as_json: bool) -> None:
    known = asynccvat.saved_logins()
    if as_json:
        rows = [record(login) | {"default": login.name == known.default} for login in known.logins]
        output.write_json(rows)
        return
    output.table(
        ("login", "default", "server", "user", "store", "token"),
        [
            (
                login.name,
                "yes" if login.name == known.default else "",
                login.url,
                login.username,
                login.store,
                _token(login),
            )
            for login in known.logins
        ],
        wraps=("login", "server", "token"),
    )
    if not known.logins:
        output.remark("There is no saved login. Save one with `asynccvat login`.")


def _token(login: SavedLogin) -> str:
    if login.token is None:
        return "the key of a login"
    kind = "read-only" if login.token.read_only else "may read and write"
    return f"{kind}, {accounts.expiry(login.token.expiry_date)}"
