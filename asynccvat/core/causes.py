"""Say why tasks failed in words that hold for all of them, so that failures can be grouped."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"[0-9][0-9.,:]*")


def common_cause(message: str, *, target: str, id_: int, own: Iterable[str | None]) -> str:
    """Return why a target failed, without its id and what else is its own.

    Args:
        message: Why, for this target.
        target: What failed: `task`, `project` or `job`.
        id_: Its id, 0 if it has none.
        own: Its name and its place, as far as it has them.
    """
    for part in own:
        if part:
            message = message.replace(repr(part), "'...'").replace(part, "...")
    if id_:
        message = re.sub(rf"^{target} {id_}: ", "", message, flags=re.IGNORECASE)
        message = re.sub(rf"\b({target}) {id_}\b", r"the \1", message, flags=re.IGNORECASE)
        message = re.sub(rf"\b{id_}\b", "...", message)
    return message


def cause_key(kind: str, target: str, common: str) -> str:
    """Return what failures of one cause share: kind of error, and its message without numbers."""
    return f"{target} {kind} {_NUMBER.sub('#', common)}"
