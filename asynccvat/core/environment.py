"""Read settings from environment variables."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLES = {
    "url": "CVAT_URL",
    "username": "CVAT_USERNAME",
    "password": "CVAT_PASSWORD",
    "token": "CVAT_ACCESS_TOKEN",
    "organization": "CVAT_ORGANIZATION",
    "project_id": "CVAT_PROJECT_ID",
    "headers": "CVAT_HEADERS",
    "client_cert": "CVAT_CLIENT_CERT",
    "client_key": "CVAT_CLIENT_KEY",
}
"""The variable of each setting, named as in CVAT's own tools."""

CONFIG_VARIABLE = "CVAT_SERVER_CONFIG"
"""The variable that names the file of settings."""


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in an environment. An empty variable counts as unset."""
    return {
        setting: environment[variable]
        for setting, variable in VARIABLES.items()
        if environment.get(variable)
    }
