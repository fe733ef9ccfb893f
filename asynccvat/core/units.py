"""Format numbers of bytes for people."""

from __future__ import annotations

_KIBI = 1024


def number_of_bytes(count: float) -> str:
    """Format a number of bytes with about three digits: `0 B`, `812 B`, `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIBI:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= _KIBI
    return f"{value:.1f} TiB"
