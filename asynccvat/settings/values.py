"""One setting as text, with the place that it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

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
