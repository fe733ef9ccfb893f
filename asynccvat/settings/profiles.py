"""Read and write the profiles of CVAT's own tools: servers and tokens, each pair with a name.

`cvat-cli profile create` saves them, and so does `asynccvat login`. The file's place, its content
and the checks of its permissions are those of `cvat_sdk.core.auth` (cvat-sdk 2.80, the first with
profiles). A profile's token is used for its own server only. `settings.logins` adds the logins
whose tokens are in the system's keyring.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import platformdirs

from asynccvat.core.login_secrets import (
    LoginSecrets,
    gateway_of,
    with_profile,
    without_profile,
)
from asynccvat.core.logins import SavedLogin
from asynccvat.core.wire.urls import same_server
from asynccvat.errors import ConfigError
from asynccvat.settings.private_files import read_private, write_private
from asynccvat.settings.values import SettingValue

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """A server and the token for it.

    Attributes:
        server: The server's address.
        read_secrets: Returns the token, and what a gateway before the server wants, as settings.
            Blocks.
        more: Other settings that were saved with it, for its server only.
        login: What is known of the login that saved it; None for a profile of CVAT's own tools.
    """

    server: SettingValue
    read_secrets: Callable[[], Mapping[str, SettingValue]]
    more: Mapping[str, SettingValue] = field(default_factory=dict)
    login: SavedLogin | None = None

    @property
    def access(self) -> dict[str, SettingValue]:
        """The server and the secrets for it, as settings. Blocks."""
        return {"url": self.server, **self.read_secrets()}

    @property
    def settings(self) -> dict[str, SettingValue]:
        """All of it as settings. Blocks."""
        return self.access | dict(self.more)

    @property
    def organization(self) -> str | None:
        """The organization that was saved with it, None for none."""
        return self.more["organization"].text if "organization" in self.more else None

    def is_for(self, url: str) -> bool:
        """Whether the profile's server has this address, in any spelling."""
        return same_server(self.server.text, url)


@dataclass(frozen=True, slots=True)
class Profiles:
    """All saved profiles.

    Attributes:
        path: The file.
        saved: The profiles by name.
        default: The name of the default profile, None for none.
        default_server: The server for credentials that come without a server, None for none.
    """

    path: Path
    saved: Mapping[str, Profile] = field(default_factory=dict)
    default: str | None = None
    default_server: SettingValue | None = None

    def named(self, name: str, flag: str = "--profile") -> Profile:
        """Return the profile with a name.

        Args:
            name: The name.
            flag: The option that gives it, for the message.

        Raises:
            ConfigError: There is no such profile.
        """
        if name in self.saved:
            return self.saved[name]
        near = difflib.get_close_matches(name, self.saved, n=1)
        if near:
            hint = f"Did you mean {near[0]!r}?"
        elif self.saved:
            hint = f"Choose from {', '.join(map(repr, sorted(self.saved)))}."
        else:
            hint = f"Save one with `asynccvat login --name {name}`."
        raise ConfigError(f"{flag}: there is no saved login or profile {name!r}. {hint}")

    def for_server(self, url: str) -> Profile | None:
        """Return the profile for a server, None if there is none; prefer the default profile.

        Raises:
            ConfigError: Several profiles are for the server, and none is the default.
        """
        fitting = [name for name, profile in self.saved.items() if profile.is_for(url)]
        if self.default in fitting:
            fitting = [self.default]
        if len(fitting) > 1:
            raise ConfigError(
                f"the saved profiles {' and '.join(map(repr, sorted(fitting)))} are for {url}. "
                "Choose one with --profile instead of the URL."
            )
        return self.saved[fitting[0]] if fitting else None

    def for_destination(self, url: str, organization: str | None) -> Profile | None:
        """Return the login for what a destination is of, None if none is clearly meant.

        Of several for the server, those of its organization count, and the default one wins.
        """
        fitting = [name for name, profile in self.saved.items() if profile.is_for(url)]
        own = [name for name in fitting if self.saved[name].organization == organization]
        fitting = own or fitting
        if self.default in fitting:
            fitting = [self.default]
        return self.saved[fitting[0]] if len(fitting) == 1 else None


def profiles_path() -> Path:
    """Return the path of the file in which CVAT's own tools save profiles."""
    return platformdirs.user_config_path("cvat-sdk", "CVAT.ai") / "auth.json"


def read_profiles(path: Path) -> Profiles:
    """Read the profiles of a file; no profiles if there is no file. Blocks while it reads.

    Raises:
        ConfigError: Others may read or write the file, it cannot be read, or CVAT's tools did not
            write it. The message says what to do, and repeats no secret.
    """
    document = read_document(path)
    if document is None:
        return Profiles(path)
    entries = document.get("profiles", {})
    if not isinstance(entries, dict):
        raise ConfigError(f"{path}: 'profiles' is not an object of profiles by name")
    saved = {name: _profile(path, name, entry) for name, entry in entries.items()}
    default = document.get("default_profile")
    server = document.get("default_server")
    return Profiles(
        path,
        saved,
        # CVAT's tools, too, ignore a default profile that does not exist.
        default if isinstance(default, str) and default in saved else None,
        SettingValue(_with_scheme(server), f"{path}, default_server")
        if isinstance(server, str) and server
        else None,
    )


def read_document(path: Path) -> dict[str, Any] | None:
    """Read the file's whole document; None if there is no file. Blocks while it reads.

    Raises:
        ConfigError: As for `read_profiles`.
    """
    try:
        content = read_private(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(
            f"{str(path)!r} cannot be read: {error.strerror}. Give --url and --token instead, or "
            "set HOME "
            "to a folder of this user."
        ) from error
    return _document(path, content)


def write_profile(
    path: Path, name: str, *, server: str, secrets: LoginSecrets, created: datetime
) -> None:
    """Add a profile, or replace the one of its name. All others stay. Blocks.

    Raises:
        ConfigError: The file cannot be used as it is, or cannot be written.
    """
    document = read_document(path) or {}
    new = with_profile(document, name, server=server, secrets=secrets, created=created)
    write_private(path, _encoded(new))


def remove_profile(path: Path, name: str) -> None:
    """Remove a profile, if it is there. All others stay. Blocks.

    Raises:
        ConfigError: The file cannot be used as it is, or cannot be written.
    """
    document = read_document(path)
    if document is not None and name in document.get("profiles", {}):
        write_private(path, _encoded(without_profile(document, name)))


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, sort_keys=True).encode()


def _document(path: Path, content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: this is not a text file in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}, line {error.lineno}: this is not JSON: {error.msg}") from None
    if not isinstance(document, dict) or "version" not in document:
        raise ConfigError(
            f"{path}: CVAT's tools did not write this, because there is no 'version'. Save the "
            "profiles again with `cvat-cli profile create`."
        )
    if document["version"] != _VERSION:
        raise ConfigError(
            f"{str(path)!r} has version {document['version']!r}, but asynccvat reads version "
            f"{_VERSION}. "
            "Give --url and --token instead."
        )
    return document


def _profile(path: Path, name: str, entry: object) -> Profile:
    def value(key: str) -> SettingValue:
        text = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(text, str) or not text:
            raise ConfigError(
                f"{path}: the profile {name!r} has no {key}. Save it again with "
                f"`cvat-cli profile create --force --name {name}`."
            )
        return SettingValue(text, f"{path}, profile {name!r}")

    server, token = value("server"), value("token")
    gateway = gateway_of(entry) if isinstance(entry, dict) else None
    if gateway is None:
        raise ConfigError(
            f"{path}: the headers or the proxy of the profile {name!r} are damaged. Save it again "
            f"with `asynccvat login --name {name}`."
        )
    secrets = secret_settings(LoginSecrets(token.text, gateway), token.place)
    return Profile(SettingValue(_with_scheme(server.text), server.place), lambda: secrets)


def secret_settings(secrets: LoginSecrets, place: str) -> dict[str, SettingValue]:
    """Return secrets as settings, each with the place that it comes from."""
    found = {"token": SettingValue(secrets.token, place)}
    if secrets.gateway.headers:
        lines = (f"{name}: {value}" for name, value in secrets.gateway.headers.items())
        found["headers"] = SettingValue("\n".join(lines), place)
    if secrets.gateway.proxy is not None:
        found["proxy"] = SettingValue(secrets.gateway.proxy, place)
    return found


def _with_scheme(server: str) -> str:
    """Add `https` to an address without a scheme, as CVAT's tools do."""
    return server if "://" in server else f"https://{server}"
