"""What wins over what: flags over the environment, that over the YAML file, that over profiles.

Every mistake is a `ConfigError` that names its place and the remedy. Asking for a missing password
is left to `cli`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES, from_environment
from asynccvat.core.urls import ServerUrl
from asynccvat.errors import ConfigError
from asynccvat.settings.values import FLAGS, SettingValue

if TYPE_CHECKING:
    from asynccvat.settings.profiles import Profiles

DEFAULT_FILES = ("config/server.yaml", "server.yaml")
"""Looked for in the working directory, in this order, where no file is named."""

_CREDENTIALS = frozenset({"username", "token"})
"""What says who somebody is; a password alone does not."""

_Layer = dict[str, SettingValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a client needs to know. Secrets stay out of `repr`.

    Attributes:
        url: The server's address.
        username: User name or e-mail address, None with a token.
        password: None where it has to be asked for, and with a token.
        token: A personal access token, None with a user name.
        organization: The organization's short name, None for none.
        project_id: The project to work on where a command names none.
        verify: What to check TLS certificates against: True for the system's authorities, a
            CA bundle, or False for nothing.
        warnings: What is to be told besides: a file of secrets that others can read.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    organization: str | None = None
    project_id: int | None = None
    verify: bool | Path = True
    warnings: tuple[str, ...] = ()

    @property
    def password_missing(self) -> bool:
        """Whether there is a user without a password, and no token."""
        return self.username is not None and self.password is None


def load_settings(
    *,
    url: str | None = None,
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
    organization: str | None = None,
    insecure: bool = False,
    ca_bundle: Path | None = None,
    config: Path | None = None,
    profile: str | None = None,
    named: Mapping[str, SettingValue] | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    profiles: Path | None = None,
) -> Settings:
    """Put the settings together; blocks while files are read.

    A token and a user name exclude each other: the one that is named higher up wins, a token
    where both are named in one place. User name and password may come from different places.

    Profiles are those that `cvat-cli profile create` saved. A named one counts as flags: its
    server, its token. Without one, and where nothing above says who the user is, the default
    profile does, or the one for the server that is named above. Where all that is missing is the
    server, `cvat-cli config default-server` gives it.

    Args:
        url: `--url`, and so on: None is "not given".
        username: `--username`.
        password: `--password`.
        token: `--token`.
        organization: `--org`.
        insecure: `--insecure`.
        ca_bundle: `--ca-bundle`.
        config: `--config`: the YAML file; else the environment's, else the default ones.
        profile: `--profile`: the name of a saved profile.
        named: What the work itself says of its server, as a step of a run file does. It counts
            less than flags and more than the rest. Where it names a server, whatever else is
            known of another one says nothing of this one: no secret goes to a server that it
            was not meant for.
        environment: The process's own by default.
        directory: Where the default files are looked for; the working directory by default.
        profiles: The file of saved profiles; where CVAT's own tools keep it by default. It is
            read only where it counts.

    Raises:
        ConfigError: A setting is missing, unknown or unusable; the message says where and what
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
    }
    for flag, text in (
        ("--username", username),
        ("--password", password),
        ("--token", token),
        ("--profile", profile),
    ):
        if text == "":
            raise ConfigError(
                f"{flag} is empty: give a value (is a variable of the shell not set?), or leave it "
                "away"
            )
    given = {
        name: SettingValue(text, FLAGS[name]) for name, text in flags.items() if text is not None
    }
    if profile is not None:
        given |= _named_profile(profile, profiles, given)
    file = _config_file(config, variables, directory or Path())
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
    layers.append(_from_profiles(profiles, layers))
    return _settings(layers, warnings)


def _about_one_server(layers: list[_Layer]) -> list[_Layer]:
    """Without the places that name another server than the highest that names one."""
    servers = [layer["url"].text.rstrip("/") if "url" in layer else None for layer in layers]
    chosen = next((server for server in servers if server is not None), None)
    return [
        layer if server in (None, chosen) else {}
        for layer, server in zip(layers, servers, strict=True)
    ]


def _of_file(file: Path | None) -> tuple[_Layer, tuple[str, ...]]:
    """What the YAML file sets, and what there is to warn of."""
    if file is None:
        return {}, ()
    # Most commands find all they need in the environment: they need not wait for a YAML reader.
    from asynccvat.settings.yaml_file import exposure, read_settings  # noqa: PLC0415 - as said

    settings = read_settings(file)
    warning = exposure(file, settings)
    return settings, () if warning is None else (warning,)


def _saved(path: Path | None) -> Profiles:
    """The saved profiles; where CVAT's own tools keep them if no other place is given."""
    from asynccvat.settings import profiles  # noqa: PLC0415 - as the YAML reader

    return profiles.read_profiles(path or profiles.profiles_path())


def _named_profile(name: str, saved: Path | None, given: _Layer) -> _Layer:
    """What a profile that is asked for by its name sets."""
    others = [FLAGS[other] for other in ("url", "username", "password", "token") if other in given]
    if others:
        raise ConfigError(
            f"--profile names a server and a token, and so do not go with it: {', '.join(others)}; "
            "leave the one or the other away"
        )
    return _saved(saved).named(name).settings


def _from_profiles(saved: Path | None, above: list[_Layer]) -> _Layer:
    """What the saved profiles add to what is known from above; most often they need no reading."""
    server = next((layer["url"] for layer in above if "url" in layer), None)
    known = any(_CREDENTIALS & layer.keys() for layer in above)
    if server is not None and known:
        return {}
    profiles = _saved(saved)
    if server is not None:
        profile = profiles.for_server(server.text)
        # The server stays the one that was named, as it was written.
        return {} if profile is None else {"token": profile.token}
    if not known and profiles.default is not None:
        return profiles.saved[profiles.default].settings
    return {} if profiles.default_server is None else {"url": profiles.default_server}


def _settings(layers: list[_Layer], warnings: tuple[str, ...]) -> Settings:
    _choose_credentials(layers)
    values: _Layer = {}
    for layer in reversed(layers):
        values |= layer
    if "url" not in values:
        raise ConfigError(
            "no server is given: use --url or --profile, set CVAT_URL, or write `url:` into "
            "server.yaml"
        )
    _check_url(values["url"])
    texts = {name: value.text for name, value in values.items()}
    if "password" in texts and "username" not in texts:
        raise ConfigError(
            f"{values['password'].place} gives a password, and nothing a user: use --username, "
            "set CVAT_USERNAME, or write `username:` into server.yaml"
        )
    return Settings(
        url=texts["url"],
        username=texts.get("username"),
        password=texts.get("password"),
        token=texts.get("token"),
        organization=texts.get("organization"),
        project_id=_project_id(values.get("project_id")),
        verify=_verify(layers),
        warnings=warnings,
    )


def _choose_credentials(layers: list[_Layer]) -> None:
    """Drop what the highest place with credentials makes meaningless."""
    for layer in layers:
        # A password alone may be one half, or a leftover beside a token.
        if _CREDENTIALS & layer.keys():
            dropped = ("username", "password") if "token" in layer else ("token",)
            for every in layers:
                for name in dropped:
                    every.pop(name, None)
            return


def _check_url(value: SettingValue) -> None:
    try:
        ServerUrl.parse(value.text)
    except ConfigError as error:
        raise ConfigError(f"{value.place}: {error}") from None


def _project_id(value: SettingValue | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"0*[1-9][0-9]{0,9}", value.text):
        raise ConfigError(
            f"{value.place}: {value.text!r} is no project id; give its number, as in the "
            "project's address /projects/5"
        )
    return int(value.text)


def _verify(layers: list[_Layer]) -> bool | Path:
    """The highest place that says anything of certificates decides."""
    for layer in layers:
        insecure = "insecure" in layer and _boolean(layer["insecure"])
        bundle = layer.get("ca_bundle")
        if insecure and bundle is not None:
            raise ConfigError(
                f"{bundle.place}: a CA bundle to check certificates against and `insecure` to "
                "check none exclude each other; leave one away"
            )
        if bundle is not None:
            return Path(bundle.text)
        if "insecure" in layer:
            return not insecure
    return True


def _boolean(value: SettingValue) -> bool:
    text = value.text.lower()
    if text not in ("true", "yes", "on", "false", "no", "off"):
        raise ConfigError(f"{value.place}: {value.text!r} is neither true nor false")
    return text in ("true", "yes", "on")


def _config_file(
    config: Path | None, environment: Mapping[str, str], directory: Path
) -> Path | None:
    if config is not None:
        return config
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    return next(
        (path for name in DEFAULT_FILES if (path := directory / name).is_file()),
        None,
    )
