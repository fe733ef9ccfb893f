"""Combine settings: options win over the environment, that over the YAML file, that over logins.

A mistake is a `ConfigError` that names its place and what to do. `yaml_file` reads the YAML file,
`logins` what `asynccvat login` and CVAT's own tools saved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES, from_environment
from asynccvat.core.wire.urls import PageUrl, same_server
from asynccvat.errors import ConfigError, NoServerError
from asynccvat.settings.connection import ConnectionSettings, read_connection
from asynccvat.settings.destinations import FILE_NAME
from asynccvat.settings.saved_choice import (
    Saved,
    closed_token,
    expiry_warning,
    missing,
    named_profile,
    saved_layer,
)
from asynccvat.settings.trust import check_trust
from asynccvat.settings.values import CREDENTIALS, FLAGS, Layer, SettingValue, boolean, combined

if TYPE_CHECKING:
    from asynccvat.settings.profiles import Profile

DEFAULT_FILES = ("config/server.yaml", "server.yaml")
"""The files to look for in the working directory, in this order, if none is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The server and the credentials of a client. Secrets stay out of `repr`.

    Attributes:
        url: The server's address.
        username: User name or e-mail address, None with a token.
        password: The user's password. None with a token, or if no place gives one.
        token: A personal access token, None with a user name.
        organization: The organization's short name (slug), None for none.
        project_id: The project to use if a command names none.
        task_id: The task that the address names, if it is that of a task's page; else None.
        verify: True to check TLS certificates against the system's authorities, the path of a CA
            bundle, or False to check nothing.
        warnings: Messages for the user, about files of secrets that others can read.
        asking_refused: Why no secret may be asked for, None if it may.
        closed_token: The fingerprint of a login's token that stays in the keyring, which was not to
            be opened. None if there is a token, or other credentials.
        connection: How to get through gateways and proxies.
        places: The place of each setting that counts, by its name: option, variable, or file and
            line.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    organization: str | None = None
    project_id: int | None = None
    task_id: int | None = None
    verify: bool | Path = True
    warnings: tuple[str, ...] = ()
    asking_refused: str | None = None
    closed_token: str | None = None
    connection: ConnectionSettings = field(default_factory=ConnectionSettings)
    places: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def address(self) -> str:
        """The server's canonical address, with its scheme."""
        return PageUrl.parse(self.url).server.address

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent to the server."""
        return PageUrl.parse(self.url).server.is_private

    @property
    def password_missing(self) -> bool:
        """Whether there is a user name without a password."""
        return self.username is not None and self.password is None

    @property
    def fingerprint(self) -> str | None:
        """The beginning of a hash of the token, also of one in a keyring that stays closed.

        None without a token.
        """
        # Most commands need none, and start faster without it.
        from asynccvat.core.logins import fingerprint  # noqa: PLC0415 - see above

        return self.closed_token if self.token is None else fingerprint(self.token)

    @property
    def client_arguments(self) -> dict[str, Any]:
        """The arguments of `CvatClient` for these settings."""
        return {
            "url": self.url,
            "username": self.username,
            "password": self.password,
            "token": self.token,
            "organization": self.organization,
            "verify": self.verify,
            **self.connection.arguments,
        }


def load_settings(
    *,
    url: str | None = None,
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
    organization: str | None = None,
    insecure: bool = False,
    ca_bundle: Path | None = None,
    headers: Sequence[str] = (),
    client_cert: Path | None = None,
    client_key: Path | None = None,
    proxy: str | None = None,
    config: Path | None = None,
    profile: str | None = None,
    named: Mapping[str, SettingValue] | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    destination: Path | None = None,
    profiles: Path | None = None,
    logins: Path | None = None,
    saved: bool = True,
    keyring: bool = True,
) -> Settings:
    """Combine the settings of all places. Blocks while it reads files.

    Options win over `named`, that over the environment, that over the YAML file, that over saved
    logins. A token and a user name exclude each other: the higher place wins, and a token wins
    within one place. User name and password may come from different places.

    Saved logins are those of `asynccvat login`, and profiles of `cvat-cli profile create`. The
    server and token of one that is named count as options. Otherwise they matter only if something
    is missing:

    - User and token: the login for the server gives the token.
    - User, token and server: the default login gives server and token.
    - The server alone: `cvat-cli config default-server` gives it, or else the default login.

    A login also gives the organization, the certificates, the headers and the proxy that it was
    made with, for its server only, where no other place names them.

    With a `destination`, its own `server.yaml` goes before the files of `DEFAULT_FILES`. And if no
    place names a server, the login for the server of its tasks goes before the default one.

    A file that is only found may come with a folder that somebody else made. So if it names the
    server, no secret of another place goes there. And only with its own server may it say how
    certificates are checked, and only for its own secrets.

    Args:
        url: The option `--url`. For this and the following options, None means "not given".
        username: `--username`.
        password: `--password`.
        token: `--token`.
        organization: `--org`.
        insecure: `--insecure`.
        ca_bundle: `--ca-bundle`.
        headers: `--header`: lines like `Name: value`.
        client_cert: `--client-cert`.
        client_key: `--client-key`.
        proxy: `--proxy`.
        config: `--config`: the YAML file. By default the file that `CVAT_SERVER_CONFIG` names,
            else that of the destination, else the first of `DEFAULT_FILES` that exists.
        profile: `--profile`: the name of a saved login or profile.
        named: The settings that the work itself names, such as a step of a run file. If they
            include a server, places that name another server are ignored, so that no secret is
            sent to a server that it was not meant for.
        environment: The environment's variables; those of the process by default.
        directory: The folder of the default files; the working directory by default.
        destination: The folder that the command works on, None for none.
        profiles: The file of saved profiles; that of CVAT's own tools by default. It is read only
            if it can change the result.
        logins: The list of saved logins; that of the user by default, and none with `profiles`.
        saved: Whether saved logins are used at all.
        keyring: Whether the system's keyring may be opened, which may ask its user to unlock it.
            Without it, a login gives no token that is there.

    Returns:
        The settings. The server is always known; `password_missing` tells if a password is needed.

    Raises:
        ConfigError: A setting is missing, unknown or unusable. The message says where, and what
            to do, and repeats no secret.
    """
    variables = os.environ if environment is None else environment
    flags = {
        "url": url,
        "username": username,
        "password": password,
        "token": token,
        "organization": organization,
        "insecure": "true" if insecure else None,
        "ca_bundle": None if ca_bundle is None else str(ca_bundle),
        "headers": "\n".join(headers) if headers else None,
        "client_cert": None if client_cert is None else str(client_cert),
        "client_key": None if client_key is None else str(client_key),
        "proxy": proxy,
    }
    for flag, text in (
        ("--url", url),
        ("--username", username),
        ("--password", password),
        ("--token", token),
        ("--profile", profile),
        ("--proxy", proxy),
    ):
        if text == "":
            raise ConfigError(
                f"{flag} is empty. Give a value, or remove the option. Is a variable of the shell "
                "not set?"
            )
    given = {
        name: SettingValue(text, FLAGS[name]) for name, text in flags.items() if text is not None
    }
    places = Saved(profiles, logins, keyring)
    chosen: Profile | SettingValue | None = None
    if profile is not None:
        chosen = named_profile(profile, places, given)
        given = chosen.access | given
    file, found = _config_file(config, variables, directory or Path(), destination)
    of_file, warnings = _of_file(file)
    layers = [
        given,
        dict(named or {}),
        {
            name: SettingValue(text, f"the environment's {VARIABLES[name]}")
            for name, text in from_environment(variables).items()
        },
        of_file,
    ]
    if named and "url" in named:
        layers = _about_one_server(layers)
    if chosen is None and saved:
        chosen = missing(places, layers, destination)
    layers.append(saved_layer(chosen, layers))
    _choose_credentials(layers)
    warnings = (*warnings, *expiry_warning(chosen, layers))
    refusal = check_trust(layers, of_file, file) if file is not None and found else None
    settings = replace(_settings(layers, warnings), asking_refused=refusal)
    closed = None if keyring else closed_token(chosen, settings.token)
    return settings if closed is None else replace(settings, token=None, closed_token=closed)


def settings_of_one_place(values: Layer, warnings: tuple[str, ...] = ()) -> Settings:
    """Return the settings that one file or profile gives, without any other place.

    Args:
        values: What the place gives.
        warnings: Messages for the user about it.

    Raises:
        ConfigError: The server is missing, or a setting cannot be used.
    """
    layers = [dict(values)]
    _choose_credentials(layers)
    return _settings(layers, warnings)


def _about_one_server(layers: list[Layer]) -> list[Layer]:
    """Empty the places that name another server than the highest place that names one."""
    servers = [layer["url"].text for layer in layers if "url" in layer]
    return [
        layer if "url" not in layer or same_server(layer["url"].text, servers[0]) else {}
        for layer in layers
    ]


def _of_file(file: Path | None) -> tuple[Layer, tuple[str, ...]]:
    """Read the settings of the YAML file, and the warnings about it."""
    if file is None:
        return {}, ()
    # Most commands find all settings in the environment, and start faster without PyYAML.
    from asynccvat.settings.yaml_file import exposure, read_settings  # noqa: PLC0415 - see above

    settings = read_settings(file)
    warning = exposure(file, settings)
    return settings, () if warning is None else (warning,)


def _settings(layers: list[Layer], warnings: tuple[str, ...]) -> Settings:
    values = combined(layers)
    if "url" not in values:
        raise NoServerError(
            "no server is given. Run `asynccvat login`, use --url or --profile, set CVAT_URL, or "
            "write `url:` into server.yaml."
        )
    page = _page(values["url"])
    texts = {name: value.text for name, value in values.items()}
    if "password" in texts and "username" not in texts:
        raise ConfigError(
            f"{values['password'].place}: there is a password, but no user name. Use --username, "
            "set CVAT_USERNAME, or write `username:` into server.yaml."
        )
    return Settings(
        url=page.server.written,
        username=texts.get("username"),
        password=texts.get("password"),
        token=texts.get("token"),
        organization=texts.get("organization"),
        project_id=_project_id(values.get("project_id"), page, values["url"]),
        task_id=page.task_id,
        verify=_verify(layers),
        warnings=warnings,
        connection=read_connection(values),
        places=tuple((name, values[name].place) for name in FLAGS if name in values),
    )


def _choose_credentials(layers: list[Layer]) -> None:
    """Drop the token or the user name, whichever the highest place excludes."""
    for layer in layers:
        # A password alone decides nothing: it may belong to a user name of another place.
        if CREDENTIALS & layer.keys():
            dropped = ("username", "password") if "token" in layer else ("token",)
            for every in layers:
                for name in dropped:
                    every.pop(name, None)
            return


def _page(value: SettingValue) -> PageUrl:
    try:
        return PageUrl.parse(value.text)
    except ConfigError as error:
        raise ConfigError(f"{value.place}: {error}") from None


def _project_id(value: SettingValue | None, page: PageUrl, url: SettingValue) -> int | None:
    if value is None:
        return page.project_id
    if not re.fullmatch(r"0*[1-9][0-9]{0,9}", value.text):
        raise ConfigError(
            f"{value.place}: {value.text!r} is not a project's id. Give the number, as in the "
            "project's address /projects/5."
        )
    if page.project_id not in (None, int(value.text)):
        raise ConfigError(
            f"{value.place} names project {int(value.text)}, and the address of {url.place} "
            f"project {page.project_id}. Remove one of them."
        )
    return int(value.text)


def _verify(layers: list[Layer]) -> bool | Path:
    """Return how to check certificates: the highest place that sets anything decides."""
    for layer in layers:
        insecure = "insecure" in layer and boolean(layer["insecure"])
        bundle = layer.get("ca_bundle")
        if insecure and bundle is not None:
            raise ConfigError(
                f"{bundle.place}: a CA bundle checks certificates, `insecure` checks none, and so "
                "they exclude each other. Remove one of them."
            )
        if bundle is not None:
            return Path(bundle.text)
        if "insecure" in layer:
            return not insecure
    return True


def _config_file(
    config: Path | None,
    environment: Mapping[str, str],
    directory: Path,
    destination: Path | None,
) -> tuple[Path | None, bool]:
    """Return the YAML file, and whether it was only found rather than named by the user."""
    if config is not None:
        return config, False
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE]), False
    own = () if destination is None else (destination / FILE_NAME,)
    for path in (*own, *(directory / name for name in DEFAULT_FILES)):
        if path.is_file():
            return path, True
    return None, False
