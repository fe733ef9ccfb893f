"""Say why tasks failed in words that hold for all of them, so that failures can be grouped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# A number, or what stands for an own one.
_NUMBER = re.compile(r"([0-9](?:[0-9.,:]*[0-9])?|\.\.\.)")


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


def shared_words(messages: Sequence[str]) -> str:
    """Return what messages of one cause share: a number in which they differ becomes `...`."""
    first, *others = [_NUMBER.split(message) for message in dict.fromkeys(messages)]
    if any(len(other) != len(first) for other in others):
        return messages[0]
    return "".join(
        part if all(part == other[place] for other in others) else "..."
        for place, part in enumerate(first)
    )


def cause_key(kind: str, target: str, common: str) -> str:
    """Return what failures of one cause share: kind of error, and its message without numbers."""
    return f"{target} {kind} {_NUMBER.sub('#', common)}"
