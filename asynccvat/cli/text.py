"""Format durations, counts and names for people."""

from __future__ import annotations

from asynccvat.core.texts import printable
from asynccvat.core.units import number_of_bytes

__all__ = ["age", "counted", "ended", "number_of_bytes", "printable", "span"]


def span(seconds: float) -> str:
    """Format a duration: `0.4 s`, `18 s`, `3:05` (minutes), `2:03:05` (hours)."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age(seconds: float) -> str:
    """Format how long ago something was: `45 s`, `12 min`, `3 h`, `12 d`."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length):,} {unit}"
    return f"{max(0, int(seconds))} s"


def counted(count: int, noun: str) -> str:
    """Format a count: `1 task`, `2 tasks`, `12,000 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def of_each(explanation: str) -> str:
    """Return what is true of one target as true of each: "it has" becomes "each has"."""
    return f"each {explanation[3:]}" if explanation.startswith("it ") else explanation


def ended(line: str) -> str:
    """End a sentence with a full stop, unless it has an end."""
    return line if line.endswith((".", "?", "!")) else f"{line}."
