"""The names of the environment's variables, and what they set."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLES = {
    "url": "CVAT_URL",
    "username": "CVAT_USERNAME",
    "password": "CVAT_PASSWORD",
    "token": "CVAT_ACCESS_TOKEN",
    "organization": "CVAT_ORGANIZATION",
    "project_id": "CVAT_PROJECT_ID",
}
"""Setting to variable; the names are those of CVAT's own tools."""

CONFIG_VARIABLE = "CVAT_SERVER_CONFIG"
"""Names the file of settings."""


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that an environment holds; an empty variable counts as unset."""
    return {
        setting: environment[variable]
        for setting, variable in VARIABLES.items()
        if environment.get(variable)
    }
