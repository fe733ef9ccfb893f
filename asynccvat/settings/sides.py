"""Load one side of a copy: a saved login, a profile or a settings file, and no other place.

`loading` combines all places for commands with one server. Here nothing is combined: a variable
of the environment, or a profile that fits the server, could send a secret to the wrong side.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from asynccvat.errors import ConfigError
from asynccvat.settings.loading import Settings, settings_of_one_place
from asynccvat.settings.logins import LoginFiles, read_saved

_ENDS = (".yaml", ".yml")


def load_side(
    side: str,
    flag: str,
    *,
    organization: str | None = None,
    profiles: Path | None = None,
    logins: Path | None = None,
) -> Settings:
    """Load one side's settings. Blocks while it reads files.

    Args:
        side: The path of a settings file, or the name of a saved login or profile. A text that
            ends in `.yaml` or `.yml`, or holds a separator of paths, is a path.
        flag: The option that names the side, for messages.
        organization: Its short name, instead of the one in the file. "" is the personal workspace,
            None what the file says.
        profiles: The file of saved profiles; that of CVAT's own tools by default.
        logins: The list of saved logins; that of the user by default, and none with `profiles`.

    Returns:
        The settings, with server and credentials.

    Raises:
        ConfigError: The side does not exist, lacks the server or the credentials, or a setting
            cannot be used. The message names the option, and repeats no secret.
    """
    if not side.strip():
        raise ConfigError(
            f"{flag} is empty. Name a saved profile or a settings file, like old.yaml."
        )
    settings = (
        _of_file(Path(side).expanduser(), flag)
        if _is_path(side)
        else _of_profile(
            side, flag, LoginFiles.of_user() if profiles is None else LoginFiles(profiles, logins)
        )
    )
    if settings.task_id is not None:
        raise ConfigError(
            f"{flag} {side!r}: the server's address names task {settings.task_id}. Give "
            f"{settings.url} there, and select the task with -t."
        )
    if settings.username is None and settings.token is None:
        raise ConfigError(
            f"{flag} {side!r}: there are no credentials, and those of other places are not used "
            "for it. Write `token:` into the file, or `username:` and `password:`."
        )
    if settings.password_missing:
        raise ConfigError(
            f"{flag} {side!r}: there is a user name, but no password. Write `password:` into the "
            "file, or `token:` instead of both."
        )
    return settings if organization is None else replace(settings, organization=organization)


def _is_path(side: str) -> bool:
    return side.endswith(_ENDS) or "/" in side or "\\" in side


def _of_file(path: Path, flag: str) -> Settings:
    if not path.is_file():
        raise ConfigError(
            f"{flag}: there is no settings file {str(path)!r}. Check the path, or name a saved "
            "profile."
        )
    # Other commands start faster without PyYAML.
    from asynccvat.settings.yaml_file import exposure, read_settings  # noqa: PLC0415 - see above

    values = read_settings(path)
    warning = exposure(path, values)
    if "url" not in values:
        raise ConfigError(f"{str(path)!r} names no server. Write `url:` into it.")
    return settings_of_one_place(values, () if warning is None else (warning,))


def _of_profile(name: str, flag: str, files: LoginFiles) -> Settings:
    saved = read_saved(files)
    if name not in saved.saved and Path(name).is_file():
        raise ConfigError(
            f"{flag}: there is no saved profile {name!r}, but a file of that name. Give "
            f"'./{name}' if it is a settings file."
        )
    return settings_of_one_place(saved.named(name, flag).settings)
