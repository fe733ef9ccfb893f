"""Match texts with wildcards: `*` stands for any text, `?` for any one character."""

from __future__ import annotations

import re


def has_wildcard(text: str | None) -> bool:
    """Whether a text is a pattern, rather than the exact text that is wanted."""
    return text is not None and ("*" in text or "?" in text)


def pattern_of(text: str) -> re.Pattern[str]:
    """Return the pattern that matches what a text with wildcards stands for, case included."""
    meanings = {"*": ".*", "?": "."}
    parts = (meanings.get(part) or re.escape(part) for part in re.split(r"([*?])", text))
    return re.compile("".join(parts), re.DOTALL)


def longest_literal(text: str) -> str:
    """Return the longest piece of a pattern without wildcards; what fits the pattern holds it."""
    return max(re.split(r"[*?]", text), key=len)
