"""Words for values that messages share."""

from __future__ import annotations

from collections.abc import Sequence

_SHOWN = 5


def first_few(values: Sequence[object], most: int = _SHOWN) -> str:
    """Return the first values of a list, and how many more there are: `1, 2, 3 and 40 more`."""
    shown = ", ".join(map(str, values[:most]))
    left = len(values) - most
    return f"{shown} and {left:,} more" if left > 0 else shown


def printable(text: str) -> str:
    """Return a text in one line, without control characters.

    A terminal would obey those of a task's name. Marks of direction change how a page shows others.
    """
    line = " ".join(text.split())
    if line.isprintable():
        return line
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line
    )
