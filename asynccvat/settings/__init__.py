"""Which server, as whom: flags, the environment, YAML files and saved profiles put together.

`loading` says what wins over what; `yaml_file` and `profiles` each read one kind of file. Asking
for what nothing gives is left to `cli`.
"""

from __future__ import annotations

from asynccvat.settings.loading import DEFAULT_FILES, Settings, load_settings
from asynccvat.settings.values import SettingValue

__all__ = ["DEFAULT_FILES", "SettingValue", "Settings", "load_settings"]
