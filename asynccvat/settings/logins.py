"""Read and write saved logins: those of `asynccvat login` and the profiles of CVAT's own tools.

`logins.json` in the settings folder describes each login, without its secrets.
`keyring_secrets` and `profiles` keep those. `api.logins` makes logins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import platformdirs

from asynccvat.core.login_secrets import LoginSecrets
from asynccvat.core.logins import SavedLogin, SavedLogins, TokenStore, decode, encode
from asynccvat.core.wire.urls import ServerUrl
from asynccvat.errors import ConfigError
from asynccvat.settings import keyring_secrets
from asynccvat.settings.private_files import locked, read_private, write_private
from asynccvat.settings.profiles import (
    Profile,
    Profiles,
    profiles_path,
    read_profiles,
    remove_profile,
    secret_settings,
    write_profile,
)
from asynccvat.settings.values import SettingValue

_MORE = ("organization", "ca_bundle", "client_cert", "client_key")


@dataclass(frozen=True, slots=True)
class SaveResult:
    """What saving a login did.

    Attributes:
        login: The login.
        before: The login of its name that it replaced, None for none.
        removed: False if that one had its token elsewhere, and it could not be removed.
    """

    login: SavedLogin
    before: SavedLogin | None
    removed: bool


@dataclass(frozen=True, slots=True)
class LoginFiles:
    """The files of saved logins.

    Attributes:
        profiles: The profiles of CVAT's own tools.
        logins: What is known of the logins of this program; None to use none of them.
    """

    profiles: Path
    logins: Path | None

    @classmethod
    def of_user(cls) -> LoginFiles:
        """Return those of the user who runs this program."""
        return cls(profiles_path(), platformdirs.user_config_path("asynccvat") / "logins.json")

    def read(self) -> SavedLogins:
        """Read what is known of the logins. Blocks.

        Raises:
            ConfigError: The file cannot be read, or others may read or write it.
        """
        if self.logins is None:
            return SavedLogins()
        try:
            content = read_private(self.logins)
        except (FileNotFoundError, NotADirectoryError):
            return SavedLogins()
        except OSError as error:
            raise ConfigError(
                f"{str(self.logins)!r} cannot be read: {error.strerror}. Give --url and --token "
                "instead, or set HOME to a folder of this user."
            ) from error
        return decode(content, repr(str(self.logins)))

    def save(
        self, login_for: Callable[[SavedLogins], SavedLogin], secrets: LoginSecrets
    ) -> SaveResult:
        """Keep a login and its secrets. It becomes the default. Blocks.

        Args:
            login_for: Returns the login, for what is known at the time of the change. Another
                program may have saved one since the caller looked.
            secrets: Its secrets.

        Returns:
            The login, and what became of the one that it replaced.

        Raises:
            ConfigError: A file or the keyring cannot be written, or `login_for` raises it.
        """
        assert self.logins is not None
        with locked(self.logins):
            known = self.read()
            login = login_for(known)
            before = known.find(login.name)
            # First the list: if this is killed now, the next login still knows what to revoke.
            write_private(self.logins, encode(known.with_login(login)))
            try:
                self._write_secrets(login, secrets)
            except BaseException:
                write_private(self.logins, encode(known))
                raise
            return SaveResult(login, before, self._is_removed(before, login))

    def remove(self, login: SavedLogin) -> None:
        """Forget a login and its token. One that has replaced it since stays. Blocks.

        Raises:
            ConfigError: A file or the keyring cannot be written.
        """
        assert self.logins is not None
        with locked(self.logins):
            known = self.read()
            current = known.find(login.name)
            if current is not None and current.fingerprint == login.fingerprint:
                self._remove_secrets(login)
                write_private(self.logins, encode(known.without(login.name)))

    def _is_removed(self, before: SavedLogin | None, login: SavedLogin) -> bool:
        """Remove the token of a replaced login, if it is elsewhere. Return whether it is gone."""
        if before is None or _entry(before) == _entry(login):
            return True
        # A login with another store is what helps if a keyring cannot be used any more.
        try:
            self._remove_secrets(before)
        except ConfigError:
            return False
        return True

    def _write_secrets(self, login: SavedLogin, secrets: LoginSecrets) -> None:
        if login.store is TokenStore.KEYRING:
            keyring_secrets.write_secrets(_address(login.url), login.name, secrets)
        else:
            write_profile(
                self.profiles, login.name, server=login.url, secrets=secrets, created=login.saved
            )

    def _remove_secrets(self, login: SavedLogin) -> None:
        if login.store is TokenStore.KEYRING:
            keyring_secrets.remove_secrets(_address(login.url), login.name)
            return
        profile = read_profiles(self.profiles).saved.get(login.name)
        # CVAT's own tools may have replaced it since: that one is not ours to remove.
        if profile is not None and _is_of(login, profile):
            remove_profile(self.profiles, login.name)


def read_saved(files: LoginFiles) -> Profiles:
    """Read all saved logins and profiles; a token in the keyring when it is used. Blocks.

    Raises:
        ConfigError: A file cannot be read, or others may read or write it.
    """
    profiles = read_profiles(files.profiles)
    known = files.read()
    saved = dict(profiles.saved)
    for login in known.logins:
        if login.store is TokenStore.KEYRING:
            saved[login.name] = _in_keyring(login)
        elif login.name in saved and _is_of(login, saved[login.name]):
            saved[login.name] = _in_file(login, saved[login.name], files.profiles)
    default = known.default if known.default in saved else profiles.default
    server = profiles.default_server
    if server is None and default is not None and saved[default].login is not None:
        server = saved[default].server
    return replace(profiles, saved=saved, default=default, default_server=server)


def _is_of(login: SavedLogin, profile: Profile) -> bool:
    return login.is_of(profile.read_secrets()["token"].text)


def _in_file(login: SavedLogin, profile: Profile, file: Path) -> Profile:
    place = f"the login {login.name!r} in {file}"
    secrets = {name: replace(value, place=place) for name, value in profile.read_secrets().items()}
    server = SettingValue(profile.server.text, place)
    return Profile(server, lambda: secrets, _more(login), login)


def _in_keyring(login: SavedLogin) -> Profile:
    place = f"the login {login.name!r}"

    @cache  # a keyring may ask its user each time
    def read_secrets() -> dict[str, SettingValue]:
        secrets = keyring_secrets.read_secrets(_address(login.url), login.name)
        return secret_settings(secrets, f"{place} in the system's keyring")

    return Profile(SettingValue(login.url, place), read_secrets, _more(login), login)


def _more(login: SavedLogin) -> dict[str, SettingValue]:
    value = partial(SettingValue, place=f"the login {login.name!r}")
    more = {name: value(text) for name in _MORE if (text := getattr(login, name)) is not None}
    return more | ({"insecure": value("true")} if login.insecure else {})


def _entry(login: SavedLogin) -> tuple[TokenStore, str]:
    return login.store, _address(login.url)


def _address(url: str) -> str:
    return ServerUrl.parse(url).address
