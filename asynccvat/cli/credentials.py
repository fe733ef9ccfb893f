"""Make a client of settings; ask on the terminal for credentials that are missing."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

import asynccvat

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.settings import Settings


def client_for(settings: Settings, *, retries: int | None = None) -> CvatClient:
    """Make a client for the server and the user of the settings.

    If the settings lack a user name or a password, the terminal asks for it. So check everything
    else before.

    Args:
        settings: What `SharedOptions.settings` returned.
        retries: How often a call is tried again; None leaves the client's default.

    Raises:
        ConfigError: There are no credentials, or they cannot be used.
    """
    settings = complete(settings)
    return asynccvat.CvatClient(
        **settings.client_arguments,
        policy=None if retries is None else asynccvat.RetryPolicy(attempts=retries),
    )


def complete(settings: Settings) -> Settings:
    """Ask for the user name and the password that the settings lack.

    Raises:
        ConfigError: There is no terminal, nothing was typed, or nothing may be asked for.
    """
    if settings.token is None and settings.password is None:
        check_asking(settings)
    if settings.username is None and settings.token is None:
        settings = replace(settings, username=ask_username(settings.address))
    if settings.password_missing:
        question = f"Password of {settings.username} at {settings.address}: "
        settings = replace(settings, password=ask_password(question))
    return settings


def check_asking(settings: Settings) -> None:
    """Refuse to ask for a secret where a file that was only found decides who can read it.

    Raises:
        ConfigError: There is such a file.
    """
    if settings.asking_refused is not None and on_a_terminal():
        raise asynccvat.ConfigError(settings.asking_refused)


def ask_username(url: str) -> str:
    """Ask for a user name.

    Raises:
        ConfigError: There is no terminal, or nothing was typed.
    """
    if on_a_terminal():
        answer = ask(f"User name at {url}: ")
        if answer:
            return answer
    raise asynccvat.ConfigError(
        "no credentials are given. Run `asynccvat login`, use --profile or --username, or set "
        "CVAT_ACCESS_TOKEN, or CVAT_USERNAME and CVAT_PASSWORD."
    )


def ask(question: str) -> str:
    """Ask a question on the terminal, and return the answer without blanks around it.

    Raises:
        typer.Abort: The user ended the question, by Ctrl-C or Ctrl-D.
    """
    with _ended_by_the_user():
        sys.stderr.write(question)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
    return line.strip()


def ask_hidden(question: str) -> str:
    """Ask for a secret on the terminal without showing it; "" if nothing is typed.

    Raises:
        typer.Abort: The user ended the question, by Ctrl-C or Ctrl-D.
    """
    with _ended_by_the_user():
        return getpass.getpass(question, stream=sys.stderr)


@contextmanager
def _ended_by_the_user() -> Iterator[None]:
    try:
        yield
    except (EOFError, KeyboardInterrupt):
        sys.stderr.write("\n")  # the cursor is behind the question
        raise typer.Abort from None


def ask_password(question: str) -> str:
    """Ask for a password without showing it.

    Raises:
        ConfigError: There is no terminal, or nothing was typed.
    """
    if on_a_terminal():
        answer = ask_hidden(question)
        if answer:
            return answer
    raise asynccvat.ConfigError(
        "no password is given. Use --password-stdin or --password, set CVAT_PASSWORD, or run the "
        "command on a terminal, which asks for it"
    )


def on_a_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()
