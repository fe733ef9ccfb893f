"""Check numbers that a caller gives, before they fail somewhere deep inside."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex

from asynccvat.errors import ConfigError


def whole(name: str, value: SupportsIndex) -> int:
    """Return a whole number of any type, such as those of NumPy, as an `int`.

    Raises:
        TypeError: It is no whole number.
    """
    try:
        return index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None


def check_whole(name: str, value: object) -> None:
    """Check that a value is a whole number, at least 0.

    Raises:
        ConfigError: It is negative.
        TypeError: It is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < 0:
        raise ConfigError(f"{name} must be at least 0, not {value!r}")


def check_number(name: str, value: object) -> None:
    """Check that a value is a number, at least 0.

    Raises:
        ConfigError: It is negative.
        TypeError: It is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")
    if not value >= 0:  # a comparison with NaN is false
        raise ConfigError(f"{name} must be at least 0, not {value!r}")
