"""Find the server and the credentials: options, environment, YAML files and saved profiles.

`load_settings` combines them, `load_side` reads those of one side of a copy; `yaml_file` and
`profiles` each read one kind of file. `cli` asks the user for a password that none of them gives.
"""

from __future__ import annotations

from asynccvat.core.environment import CONFIG_VARIABLE
from asynccvat.core.wire.urls import PageUrl
from asynccvat.settings.loading import DEFAULT_FILES, Settings, load_settings
from asynccvat.settings.saved_choice import read_gateway, saved_servers
from asynccvat.settings.sides import load_side
from asynccvat.settings.values import SettingValue

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_FILES",
    "PageUrl",
    "SettingValue",
    "Settings",
    "load_settings",
    "load_side",
    "read_gateway",
    "saved_servers",
]
