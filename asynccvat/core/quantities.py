"""Read sizes, durations, shares, dates and filters as users write them.

A text that cannot be read raises a `ValueError`, which says why and how to write one. It is the
rest of a sentence: `cli.parsing` and `runfiles.value_types` put the option or key and the text
before it.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_FILTER_EXAMPLE = """Write it in single quotes, like '{"==": [{"var": "owner"}, "ann"]}'."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def size(text: str) -> int:
    """Read a size in bytes: `800K`, `10M`, `1.5G` or a plain number. Units are powers of 1024.

    Raises:
        ValueError: The text is no positive size.
    """
    found = re.fullmatch(
        r"(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?(?:/s)?", text.strip(), re.IGNORECASE
    )
    value = int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
    if value < 1:
        raise ValueError("is no size. Write one like 800K, 10M or 1.5G.")
    return value


def size_text(size: int) -> str:
    """Write bytes as `size` reads them: `256G`, `1536M`, `1000`."""
    units = [(unit, length) for unit, length in _UNITS.items() if size % length == 0]
    unit, length = max(units, key=lambda one: one[1])
    return f"{size // length}{unit}"


def duration(text: str) -> float:
    """Read a duration in seconds: `90`, `90s`, `30m`, `4h`, `2d`, `1w` or a sum like `1h30m`.

    Raises:
        ValueError: The text is no positive duration.
    """
    value = _duration(text)
    if not value:
        why = "is not above 0" if re.match(r"[0.]+[smhdw]?$", text.strip()) else "is no time"
        raise ValueError(f"{why}. Write seconds, or a time like 90s, 30m, 4h or 1h30m.")
    return value


def duration_or_none(text: str) -> float:
    """Read a duration as `duration` does, or 0 for none.

    Raises:
        ValueError: The text is neither.
    """
    value = _duration(text)
    if not value and text.strip() != "0":
        raise ValueError("is no time. Write one like 12h, 30d or 4w, or 0 for none.")
    return value


def duration_text(seconds: float) -> str:
    """Write seconds as `duration` reads them: `4h15m`, `90s`, `0.5s`."""
    left, parts = round(seconds), []
    if left != seconds or not left:
        return f"{seconds:g}s"
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def count_or_share(text: str) -> str:
    """Check a whole number, or a percentage from 0 to 100, and strip its text.

    Raises:
        ValueError: The text is neither.
    """
    found = re.fullmatch(r"(\d{1,15})|(\d{1,3}(?:\.\d{1,9})?)\s*%", text.strip())
    if found is None:
        raise ValueError("is neither a number nor a share. Write one like 20 or 10%.")
    if found[2] is not None and float(found[2]) > 100:
        raise ValueError("is more than 100%. Write a number like 20, or a share like 10%.")
    return text.strip()


def count_or_time(text: str) -> str:
    """Check a whole number, or a duration with its unit, and strip its text: `7` or `30d`.

    Raises:
        ValueError: The text is neither, or 0.
    """
    stripped = text.strip()
    if re.fullmatch(r"0+[a-z]?", stripped, re.IGNORECASE):
        raise ValueError("keeps nothing. Write at least 1, or a time like 30d.")
    if not _duration(stripped) or "." in stripped:
        raise ValueError("is neither a number nor a time. Write one like 7 or 30d.")
    return stripped


def since(text: str, *, now: datetime) -> str:
    """Read a date, or an age like `2d` or `12h` before `now`, as ISO date and time.

    A date without a time zone is read as UTC, the time zone of CVAT's own dates.

    Raises:
        ValueError: The text is neither.
    """
    back = _duration(text) if re.search(r"[a-z]$", text.strip()) else 0
    try:
        if back:
            moment = now.astimezone(UTC) - timedelta(seconds=back)
        else:
            moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise ValueError(
            "is neither a date nor an age. Write a date like 2026-03-31, or an age like 2d or 12h."
        ) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")


def json_logic(text: str) -> str:
    """Return a filter unchanged if it is JSON logic.

    Raises:
        ValueError: It is not.
    """
    try:
        expression = json.loads(text)
    except (ValueError, RecursionError):
        # The shell takes double quotes away, unless single ones are around them.
        lost = '"' not in text and ":" in text
        why = "has no double quotes, so it is not JSON" if lost else "is not JSON"
        raise ValueError(f"{why}. {_FILTER_EXAMPLE}") from None
    if not isinstance(expression, dict) or not expression:
        raise ValueError(f"is no JSON logic. {_FILTER_EXAMPLE}")
    return text


def _duration(text: str) -> float:
    stripped = text.strip().lower()
    if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", stripped):
        return float(stripped)
    if re.fullmatch(r"(\d{1,12}(\.\d{1,9})?[smhdw])+", stripped):
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhdw])", stripped)
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return 0.0
