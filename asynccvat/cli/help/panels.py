"""Choose which options a page of help explains, so that it stays short.

Rarely used options are named without an explanation. If a page is still too long, the last options
of its longest panel are named only, too. `asynccvat help COMMAND` explains all of them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

MAX_LINES = 60
"""The lines of a page of help at 80 columns."""

MAX_WIDTH = 100
"""Longer lines are hard to read."""

FRAME = 4
"""The columns that a panel's frame takes."""

GAP = 2
"""The columns between the names and their texts."""

_NAMES_WIDTH = 25

NAMED_PANELS = {"Limits of archives": "limits"}
"""Panels that a short page leaves to a topic of `asynccvat help`."""

RARE = frozenset(
    {
        "--break-lock",
        "--chunk-size",
        "--export-timeout",
        "--follow-links",
        "--help",
        "--import-timeout",
        "--journal",
        "--log-json",
        "--names",
        "--no-fsync",
        "--no-refresh",
        "--no-reuse",
        "--output",
        "--path-prefix",
        "--queue-timeout",
        "--retries",
        "--spool-limit",
        "--trust-receipts",
        "--upload-limit",
        "--wait-for-server",
    }
)
"""Options that a short page names without an explanation, where they have no letter."""

USUAL = frozenset(
    {
        "--all",
        "--as",
        "--concurrency",
        "--dry-run",
        "--every",
        "--failed-from",
        "--format",
        "--from",
        "--images",
        "--in-dir",
        "--into-project",
        "--json",
        "--keep",
        "--listen",
        "--max-delete",
        "--mode",
        "--name",
        "--on-change",
        "--out-dir",
        "--overwrite",
        "--pair",
        "--project",
        "--project-id",
        "--prune",
        "--report",
        "--since-last-run",
        "--status",
        "--task-id",
        "--to",
        "--undo",
        "--updated-since",
        "--yes",
    }
)
"""Options that a short page explains as long as it explains others that could go instead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An option, an argument or a command, and what it means.

    Attributes:
        names: How it is written, with what it takes: `-t, --task-id ID`.
        text: What it means.
        flag: Its long name alone.
    """

    names: str
    text: str
    flag: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of a page.

    Attributes:
        title: Its title.
        entries: What it explains.
        named: The flags that it only names.
    """

    title: str
    entries: tuple[Entry, ...]
    named: tuple[str, ...] = ()


Line = tuple[str, str]
"""A line inside a panel: the names (padded), and the text. A line without names continues."""


def shortened(panels: Sequence[Panel]) -> list[Panel]:
    """Return panels that only name their rarely used options."""
    found = []
    for panel in panels:
        kept = tuple(item for item in panel.entries if not _is_rare(item))
        rare = (item.flag for item in panel.entries if _is_rare(item))
        flags = tuple(flag for flag in rare if flag != "--help")
        if kept or flags:
            found.append(replace(panel, entries=kept, named=flags))
    return found


def _is_rare(item: Entry) -> bool:
    """Whether an option is rarely used. One with a letter of its own is not, except `--help`."""
    has_letter = item.names.startswith("-") and not item.names.startswith("--")
    return item.flag in RARE and (item.flag == "--help" or not has_letter)


def fitted(panels: Sequence[Panel], width: int, room: int) -> list[Panel]:
    """Return panels of at most this many lines, their frames included.

    Each step takes an option from the longest panel: its last one, those of `USUAL` after all
    others. Arguments are never taken.
    """
    found = list(panels)
    while (column := names_width(found)) and height(found, width, column) > room:
        candidates = [
            (item.flag not in USUAL, len(lines(panel, width, column)), place, number)
            for number, panel in enumerate(found)
            for place, item in enumerate(panel.entries)
            if item.flag.startswith("-")
        ]
        if not candidates:
            break
        *_, place, number = max(candidates)
        found[number] = _with_named(found[number], place)
    return found


def _with_named(panel: Panel, place: int) -> Panel:
    """Return a panel that only names one of its entries."""
    entries = panel.entries
    named = (entries[place].flag, *panel.named)
    return replace(panel, entries=(*entries[:place], *entries[place + 1 :]), named=named)


def names_width(panels: Sequence[Panel]) -> int:
    """Return the width of the column of names: that of the longest that is not too long."""
    widths = [len(item.names) for panel in panels for item in panel.entries]
    return max((width for width in widths if width <= _NAMES_WIDTH), default=_NAMES_WIDTH)


def height(panels: Sequence[Panel], width: int, column: int) -> int:
    """Return how many lines panels take, their frames included."""
    return sum(len(lines(panel, width, column)) + 2 for panel in panels)


def lines(panel: Panel, width: int, column: int) -> list[Line]:
    """Return the lines inside a panel.

    Args:
        panel: The panel.
        width: Its width, the frame included.
        column: The width of the column of names.
    """
    found: list[Line] = []
    for item in panel.entries:
        wrapped = textwrap.wrap(item.text, width - FRAME - column - GAP) or [""]
        names = item.names
        if len(names) > column:
            found.append((names, ""))
            names = ""
        padded = [f"{names:{column + GAP}}", *[" " * (column + GAP)] * (len(wrapped) - 1)]
        found.extend(zip(padded, wrapped, strict=True))
    if panel.named:
        also = f"{'Also: ' if panel.entries else ''}{', '.join(panel.named)}"
        found.extend(
            ("", part) for part in textwrap.wrap(also, width - FRAME, break_on_hyphens=False)
        )
    return found


def one_line(text: str, width: int) -> str:
    """Return the first sentence of a text, or its first clauses if they alone fit on a line."""
    text = first_sentence(text)
    if len(text) <= width:
        return text
    for separator in (";", ":", ","):
        end = text.rfind(separator, 0, width)
        if end > 0:
            return f"{text[:end]}."
    return text


def first_sentence(text: str) -> str:
    """Return the first sentence of a text."""
    return re.split(r"(?<=[.?!]) (?=[A-Z'(])", text, maxsplit=1)[0]
