"""The options that every command has: server, account, verbosity.

They may stand before the command or after it; the value after it wins. `asynccvat.settings`
combines them with the environment and with settings files.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import asynccvat
from asynccvat.cli import output
from asynccvat.cli.credentials import ask_password

if TYPE_CHECKING:
    from asynccvat.settings import Settings, SettingValue


def _option(*flags: str, help: str, **more: Any) -> Any:  # noqa: A002 - typer's own word
    return typer.Option(*flags, help=help, rich_help_panel="Server and account", **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOptions:
    """The options that every command has, as they were given.

    None, False and 0 mean that an option was not given.
    """

    url: Annotated[
        str | None, _option("--url", help="The server's address (environment: CVAT_URL).")
    ] = None
    username: Annotated[
        str | None,
        _option("--username", "-u", help="User to log in as (environment: CVAT_USERNAME)."),
    ] = None
    password: Annotated[
        str | None,
        _option(
            "--password",
            "-p",
            help="The user's password; without it, a terminal asks (environment: CVAT_PASSWORD).",
        ),
    ] = None
    password_stdin: Annotated[
        bool, _option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False
    token: Annotated[
        str | None,
        _option(
            "--token",
            help="Personal access token instead of user and password (environment: "
            "CVAT_ACCESS_TOKEN).",
        ),
    ] = None
    organization: Annotated[
        str | None,
        _option(
            "--org",
            help="Slug of the organization to work in; '' for the personal workspace "
            "(environment: CVAT_ORGANIZATION).",
        ),
    ] = None
    config: Annotated[
        Path | None,
        _option(
            "--config",
            "-c",
            help="YAML file with these settings (environment: CVAT_SERVER_CONFIG).",
        ),
    ] = None
    profile: Annotated[
        str | None,
        _option(
            "--profile",
            metavar="NAME",
            help="Server and token saved by 'asynccvat login' or 'cvat-cli profile create'; "
            "without it, the default login.",
        ),
    ] = None
    insecure: Annotated[
        bool, _option("--insecure", help="Do not verify the server's certificate.")
    ] = False
    ca_bundle: Annotated[
        Path | None,
        _option(
            "--ca-bundle",
            help="PEM file of the certificate authorities to trust instead of the system's.",
        ),
    ] = None
    headers: Annotated[
        list[str] | None,
        _option(
            "--header",
            metavar="'NAME: VALUE'",
            help="Header that a gateway before the server wants; may be repeated (environment: "
            "CVAT_HEADERS, one a line).",
        ),
    ] = None
    client_cert: Annotated[
        Path | None,
        _option(
            "--client-cert",
            help="PEM file of a client certificate, for a gateway that wants one (environment: "
            "CVAT_CLIENT_CERT).",
        ),
    ] = None
    client_key: Annotated[
        Path | None,
        _option(
            "--client-key",
            help="PEM file of its key, unless the certificate's file holds it (environment: "
            "CVAT_CLIENT_KEY).",
        ),
    ] = None
    proxy: Annotated[
        str | None,
        _option(
            "--proxy",
            metavar="URL",
            help="Proxy to go through, instead of that of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY.",
        ),
    ] = None
    verbosity: Annotated[
        int,
        _option(
            "--verbose",
            "-v",
            count=True,
            show_default=False,
            help="Also show each task, retries and the causes of errors.",
        ),
    ] = 0
    pasted: tuple[str, ...] = field(default=(), metadata={"not an option": True})
    """The servers of pasted addresses of tasks and projects: they must be the one that is used."""

    def __repr__(self) -> str:
        # Secrets must not come out with a printed value.
        return f"SharedOptions(url={self.url!r}, username={self.username!r})"

    @property
    def verbose(self) -> bool:
        """Whether retries and the causes of errors are shown."""
        return self.verbosity > 0

    def settings(self, destination: Path | None = None) -> Settings:
        """Combine these options with the environment and settings files; call it once.

        Warnings go to stderr. `client_for` asks for a user name or password that is missing.

        Args:
            destination: The folder that the command works on, None for none.

        Raises:
            ConfigError: A setting is missing or unusable.
        """
        settings = self.settings_for({}, self.given_password(), destination=destination)
        for warning in settings.warnings:
            output.remark(f"warning: {warning}")
        return settings

    def settings_for(
        self,
        named: Mapping[str, SettingValue],
        password: str | None,
        *,
        destination: Path | None = None,
        saved: bool = True,
        keyring: bool = True,
    ) -> Settings:
        """Return the settings for a step of a run file, which may name a server itself.

        Warnings are not shown.

        Args:
            named: What the step names. These options win over it; it wins over all else.
            password: What `given_password` returned.
            destination: The folder that the command works on, None for none.
            saved: Whether saved logins are used.
            keyring: Whether the system's keyring may be opened.

        Raises:
            ConfigError: A setting is missing or unusable.
        """
        from asynccvat.settings import load_settings  # noqa: PLC0415 - `--help` stays light

        settings = load_settings(
            named=named,
            url=self.url,
            username=self.username,
            password=password,
            token=self.token,
            organization=self.organization,
            insecure=self.insecure,
            ca_bundle=self.ca_bundle,
            headers=self.headers or (),
            client_cert=self.client_cert,
            client_key=self.client_key,
            proxy=self.proxy,
            config=self.config,
            profile=self.profile,
            destination=destination,
            saved=saved,
            keyring=keyring,
        )
        self.check_pasted(settings)
        return settings

    def check_pasted(self, settings: Settings) -> None:
        """Refuse ids that were pasted from another server: the same ids mean other tasks here.

        Raises:
            ConfigError: An address is of another server.
        """
        from asynccvat.settings import PageUrl  # noqa: PLC0415 - `--help` stays light

        server = PageUrl.parse(settings.url).server
        for text in self.pasted:
            other = PageUrl.parse(text).server
            if other != server:
                raise asynccvat.ConfigError(
                    f"the pasted address is of {other.address}, but {dict(settings.places)['url']} "
                    f"names {server.address}. Give --url {other.address} if that server is meant."
                )

    def given_password(self) -> str | None:
        """Return the password that an option gives; call it once, since it may read stdin.

        Raises:
            ConfigError: Stdin has no password, or options contradict each other.
        """
        if not self.password_stdin:
            return self.password
        others = ("password", "token", "profile")
        for other in (name for name in others if getattr(self, name) is not None):
            raise asynccvat.ConfigError(
                f"--password-stdin and --{other} exclude each other. Remove one of them."
            )
        if sys.stdin.isatty():
            return ask_password("Password: ")
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise asynccvat.ConfigError(
                "--password-stdin found no password. Write it to the first line of stdin, like "
                "'asynccvat ... --password-stdin < password.txt'"
            )
        return password

    def overridden_by(self, other: SharedOptions) -> SharedOptions:
        """Return these options, replaced by those that `other` has."""
        # An empty text counts as given: it is an unset shell variable, which must be reported.
        given = {
            item.name: value
            for item in fields(other)
            if (value := getattr(other, item.name)) or value == ""
        }
        return replace(self, **given)
