"""Say why tasks failed in words that hold for all of them, so that failures can be grouped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# A number, or what stands for an own one.
_NUMBER = re.compile(r"([0-9](?:[0-9.,:]*[0-9])?|\.\.\.)")
# The address of a server is that of all: a host such as 127.0.0.1 may hold the id of a task.
_SERVER = re.compile(r"(https?://[^\s/'\"]+)")


def common_cause(message: str, *, target: str, id_: int, own: Iterable[str | None]) -> str:
    """Return why a target failed, without its id and what else is its own.

    The address of a server stays whole. A name is its own only where it stands as whole words:
    tasks may be called `a`.

    Args:
        message: Why, for this target.
        target: What failed: `task`, `project` or `job`.
        id_: Its id, 0 if it has none.
        own: Its name and its place, as far as it has them.
    """
    named = [part for part in own if part]
    for part in named:
        message = message.replace(repr(part), "'...'")
    if id_:
        message = re.sub(rf"^{target} {id_}: ", "", message, flags=re.IGNORECASE)
        message = re.sub(rf"\b({target}) {id_}\b", r"the \1", message, flags=re.IGNORECASE)
    words = [re.escape(part) for part in named] + ([str(id_)] if id_ else [])
    if not words:
        return message
    owned = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)")
    return "".join(
        part if _SERVER.fullmatch(part) else owned.sub("...", part)
        for part in _SERVER.split(message)
    )


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
