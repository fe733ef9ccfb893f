"""Wrap sentences at words on a terminal, which would wrap them within words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import IO

_FALLBACK_WIDTH = 80
# A command between backticks is one word: a shell could not run it in two lines.
_WORD = re.compile(r"(\s*)((?:`[^`]*`|\S)+)")


def wrapped(line: str, width: int, *, indent: int = 2) -> list[str]:
    """Return the lines of a sentence on a terminal. All except the first are indented.

    A word that is longer than a line stays whole, so that it can be copied.

    Args:
        line: The sentence. Its own indentation stays.
        width: Characters of a line.
        indent: By how many blanks the others are indented, besides its own indentation.
    """
    return list(_lines(line, width, " " * indent)) or [""]


def _lines(line: str, width: int, indent: str) -> Iterator[str]:
    own = line[: len(line) - len(line.lstrip())]
    current, begun = own, False
    for space, word in _WORD.findall(line):
        more = f"{space}{word}" if begun else word
        if begun and _cells(current) + _cells(more) > width:
            yield current
            current, more = own + indent, word
        current, begun = current + more, True
    if begun:
        yield current


def _cells(text: str) -> int:
    """Return how many columns a text takes: some characters take two, some none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - the start-up of `--help` stays light

    return cell_len(text)


def width_of(stream: IO[str] | None) -> int | None:
    """Return the columns of the terminal that a stream writes to.

    Returns:
        None where lines stay whole: in pipes and files, on dumb terminals, and in CI systems, whose
        logs wrap lines themselves.
    """
    if stream is None or not stream.isatty() or is_ci() or os.environ.get("TERM") == "dumb":
        return None
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _FALLBACK_WIDTH
    except OSError:
        return _FALLBACK_WIDTH


def is_ci() -> bool:
    """Whether the output goes to the log of a CI system, which may look like a terminal."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")
