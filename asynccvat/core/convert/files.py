"""One file of a converted task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConvertedFile:
    """One file of a converted task.

    Attributes:
        path: Its path in the archive that the server would export.
        chunks: Its bytes, which are made while they are read.
    """

    path: str
    chunks: Iterator[bytes]


def small_file(path: str, text: str) -> ConvertedFile:
    """Return a file of a text that is in memory."""
    return ConvertedFile(path, iter((text.encode(),)))
