"""What a login keeps secret: its token, and what a gateway before its server wants.

An entry of the system's keyring holds them, or a profile in the file of CVAT's own tools.
`logins` has the rest of a login, `settings.logins` reads and writes both. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from asynccvat.core.decoding import UNREADABLE

_OWN_KEY = "asynccvat"
"""The key of a profile that CVAT's own tools do not know, and leave as it is."""


class Gateway(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gateway before a server wants. It stays out of `repr`.

    Attributes:
        headers: Headers for every call, by their names.
        proxy: The address of the proxy to go through, with user and password. None for that of the
            environment.
    """

    headers: dict[str, str] = {}
    proxy: str | None = None

    def __repr__(self) -> str:
        return "Gateway(...)"

    def __bool__(self) -> bool:
        return bool(self.headers) or self.proxy is not None


NO_GATEWAY = Gateway()


class LoginSecrets(msgspec.Struct, frozen=True):
    """The secrets of a login. They stay out of `repr`.

    Attributes:
        token: The token.
        gateway: What a gateway before the server wants.
    """

    token: str
    gateway: Gateway = NO_GATEWAY

    def __repr__(self) -> str:
        return "LoginSecrets(...)"


def as_entry(secrets: LoginSecrets) -> str:
    """Return secrets as the text of a keyring's entry: the token alone if there is nothing else."""
    return msgspec.json.encode(secrets).decode() if secrets.gateway else secrets.token


def from_entry(text: str) -> LoginSecrets | None:
    """Return the secrets of a keyring's entry, None if it is damaged."""
    if not text.startswith("{"):
        return LoginSecrets(text)
    try:
        return msgspec.json.decode(text, type=LoginSecrets)
    except UNREADABLE:
        return None


def gateway_of(profile: Mapping[str, Any]) -> Gateway | None:
    """Return the gateway that a profile was saved with, None if that is damaged."""
    try:
        return msgspec.convert(profile.get(_OWN_KEY, {}), Gateway)
    except UNREADABLE:
        return None


def with_profile(
    document: Mapping[str, Any], name: str, *, server: str, secrets: LoginSecrets, created: datetime
) -> dict[str, Any]:
    """Return the document of CVAT's tools with another profile.

    The first one becomes their default, as with `cvat-cli profile create`. The key of a login does
    not: they would send it as an access token.

    Args:
        document: The document, `{}` for a new one.
        name: The profile's name.
        server: The server's address.
        secrets: The token, and what a gateway wants.
        created: The time of now.
    """
    profiles = dict(document.get("profiles") or {})
    entry: dict[str, Any] = {
        "server": server,
        "token": secrets.token,
        "created_date": created.isoformat(),
    }
    if secrets.gateway:
        entry[_OWN_KEY] = msgspec.to_builtins(secrets.gateway)
    new = {"version": 1, **document, "profiles": profiles | {name: entry}}
    if not profiles and "." in secrets.token:
        new["default_profile"] = name
    return new


def without_profile(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the document of CVAT's tools without a profile."""
    profiles = {key: entry for key, entry in document.get("profiles", {}).items() if key != name}
    new = {**document, "profiles": profiles}
    if new.get("default_profile") == name:
        del new["default_profile"]
    return new
