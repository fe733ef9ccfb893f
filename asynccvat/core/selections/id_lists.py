"""Read and write ids as users write them: `147`, `147,148`, `1-500`.

Not every number of a range is the id of something, so none of them has to exist.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby

_RANGE = re.compile(r"([0-9]+)\s*-\s*([0-9]+)")
_MOST = 1_000_000
MOST_WRITTEN = 100
"""The most ids or ranges of a command that is shown, for a terminal and a shell."""

_HOW = "Write ids as numbers, like 147, 147,148 or 1-500."


class IdList(tuple[int, ...]):  # noqa: SLOT001 - tuples have no room for slots
    """Ids, some of which come from ranges.

    Attributes:
        of_ranges: The ids that need not exist.
    """

    of_ranges: frozenset[int] = frozenset()

    @classmethod
    def of(cls, parts: Iterable[int | range]) -> IdList:
        """Make one list of ids and ranges, each id once, in the given order."""
        named: dict[int, None] = {}
        every: dict[int, None] = {}
        for part in parts:
            if isinstance(part, range):
                every.update(dict.fromkeys(part))
            else:
                named[part] = every[part] = None
        ids = cls(every)
        ids.of_ranges = frozenset(every.keys() - named.keys())
        return ids


def of_some(ids: Iterable[int], named: Collection[int]) -> IdList:
    """Make a list of ids of which only those that are named have to exist."""
    found = IdList(dict.fromkeys(ids))
    found.of_ranges = frozenset(found) - frozenset(named)
    return found


def with_required(ids: Sequence[int] | None, more: Iterable[int]) -> IdList:
    """Return some ids and others that have to exist, each once, in the given order."""
    others = tuple(more)
    return of_some((*(ids or ()), *others), {*required(ids), *others})


def in_order(ids: Sequence[int]) -> IdList:
    """Return some ids in ascending order, each once."""
    return of_some(sorted(ids), required(ids))


def in_ranges(ids: Iterable[int]) -> Iterator[str]:
    """Yield ids in ascending order as users write them, like `1-500` or `777`."""
    # Ids that follow each other keep their distance from their place in the list.
    placed = groupby(enumerate(sorted(set(ids))), key=lambda item: item[1] - item[0])
    for _, group in placed:
        some = [one for _, one in group]
        yield str(some[0]) if len(some) == 1 else f"{some[0]}-{some[-1]}"


def in_words(ids: Sequence[int]) -> Iterator[str]:
    """Yield ids for a sentence: those that have to exist one by one, the others as ranges."""
    named = required(ids)
    yield from map(str, sorted(named))
    yield from in_ranges(set(ids) - named)


def required(ids: Collection[int] | None) -> set[int]:
    """Return those of some ids that have to exist."""
    return set(ids or ()) - (ids.of_ranges if isinstance(ids, IdList) else frozenset())


def read_ids(text: str) -> list[int | range]:
    """Read ids and ranges, separated by commas.

    Raises:
        ValueError: A part is neither. It is the rest of a sentence that begins with the part.
    """
    # An empty text is refused, too: it is probably a shell variable that is not set, rather than
    # the wish to select everything.
    return [_read(part.strip(), text) for part in text.removesuffix(",").split(",")]


def write_ids(ids: Sequence[int], *, ranges: bool) -> str | None:
    """Write ids as one word of a command; None if they are none, or too many.

    Args:
        ids: The ids.
        ranges: Whether the command takes ranges. They are written only for many ids.
    """
    parts = list(map(str, ids))
    if len(parts) > MOST_WRITTEN and ranges:
        parts = list(in_ranges(ids))
    return ",".join(parts) if 0 < len(parts) <= MOST_WRITTEN else None


def written_in(content: str) -> Iterator[str]:
    """Yield what stands between blanks and commas in a file of ids.

    A `#` begins a comment at a line's start.
    """
    for line in content.splitlines():
        if not line.lstrip().startswith("#"):
            yield from line.replace(",", " ").split()


def _read(part: str, text: str) -> int | range:
    found = _RANGE.fullmatch(part)
    if found is not None:
        return _range(part, int(found[1]), int(found[2]))
    if part.isascii() and part.isdigit() and int(part):
        return int(part)
    raise ValueError(f"{part or text!r} {_no_id(part)}")


def _range(part: str, first: int, last: int) -> range:
    if not 0 < first <= last:
        why = "begins with 0" if first == 0 else "ends before it begins"
        raise ValueError(f"{part!r} {why}. Write a range like 1-500.")
    if last - first >= _MOST:
        raise ValueError(f"{part!r} is a range of more than {_MOST:,} ids. Write a smaller one.")
    return range(first, last + 1)


def _no_id(part: str) -> str:
    """Say why a part of a list is no id: a comma too many, or an id as CVAT shows it."""
    if not part:
        return f"lacks a number beside a comma. {_HOW}"
    if re.fullmatch(r"#[1-9][0-9]*", part):
        return f"is no number. Write {part.removeprefix('#')}."
    return f"is no id. {_HOW}"
