"""Read JSON that others wrote: one object, or a page of a list entry by entry.

A server may send null where a value belongs, or an entry that cannot be read at all. Such an entry
must not hide the others. `core.models` has the types.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec

# msgspec raises built-in errors for bytes that are not UTF-8, and for too deep nesting.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for JSON that cannot be read."""

T = TypeVar("T")


class ObjectDecoder(Generic[T]):
    """Decode one object. A null counts as a missing value where none is allowed."""

    def __init__(self, kind: type[T]) -> None:
        """Decode objects of a type."""
        self._kind = kind
        self._strict = msgspec.json.Decoder(kind)

    def decode(self, body: bytes | msgspec.Raw) -> T:
        """Decode an object.

        Raises:
            UNREADABLE: It is not of the type.
        """
        try:
            return self._strict.decode(body)
        except msgspec.ValidationError:
            return msgspec.convert(_without_nulls(msgspec.json.decode(body)), self._kind)


class _Page(msgspec.Struct, Generic[T]):
    count: Annotated[int, msgspec.Meta(ge=0)]
    results: tuple[T, ...]


@dataclass(frozen=True, slots=True)
class UnreadableEntry:
    """An entry of a list that cannot be read.

    Attributes:
        id: Its id, None if it has no number as its id.
        why: Why it cannot be read.
    """

    id: int | None
    why: str


@dataclass(frozen=True, slots=True)
class ListPage(Generic[T]):
    """One page of a list.

    Attributes:
        count: How many entries the whole list has, as the server says.
        results: The entries of this page that can be read.
        unreadable: Those that cannot.
    """

    count: int
    results: tuple[T, ...]
    unreadable: tuple[UnreadableEntry, ...] = ()

    @property
    def length(self) -> int:
        """How many entries this page has."""
        return len(self.results) + len(self.unreadable)


class PageDecoder(Generic[T]):
    """Decode pages of a list. Entries that cannot be read are counted and passed over."""

    def __init__(self, kind: type[T]) -> None:
        """Decode pages with entries of a type."""
        self._strict: msgspec.json.Decoder[_Page[T]] = msgspec.json.Decoder(
            _Page[kind]  # type: ignore[valid-type]
        )
        self._raw = msgspec.json.Decoder(_Page[msgspec.Raw])
        self._entry = ObjectDecoder(kind)

    def decode(self, body: bytes) -> ListPage[T]:
        """Decode a page.

        Raises:
            UNREADABLE: It is no page of a list.
        """
        try:
            page = self._strict.decode(body)
        except UNREADABLE:
            return self._entry_by_entry(self._raw.decode(body))
        return ListPage(page.count, page.results)

    def _entry_by_entry(self, page: _Page[msgspec.Raw]) -> ListPage[T]:
        return ListPage(page.count, *read_entries(page.results, self._entry))


def read_entries(
    entries: Iterable[msgspec.Raw], decoder: ObjectDecoder[T]
) -> tuple[tuple[T, ...], tuple[UnreadableEntry, ...]]:
    """Read entries one by one. Returns those that can be read, and those that cannot."""
    readable: list[T] = []
    unreadable: list[UnreadableEntry] = []
    for raw in entries:
        try:
            readable.append(decoder.decode(raw))
        except UNREADABLE as error:
            unreadable.append(UnreadableEntry(_id_of(raw), str(error)))
    return tuple(readable), tuple(unreadable)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _id_of(entry: msgspec.Raw) -> int | None:
    """Return the number of an entry that cannot be read otherwise, None if it has none."""
    try:
        value = msgspec.json.decode(entry)
    except UNREADABLE:
        return None
    number = value.get("id") if isinstance(value, dict) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None
