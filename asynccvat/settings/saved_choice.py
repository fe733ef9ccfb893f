"""Choose the saved login that adds what no other place gives: a server, a token, or both.

`loading` asks for it, `logins` reads what is saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from asynccvat.errors import ConfigError
from asynccvat.settings.destinations import recorded_server
from asynccvat.settings.values import CREDENTIALS, FLAGS, Layer, SettingValue

if TYPE_CHECKING:
    from asynccvat.core.logins import SavedLogin
    from asynccvat.settings.profiles import Profile, Profiles


_IN_KEYRING = "(in the system's keyring)"


@dataclass(frozen=True, slots=True)
class Saved:
    """The saved logins, which are read only if something is missing.

    Attributes:
        profiles: The file of profiles, None for that of CVAT's own tools.
        logins: The list of logins, None for that of the user.
        keyring: Whether the system's keyring may be opened.
    """

    profiles: Path | None
    logins: Path | None
    keyring: bool = True

    def read(self) -> Profiles:
        """Read them. Blocks.

        Raises:
            ConfigError: A file cannot be read, or others may read or write it.
        """
        # Most commands need no logins, and start faster without platformdirs.
        from asynccvat.settings.logins import LoginFiles, read_saved  # noqa: PLC0415 - see above

        files = LoginFiles.of_user()
        if self.profiles is not None:
            files = LoginFiles(self.profiles, self.logins)
        known = read_saved(files)
        if self.keyring:
            return known
        return replace(known, saved={name: _closed(one) for name, one in known.saved.items()})


def _closed(profile: Profile) -> Profile:
    """Return a profile whose secrets are not read if they are in the system's keyring."""
    if profile.login is None or profile.login.store.value != "keyring":
        return profile
    place = profile.server.place
    return replace(profile, read_secrets=lambda: {"token": SettingValue(_IN_KEYRING, place)})


def closed_token(chosen: Profile | SettingValue | None, token: str | None) -> str | None:
    """Return the fingerprint of the token that a login keeps in a keyring which stays closed.

    Args:
        chosen: The login.
        token: The token of the settings.

    Returns:
        The fingerprint, None if the settings' token is another one, or none.
    """
    if token != _IN_KEYRING or chosen is None or isinstance(chosen, SettingValue):
        return None
    return None if chosen.login is None else chosen.login.fingerprint


def saved_servers(profiles: Path | None = None) -> dict[str, str]:
    """Return the servers of the saved logins and profiles by their names. Blocks while it reads.

    Args:
        profiles: The file of profiles; that of CVAT's own tools by default.

    Raises:
        ConfigError: A file cannot be read, or others may read or write it.
    """
    saved = Saved(profiles, None).read().saved
    return {name: profile.server.text for name, profile in saved.items()}


def read_gateway(login: SavedLogin) -> Layer:
    """Return what a gateway before the server of a login wants: headers and a proxy. Blocks.

    Raises:
        ConfigError: A file or the keyring cannot be read.
    """
    if not login.headers and login.proxy is None:
        return {}
    profile = Saved(None, None).read().saved.get(login.name)
    secrets = {} if profile is None or profile.login != login else profile.read_secrets()
    return {name: value for name, value in secrets.items() if name != "token"}


def named_profile(name: str, places: Saved, given: Layer) -> Profile:
    """Return the login or profile with a name. Blocks.

    Raises:
        ConfigError: There is none, or other options name a server or credentials.
    """
    others = [FLAGS[other] for other in ("url", "username", "password", "token") if other in given]
    if others:
        raise ConfigError(
            f"--profile gives a server and a token, and excludes {', '.join(others)}. Remove "
            "--profile or the others."
        )
    return places.read().named(name)


def missing(
    places: Saved, above: Sequence[Layer], destination: Path | None
) -> Profile | SettingValue | None:
    """Return the login, or the server alone, that adds what is missing; else read nothing."""
    server = next((layer["url"] for layer in above if "url" in layer), None)
    known = any(CREDENTIALS & layer.keys() for layer in above)
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


def saved_layer(chosen: Profile | SettingValue | None, above: Sequence[Layer]) -> Layer:
    """Return what a login, or the server alone, adds as the lowest place."""
    if chosen is None:
        return {}
    if isinstance(chosen, SettingValue):
        return {"url": chosen}
    if any("url" in layer for layer in above):
        # The server's address stays as it was written above.
        return {**chosen.read_secrets(), **chosen.more}
    return chosen.settings


def expiry_warning(chosen: Profile | SettingValue | None, layers: Sequence[Layer]) -> Iterator[str]:
    """Yield a warning if the token of a login is used, and has expired or will do so soon."""
    if chosen is None or isinstance(chosen, SettingValue) or chosen.login is None:
        return
    warning = chosen.login.warning(datetime.now(UTC))
    if warning is not None and any("token" in layer for layer in layers):
        yield warning
