"""The options that every command shares: which server, as whom, how much is said.

They may stand before the command or after it; what stands after it wins. Reading the
environment and files, and what wins over what, is left to `asynccvat.settings`.
"""

from __future__ import annotations

import functools
import getpass
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

import asynccvat
from asynccvat.cli import output

if TYPE_CHECKING:
    from asynccvat import CvatClient
    from asynccvat.settings import Settings
    from asynccvat.settings.values import SettingValue

_PANEL = "Server and account"

Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="The server's address (environment: CVAT_URL).", rich_help_panel=_PANEL
    ),
]
Username = Annotated[
    str | None,
    typer.Option(
        "--username",
        "-u",
        help="User to log in as (environment: CVAT_USERNAME).",
        rich_help_panel=_PANEL,
    ),
]
Password = Annotated[
    str | None,
    typer.Option(
        "--password",
        "-p",
        help="The user's password; asked for on a terminal (environment: CVAT_PASSWORD).",
        rich_help_panel=_PANEL,
    ),
]
PasswordStdin = Annotated[
    bool,
    typer.Option(
        "--password-stdin",
        help="Read the password from the first line of stdin.",
        rich_help_panel=_PANEL,
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        help="A personal access token, not user and password (environment: CVAT_ACCESS_TOKEN).",
        rich_help_panel=_PANEL,
    ),
]
Organization = Annotated[
    str | None,
    typer.Option(
        "--org",
        help="Slug of the organization to work in, '' for the personal workspace (environment: "
        "CVAT_ORGANIZATION).",
        rich_help_panel=_PANEL,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="YAML file with these settings (environment: CVAT_SERVER_CONFIG).",
        rich_help_panel=_PANEL,
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="Server and token that 'cvat-cli profile create' saved, without it the default ones.",
        rich_help_panel=_PANEL,
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Do not verify the server's certificate.", rich_help_panel=_PANEL
    ),
]
CaBundle = Annotated[
    Path | None,
    typer.Option(
        "--ca-bundle",
        help="PEM file of the authorities to trust instead of the system's.",
        rich_help_panel=_PANEL,
    ),
]
Verbosity = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        help="Say more: retries, and the causes of errors.",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """The shared options as they were given; None, False or 0 is "not given"."""

    url: Url = None
    username: Username = None
    password: Password = None
    password_stdin: PasswordStdin = False
    token: Token = None
    organization: Organization = None
    config: Config = None
    profile: Profile = None
    insecure: Insecure = False
    ca_bundle: CaBundle = None
    verbosity: Verbosity = 0

    def __repr__(self) -> str:
        # Secrets must not come out with a printed value.
        return f"Connection(url={self.url!r}, username={self.username!r})"

    @property
    def verbose(self) -> bool:
        """Whether more is to be said than usual."""
        return self.verbosity > 0

    def settings(self) -> Settings:
        """These options, the environment and files put together; call it once in a command.

        Warnings go to stderr. What nothing gives is asked for later, by `client_for`.

        Raises:
            ConfigError: A setting is missing or unusable.
        """
        settings = self.settings_for({}, self.given_password())
        for warning in settings.warnings:
            output.remark(f"warning: {warning}")
        return settings

    def settings_for(self, named: Mapping[str, SettingValue], password: str | None) -> Settings:
        """The same for work that itself says something of its server; warnings are not shown.

        Args:
            named: What it says; counts less than these options, and more than all else.
            password: What `given_password` returned.

        Raises:
            ConfigError: A setting is missing or unusable.
        """
        from asynccvat.settings import load_settings  # noqa: PLC0415 - `--help` stays light

        return load_settings(
            named=named,
            url=self.url,
            username=self.username,
            password=password,
            token=self.token,
            organization=self.organization,
            insecure=self.insecure,
            ca_bundle=self.ca_bundle,
            config=self.config,
            profile=self.profile,
        )

    def given_password(self) -> str | None:
        """The password that an option gives; call it once, as it may read stdin.

        Raises:
            ConfigError: Stdin has none, or options contradict each other.
        """
        if not self.password_stdin:
            return self.password
        others = ("password", "token", "profile")
        for other in (name for name in others if getattr(self, name) is not None):
            raise asynccvat.ConfigError(
                f"--password-stdin and --{other} exclude each other; leave one away"
            )
        if sys.stdin.isatty():
            return ask_password("Password: ")
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise asynccvat.ConfigError(
                "--password-stdin found no password: write it to the first line of stdin, like "
                "`asynccvat ... --password-stdin < password.txt`"
            )
        return password

    def overridden_by(self, other: Connection) -> Connection:
        """These options with those that `other` gives put over them."""
        # An empty text is given, too: as a shell variable that is not set, which has to be told.
        given = {
            item.name: value
            for item in fields(other)
            if (value := getattr(other, item.name)) or value == ""
        }
        return replace(self, **given)


@dataclass(slots=True)
class Session:
    """One call of the command line: what `main` still knows after a command failed."""

    connection: Connection = field(default_factory=Connection)


def client_for(settings: Settings, *, retries: int | None = None) -> CvatClient:
    """A client for the server and the user of the settings.

    User name and password that nothing gave are asked for where there is a terminal to ask, so
    let everything else be checked before. `retries` is how often a call is tried again, if that
    is not the client's own default.

    Raises:
        ConfigError: There are no credentials, or something about them cannot be used.
    """
    settings = complete(settings)
    return asynccvat.CvatClient(
        settings.url,
        username=settings.username,
        password=settings.password,
        token=settings.token,
        organization=settings.organization,
        verify=settings.verify,
        policy=None if retries is None else asynccvat.RetryPolicy(attempts=retries),
    )


def complete(settings: Settings) -> Settings:
    """Settings with user name and password, which are asked for where nothing gave them.

    Raises:
        ConfigError: There is no terminal to ask, or no answer.
    """
    if settings.username is None and settings.token is None:
        settings = replace(settings, username=ask_username(settings.url))
    if settings.password_missing:
        question = f"Password of {settings.username} at {settings.url}: "
        settings = replace(settings, password=ask_password(question))
    return settings


def ask_username(url: str) -> str:
    """Ask for a user name.

    Raises:
        ConfigError: There is no terminal, or nothing was typed.
    """
    if _on_a_terminal():
        sys.stderr.write(f"User name at {url}: ")
        sys.stderr.flush()
        answer = sys.stdin.readline().strip()
        if answer:
            return answer
    raise asynccvat.ConfigError(
        "no credentials are given: use --token, --profile, or --username (and --password), or set "
        "CVAT_ACCESS_TOKEN, or CVAT_USERNAME and CVAT_PASSWORD"
    )


def ask_password(question: str) -> str:
    """Ask for a password without showing it.

    Raises:
        ConfigError: There is no terminal, or nothing was typed.
    """
    if _on_a_terminal():
        answer = getpass.getpass(question, stream=sys.stderr)
        if answer:
            return answer
    raise asynccvat.ConfigError(
        "no password is given: use --password-stdin or --password, set CVAT_PASSWORD, or run it "
        "on a terminal, where it is asked for"
    )


def _on_a_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def connected(command: Callable[..., int]) -> Callable[..., None]:
    """Give a command the shared options; it is called with one `Connection` before its own.

    What it returns is the exit code. Of a group it is what happens without a command of the
    group; one that follows is given the shared options that stand before it. typer reads a
    command's options from its signature, so the shared ones are written into that.
    """
    shared = shared_options()

    @functools.wraps(command)
    def wrapper(ctx: typer.Context, **options: Any) -> None:
        session = ctx.ensure_object(Session)
        given = Connection(**{item.name: options.pop(item.name) for item in shared})
        session.connection = session.connection.overridden_by(given)
        if ctx.invoked_subcommand is not None:
            _refuse_options_of_the_group(ctx, [item.name for item in own])
            return
        raise typer.Exit(command(session.connection, **options))

    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    sign(wrapper, [context, *own, *shared])
    return wrapper


def _refuse_options_of_the_group(ctx: typer.Context, names: list[str]) -> None:
    """They would mean nothing to the command that follows, which may remove things."""
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(
                f"it is not for '{ctx.invoked_subcommand}': put that command's own options after "
                "it",
                param_hint=parameter.opts[0],
            )


def shared_options() -> list[inspect.Parameter]:
    """The fields of `Connection` as parameters of a command."""
    hints = get_type_hints(Connection, include_extras=True)
    return [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=item.default,
            annotation=hints[item.name],
        )
        for item in fields(Connection)
    ]


def sign(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> None:
    """Let `inspect`, and so typer, see these parameters, by keyword, in a function."""
    by_keyword = [item.replace(kind=inspect.Parameter.KEYWORD_ONLY) for item in parameters]
    function.__signature__ = inspect.Signature(by_keyword)  # type: ignore[attr-defined]  # a hook
    function.__annotations__ = {item.name: item.annotation for item in by_keyword}
