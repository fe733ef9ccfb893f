"""Check what the verbs are given, before it fails somewhere deep inside."""

from __future__ import annotations

import re
from os import PathLike, fspath
from pathlib import Path
from typing import TypeVar

from asynccvat.core.options.transfer import TransferOptions
from asynccvat.errors import ConfigError

PathText = str | PathLike[str]
OptionsT = TypeVar("OptionsT", bound=TransferOptions)


def checked_path(given: PathText) -> Path:
    """Return a path; an empty one is probably a setting that is missing.

    Raises:
        ConfigError: It is empty.
    """
    if not str(fspath(given)).strip():
        raise ConfigError("a path is empty. Name a folder or file, '.' for the working directory.")
    if re.match(r"https?:/", str(given), re.IGNORECASE):
        # One with a password in it is not repeated.
        shown = "what is given" if "@" in str(given) else repr(str(given))
        raise ConfigError(f"{shown} is an address, not a path. Name a folder or file.")
    return Path(given)


def check_client(client: object) -> None:
    """Refuse what is no client, before it fails somewhere deep inside.

    Raises:
        TypeError: It is none.
    """
    from asynccvat.client import CvatClient  # noqa: PLC0415 - destinations need no network

    if not isinstance(client, CvatClient):
        raise TypeError(f"client must be a CvatClient, not {type(client).__name__}")


def checked_options(options: OptionsT | None, kind: type[OptionsT]) -> OptionsT:
    """Return the options, or the defaults if there are none.

    Raises:
        TypeError: They are those of another verb.
    """
    if options is None:
        return kind()
    if not isinstance(options, kind):
        raise TypeError(f"options must be {kind.__name__}, not {type(options).__name__}")
    return options
