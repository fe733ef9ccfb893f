"""Combine settings: options win over the environment, that over the YAML file, that over logins.

A mistake is a `ConfigError` that names its place and what to do. `yaml_file` reads the YAML file,
`logins` what `asynccvat login` and CVAT's own tools saved.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES, from_environment
from asynccvat.core.wire.urls import PageUrl, same_server
from asynccvat.errors import ConfigError, NoServerError
from asynccvat.settings.connection import ConnectionSettings, read_connection
from asynccvat.settings.destinations import FILE_NAME, recorded_server
from asynccvat.settings.values import FLAGS, SECRETS, TRUST, SettingValue

if TYPE_CHECKING:
    from asynccvat.settings.profiles import Profile, Profiles

DEFAULT_FILES = ("config/server.yaml", "server.yaml")
"""The files to look for in the working directory, in this order, if none is named."""

_CREDENTIALS = frozenset({"username", "token"})
"""The settings that identify the user; a password alone does not."""

_Layer = dict[str, SettingValue]


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

    A login also gives the organization and the certificates that it was made with, for its server
    only, where no other place names them.

    With a `destination`, its own `server.yaml` goes before the files of `DEFAULT_FILES`. And if no
    place names a server, the login for the server of its tasks goes before the default one.

    A file that is only found may come with a folder that somebody else made. So if it names the
    server, no secret of another place goes there. And only with its own server may it say how
    certificates are checked.

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
    places = _Saved(profiles, logins)
    chosen: Profile | SettingValue | None = None
    if profile is not None:
        chosen = _named_profile(profile, places, given)
        given |= chosen.access
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
        chosen = _missing(places, layers, destination)
    layers.append(_saved_layer(chosen, layers))
    _choose_credentials(layers)
    warnings = (*warnings, *_expiry(chosen, layers))
    if file is not None and found:
        _check_trust(layers, of_file, file)
    return _settings(layers, warnings)


def settings_of_one_place(values: _Layer, warnings: tuple[str, ...] = ()) -> Settings:
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


def _about_one_server(layers: list[_Layer]) -> list[_Layer]:
    """Empty the places that name another server than the highest place that names one."""
    servers = [layer["url"].text for layer in layers if "url" in layer]
    return [
        layer if "url" not in layer or same_server(layer["url"].text, servers[0]) else {}
        for layer in layers
    ]


def _of_file(file: Path | None) -> tuple[_Layer, tuple[str, ...]]:
    """Read the settings of the YAML file, and the warnings about it."""
    if file is None:
        return {}, ()
    # Most commands find all settings in the environment, and start faster without PyYAML.
    from asynccvat.settings.yaml_file import exposure, read_settings  # noqa: PLC0415 - see above

    settings = read_settings(file)
    warning = exposure(file, settings)
    return settings, () if warning is None else (warning,)


@dataclass(frozen=True, slots=True)
class _Saved:
    """The saved logins, which are read only if something is missing.

    Attributes:
        profiles: The file of profiles, None for that of CVAT's own tools.
        logins: The list of logins, None for that of the user.
    """

    profiles: Path | None
    logins: Path | None

    def read(self) -> Profiles:
        # Most commands need no logins, and start faster without platformdirs.
        from asynccvat.settings.logins import LoginFiles, read_saved  # noqa: PLC0415 - see above

        files = LoginFiles.of_user()
        if self.profiles is not None:
            files = LoginFiles(self.profiles, self.logins)
        return read_saved(files)


def saved_servers(profiles: Path | None = None) -> dict[str, str]:
    """Return the servers of the saved logins and profiles by their names. Blocks while it reads.

    Args:
        profiles: The file of profiles; that of CVAT's own tools by default.

    Raises:
        ConfigError: A file cannot be read, or others may read or write it.
    """
    saved = _Saved(profiles, None).read().saved
    return {name: profile.server.text for name, profile in saved.items()}


def _named_profile(name: str, places: _Saved, given: _Layer) -> Profile:
    """Return the login or profile with a name."""
    others = [FLAGS[other] for other in ("url", "username", "password", "token") if other in given]
    if others:
        raise ConfigError(
            f"--profile gives a server and a token, and excludes {', '.join(others)}. Remove "
            "--profile or the others."
        )
    return places.read().named(name)


def _missing(
    places: _Saved, above: list[_Layer], destination: Path | None
) -> Profile | SettingValue | None:
    """Return the login, or the server alone, that adds what is missing; else read nothing."""
    server = next((layer["url"] for layer in above if "url" in layer), None)
    known = any(_CREDENTIALS & layer.keys() for layer in above)
    if server is not None and known:
        return None
    profiles = places.read()
    if server is not None:
        return profiles.for_server(server.text)
    held = None if known or destination is None else recorded_server(destination)
    if held is not None and (fitting := profiles.for_destination(*held)) is not None:
        return fitting
    if not known and profiles.default is not None:
        return profiles.saved[profiles.default]
    return profiles.default_server


def _saved_layer(chosen: Profile | SettingValue | None, above: list[_Layer]) -> _Layer:
    """Return what a login, or the server alone, adds as the lowest place."""
    if chosen is None:
        return {}
    if isinstance(chosen, SettingValue):
        return {"url": chosen}
    if any("url" in layer for layer in above):
        # The server's address stays as it was written above.
        token = {} if any("token" in layer for layer in above) else {"token": chosen.read_token()}
        return token | dict(chosen.more)
    return chosen.settings


def _expiry(chosen: Profile | SettingValue | None, layers: list[_Layer]) -> Iterator[str]:
    """Yield a warning if the token of a login is used, and has expired or will do so soon."""
    if chosen is None or isinstance(chosen, SettingValue) or chosen.login is None:
        return
    warning = chosen.login.warning(datetime.now(UTC))
    if warning is not None and any("token" in layer for layer in layers):
        yield warning


def _check_trust(layers: list[_Layer], of_file: _Layer, file: Path) -> None:
    """Refuse to mix a file that was only found with what the user gave for another server.

    Raises:
        ConfigError: The file names the server for another place's secret. Or it weakens the check
            of certificates for a server that another place names.
    """
    values = _combined(layers)
    url = values.get("url")
    if url is None:
        return
    by_file = url is of_file.get("url")
    same = "url" in of_file and same_server(of_file["url"].text, url.text)
    for name in sorted(SECRETS & values.keys()):
        value = values[name]
        if by_file and value not in (of_file.get(name), layers[-1].get(name)):
            raise ConfigError(
                f"refusing to send the {name} of {value.place} to {url.text!r}: only {url.place} "
                "names that server, and it may come from somebody else. If you trust it, give "
                f"--config {shlex.quote(str(file))}, or name the server with --url."
            )
    for name in sorted(TRUST & of_file.keys()):
        value = of_file[name]
        together = {name} if name == "proxy" else TRUST - {"proxy"}
        deciding = next((layer for layer in layers if together & layer.keys()), None)
        weakens = name != "insecure" or _boolean(value)
        if weakens and not same and deciding is of_file:
            raise ConfigError(
                f"{value.place}: `{name}` is for the server that this file names, not for that of "
                f"{url.place}. Give {FLAGS[name]} instead, or --config {shlex.quote(str(file))}."
            )


def _combined(layers: list[_Layer]) -> _Layer:
    """Return each setting as the highest place has it."""
    values: _Layer = {}
    for layer in reversed(layers):
        values |= layer
    return values


def _settings(layers: list[_Layer], warnings: tuple[str, ...]) -> Settings:
    values = _combined(layers)
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


def _choose_credentials(layers: list[_Layer]) -> None:
    """Drop the token or the user name, whichever the highest place excludes."""
    for layer in layers:
        # A password alone decides nothing: it may belong to a user name of another place.
        if _CREDENTIALS & layer.keys():
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


def _verify(layers: list[_Layer]) -> bool | Path:
    """Return how to check certificates: the highest place that sets anything decides."""
    for layer in layers:
        insecure = "insecure" in layer and _boolean(layer["insecure"])
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


def _boolean(value: SettingValue) -> bool:
    text = value.text.lower()
    if text not in ("true", "yes", "on", "false", "no", "off"):
        raise ConfigError(
            f"{value.place}: {value.text!r} is neither true nor false. Write one of these."
        )
    return text in ("true", "yes", "on")


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
