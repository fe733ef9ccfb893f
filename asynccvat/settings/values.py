"""What a place says of a setting."""

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
}
"""Setting to the command line's option: all that there are."""

SECRETS = frozenset({"password", "token"})
"""The settings that nobody else may read."""


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A setting as text, and the place that it was found in. The text stays out of `repr`."""

    text: str = field(repr=False)
    place: str
