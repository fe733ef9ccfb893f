"""Show who a client is at which server, and where the credentials come from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from asynccvat.cli import output
from asynccvat.cli.queries import record
from asynccvat.cli.shared_options import SharedOptions
from asynccvat.cli.text import printable

if TYPE_CHECKING:
    from asynccvat.models import AccessToken, Account
    from asynccvat.settings import Settings


def warn_of_readers(settings: Settings) -> None:
    """Warn of an address at which others can read what is sent."""
    if not settings.is_private:
        output.remark(
            f"warning: {settings.address} is not encrypted: anybody on the way can read the "
            "credentials. Give its https:// address if it has one."
        )


def as_json(account: Account, settings: Settings, proxy: str | None) -> dict[str, Any]:
    """Return an account as JSON types, with the places of all settings."""
    return {
        "url": account.url,
        "version": account.version,
        "user": account.user.username,
        "user_id": account.user.id,
        "organization": account.organization,
        "read_only": None if account.token is None else account.token.read_only,
        "token": None if account.token is None else record(account.token),
        "proxy": proxy,
        "settings": dict(settings.places),
    }


def write(account: Account) -> None:
    """Write an account to stdout: the server and the user, and the access token if there is one."""
    write_server(account)
    if account.token is not None:
        output.sentence(printable(described(account.token)))


def write_server(account: Account) -> None:
    """Write the server and the user to stdout."""
    where = f" in the organization {account.organization}" if account.organization else ""
    if account.organization == "":
        where = " in the personal workspace"
    output.sentence(
        printable(
            f"{account.url}: CVAT {account.version}, logged in as {account.user.username}{where}"
        )
    )


def described(token: AccessToken) -> str:
    """Describe an access token: its name, what it may do, and when it expires."""
    kind = "read-only" if token.read_only else "may read and write"
    return f"access token {token.name!r}: {kind}, {expiry(token.expiry_date)}"


def expiry(moment: datetime | None) -> str:
    """Return when a token expires, in words."""
    if moment is None:
        return "does not expire"
    verb = "expired" if moment <= datetime.now(UTC) else "expires"
    return f"{verb} on {moment.date().isoformat()}"


def remark_read_only(account: Account) -> None:
    """Say what a read-only token cannot do."""
    if account.token is not None and account.token.read_only:
        output.remark("The access token is read-only: it mirrors and downloads, but cannot upload.")


def origins(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting: its value, unless it is a secret, and its place."""
    for name, place in settings.places:
        value = getattr(settings, name, None) if name != "url" else settings.address
        shown = "" if name in ("password", "token") or value is None else f" {value or repr(value)}"
        yield f"{name}{shown}: from {place}"
    if settings.password_missing:
        yield "password: asked for on the terminal"


def refuse(shared: SharedOptions, verb: str, names: tuple[str, ...]) -> None:
    """Refuse options that every command has, and that mean nothing to this one.

    Raises:
        typer.BadParameter: One was given.
    """
    for name in names:
        if getattr(shared, name) is not None:
            raise typer.BadParameter(f"it is not for '{verb}'. Remove it.", param_hint=f"--{name}")
