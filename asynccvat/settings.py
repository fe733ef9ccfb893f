"""Which server, as whom: from the command line's flags, the environment and YAML files.

Flags win over the environment, the environment over the file, the file over the user's profile.
Every mistake is a `ConfigError` that names its place and the remedy. Asking for a missing password
is left to `cli`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import yaml

from asynccvat.core.environment import CONFIG_VARIABLE, VARIABLES, from_environment
from asynccvat.core.urls import ServerUrl
from asynccvat.errors import ConfigError

DEFAULT_FILES = ("config/server.yaml", "server.yaml")
"""Looked for in the working directory, in this order, where no file is named."""
PROFILE = "profile.yaml"
"""The user's own file, in the folder where the system keeps settings."""

_FLAGS = {
    "url": "--url",
    "username": "--username",
    "password": "--password",
    "token": "--token",
    "organization": "--org",
    "project_id": "--project-id",
    "insecure": "--insecure",
    "ca_bundle": "--ca-bundle",
}
_KEYS = {**{name: name for name in _FLAGS}, "access_token": "token"}


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
        config: The file that was read, None for none.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    organization: str | None = None
    project_id: int | None = None
    verify: bool | Path = True
    config: Path | None = None

    @property
    def password_missing(self) -> bool:
        """Whether there is a user without a password, and no token."""
        return self.username is not None and self.password is None


@dataclass(frozen=True, slots=True)
class _Value:
    """A setting as text, and the place that it was found in."""

    text: str = field(repr=False)
    place: str


def load_settings(
    *,
    url: str | None = None,
    username: str | None = None,
    password: str | None = None,
    token: str | None = None,
    organization: str | None = None,
    project_id: int | None = None,
    insecure: bool = False,
    ca_bundle: Path | None = None,
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    profile: Path | None = None,
) -> Settings:
    """Put the settings together; blocks while files are read.

    A token and a user name exclude each other: the one that is named higher up wins, a token
    where both are named in one place. User name and password may come from different places.

    Args:
        url: `--url`, and so on: None is "not given".
        username: `--username`.
        password: `--password`.
        token: `--token`.
        organization: `--org`.
        project_id: `--project-id`.
        insecure: `--insecure`.
        ca_bundle: `--ca-bundle`.
        config: `--config`: the YAML file; else the environment's, else the default ones.
        environment: The process's own by default.
        directory: Where the default files are looked for; the working directory by default.
        profile: The user's own file, `profile.yaml` in `~/.config/asynccvat` or where else the
            system keeps settings by default. It counts for the server that it names: where
            another URL is given above it, nothing in it does.

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
        "project_id": None if project_id is None else str(project_id),
        "insecure": "true" if insecure else None,
        "ca_bundle": None if ca_bundle is None else str(ca_bundle),
    }
    for name in ("username", "password", "token"):
        if flags[name] == "":
            raise ConfigError(
                f"{_FLAGS[name]} is empty: give a value (is a variable of the shell not set?), or "
                "leave it away"
            )
    file = _config_file(config, variables, directory or Path())
    layers = [
        {name: _Value(text, _FLAGS[name]) for name, text in flags.items() if text is not None},
        {
            name: _Value(text, f"the environment's {VARIABLES[name]}")
            for name, text in from_environment(variables).items()
        },
        {} if file is None else dict(_read_file(file)),
    ]
    layers.append(_of_profile(profile or _default_profile(), layers))
    return _settings(layers, file)


def _settings(layers: list[dict[str, _Value]], file: Path | None) -> Settings:
    _choose_credentials(layers)
    values: dict[str, _Value] = {}
    for layer in reversed(layers):
        values |= layer
    if "url" not in values:
        raise ConfigError(
            "no server is given: use --url, set CVAT_URL, or write `url:` into server.yaml"
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
        config=file,
    )


def _choose_credentials(layers: list[dict[str, _Value]]) -> None:
    """Drop what the highest place with credentials makes meaningless."""
    for layer in layers:
        # A password alone says nothing: it may be one half, or a leftover beside a token.
        if "token" in layer or "username" in layer:
            dropped = ("username", "password") if "token" in layer else ("token",)
            for every in layers:
                for name in dropped:
                    every.pop(name, None)
            return


def _check_url(value: _Value) -> None:
    try:
        ServerUrl.parse(value.text)
    except ConfigError as error:
        raise ConfigError(f"{value.place}: {error}") from None


def _project_id(value: _Value | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch(r"0*[1-9][0-9]{0,9}", value.text):
        raise ConfigError(
            f"{value.place}: {value.text!r} is no project id; give its number, as in the "
            "project's address /projects/5"
        )
    return int(value.text)


def _verify(layers: list[dict[str, _Value]]) -> bool | Path:
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


def _boolean(value: _Value) -> bool:
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


def _default_profile() -> Path:
    return platformdirs.user_config_path("asynccvat", appauthor=False) / PROFILE


def _of_profile(path: Path, above: list[dict[str, _Value]]) -> dict[str, _Value]:
    """What the profile says of the server at hand: its secrets are for that one alone."""
    if not path.is_file():
        return {}
    own = dict(_read_file(path))
    given = next((layer["url"] for layer in above if "url" in layer), None)
    if given is None:
        return own
    try:
        same = "url" in own and ServerUrl.parse(own["url"].text) == ServerUrl.parse(given.text)
    except ConfigError:
        # The one that is used is looked at where it counts.
        same = False
    return own if same else {}


def _read_file(path: Path) -> Iterator[tuple[str, _Value]]:
    """Yield the settings of a YAML file, as text and with their lines."""
    try:
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(
            f"the settings file {str(path)!r} cannot be read: {error.strerror}; check --config "
            f"and {CONFIG_VARIABLE}"
        ) from error
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: this is not a text file in UTF-8") from None
    except yaml.YAMLError as error:
        # Its own text would quote the lines around the mistake, secrets included.
        mark = getattr(error, "problem_mark", None)
        place = f"{path}, line {mark.line + 1}" if mark is not None else str(path)
        problem = getattr(error, "problem", None) or "it holds characters that YAML forbids"
        raise ConfigError(f"{place}: this is not YAML: {problem}") from None
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(
            f"{path}, line {root.start_mark.line + 1}: the file must hold lines like "
            "`url: https://cvat.example.com`"
        )
    seen: set[str] = set()
    for key, node in root.value:
        place = f"{path}, line {key.start_mark.line + 1}"
        name = _setting(key, place)
        if name in seen:
            raise ConfigError(f"{place}: {key.value!r} is set already; leave one away")
        seen.add(name)
        if not isinstance(node, yaml.ScalarNode):
            raise ConfigError(f"{place}: {key.value!r} must be a single value")
        # A key without a value, or null, is not set. The rest stays the text that was written:
        # a password of digits is no number.
        if node.tag != "tag:yaml.org,2002:null" and node.value:
            text = (
                str(path.parent / Path(node.value).expanduser())
                if name == "ca_bundle"
                else node.value
            )
            yield name, _Value(text, place)


def _setting(key: yaml.Node, place: str) -> str:
    text = key.value if isinstance(key, yaml.ScalarNode) else ""
    if text in _KEYS:
        return _KEYS[text]
    near = difflib.get_close_matches(text.lower(), _KEYS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"the settings are {', '.join(_FLAGS)}"
    raise ConfigError(f"{place}: there is no setting {text!r}; {hint}")
