"""Read large JSON entry by entry.

Decoded all at once, annotations of 100 MB take 900 MB.
"""

from __future__ import annotations

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def fields_of(raw: bytes) -> dict[str, msgspec.Raw] | None:
    """Return the fields of an object, not decoded yet. None if it is other JSON.

    Raises:
        UNREADABLE: It is no JSON.
    """
    try:
        return _OBJECT.decode(raw)
    except msgspec.ValidationError:
        return None


def entries_of(raw: msgspec.Raw) -> list[msgspec.Raw] | None:
    """Return the entries of a list, not decoded yet. None if it is other JSON."""
    try:
        return _LIST.decode(raw)
    except msgspec.ValidationError:
        return None


def is_object(raw: msgspec.Raw) -> bool:
    """Whether JSON that is not decoded yet is an object."""
    return bytes(memoryview(raw)[:1]) == b"{"
