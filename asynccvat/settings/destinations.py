"""Find the settings that belong to a destination: its own file, and the server of its tasks.

`loading` uses them. A destination may come from another person, so neither is trusted with secrets
of other places.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from asynccvat.core.paths import OWN_FOLDER
from asynccvat.core.settings_text import SettingsChoices, settings_text
from asynccvat.errors import ConfigError

FILE_NAME = "server.yaml"
"""The settings file in a destination."""

_MOST_BYTES = 1 << 20


def recorded_server(folder: Path) -> tuple[str, str | None] | None:
    """Return the server and the organization that a destination is of. Blocks.

    Returns:
        The server's address, and the organization's short name: "" for the personal workspace,
        None for everything. None if nothing readable says it.
    """
    path = folder / OWN_FOLDER / "destination.json"
    if not path.is_file():  # one that somebody else made may be a pipe, without an end
        return None
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("origin"), str):
        return None
    organization = document.get("organization")
    return document["origin"], organization if isinstance(organization, str) else None


def write_settings_file(folder: Path, choices: SettingsChoices, shown: str) -> Path:
    """Write the settings file of a folder, which is made if it is missing. Blocks.

    Args:
        folder: The folder.
        choices: What was chosen.
        shown: The folder as the user names it, for comments.

    Returns:
        The file.

    Raises:
        ConfigError: There is such a file, or it cannot be written.
    """
    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(settings_text(choices, shown))
    except FileExistsError:
        raise ConfigError(
            f"{str(path)!r} is there already. Edit it, or remove it and run the command again."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{str(path)!r} cannot be written: {error.strerror}. Check the folder's permissions."
        ) from error
    return path
