"""Settings as texts, each with the place that it comes from, and layers of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from asynccvat.errors import ConfigError

FLAGS = {
    "url": "--url",
    "username": "--username",
    "password": "--password",
    "token": "--token",
    "organization": "--org",
    "project_id": "--project-id",
    "insecure": "--insecure",
    "ca_bundle": "--ca-bundle",
    "headers": "--header",
    "client_cert": "--client-cert",
    "client_key": "--client-key",
    "proxy": "--proxy",
}
"""All settings, each with its option on the command line."""

CREDENTIALS = frozenset({"username", "token"})
"""The settings that identify the user; a password alone does not."""

SECRETS = frozenset({"headers", "password", "token"})
"""The settings that are secrets."""


FILES = frozenset({"ca_bundle", "client_cert", "client_key"})
"""The settings that name files; in a settings file they are relative to its folder."""

MAY_BE_EMPTY = frozenset({"organization"})
"""The settings whose empty value means something: the personal workspace."""

TRUST = frozenset({"insecure", "ca_bundle", "proxy"})
"""The settings that say how far a server, or what stands before it, is trusted."""


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A setting as text, with the place that it comes from. The text stays out of `repr`.

    Attributes:
        text: The value as it was written.
        place: The option, variable, or file and line, for messages.
    """

    text: str = field(repr=False)
    place: str


Layer = dict[str, SettingValue]
"""The settings of one place, by their names."""


def combined(layers: Sequence[Layer]) -> Layer:
    """Return each setting as the highest place has it."""
    values: Layer = {}
    for layer in reversed(layers):
        values |= layer
    return values


def boolean(value: SettingValue) -> bool:
    """Return a setting that is true or false.

    Raises:
        ConfigError: It is neither.
    """
    text = value.text.lower()
    if text not in ("true", "yes", "on", "false", "no", "off"):
        raise ConfigError(
            f"{value.place}: {value.text!r} is neither true nor false. Write one of these."
        )
    return text in ("true", "yes", "on")
