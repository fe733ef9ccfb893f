"""Check the conditions of a selection, one by one, before any of them reaches the server."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from asynccvat.errors import ConfigError


def check_text(name: str, value: object) -> None:
    """Check that a condition is a text that holds something: an empty one would select everything.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a text, not {value!r}")
    if not value.strip():
        raise ConfigError(f"{name} is empty. Give a text, or None for no condition.")


def check_word(name: str, value: str | None, words: Sequence[str]) -> None:
    """Check that a condition is one of the words that the server knows, or None.

    Raises:
        ConfigError: It is another one, for which the server would list nothing.
    """
    if value is not None and value not in words:
        raise ConfigError(f"{name} must be one of {', '.join(words)}, not {value!r}")


def check_ids(name: str, ids: object) -> None:
    """Check a sequence of ids. A text is refused, although it is a sequence of characters."""
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        raise ConfigError(f"{name} must be a list of ids, like [147, 148], not {ids!r}")
    for value in ids:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be positive whole numbers, not {value!r}")


def check_condition(name: str, value: object) -> None:
    """Check one condition. `Selection` checks the projects."""
    if value is None or name == "projects" or isinstance(value, datetime):
        return
    if name.endswith("_ids"):
        check_ids(name, value)
    elif name == "exclude":
        _check_texts(name, value)
    elif name == "limit":
        _check_limit(value)
    else:
        check_text(name, value)


def _check_limit(limit: object) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigError(f"limit must be a positive whole number, not {limit!r}")


def _check_texts(name: str, given: object) -> None:
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise ConfigError(f"{name} must be a list of texts, like ['draft-*'], not {given!r}")
    for text in given:
        check_text(name, text)
