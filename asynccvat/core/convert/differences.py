"""Find where a converted task differs from the server's export of it.

XML is compared as `comparable` says, JSON by its values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Final

import msgspec

from asynccvat.core.convert.comparable import comparable_xml
from asynccvat.core.decoding import UNREADABLE

_ELEMENT: Final = re.compile(r"<(\w+)")
_ATTRIBUTE: Final = re.compile(r"""(\w+)=("[^"]*"|'[^']*')""")
_LONGEST: Final = 60


def first_difference(converted: Mapping[str, bytes], exported: Mapping[str, bytes]) -> str | None:
    """Return the first place where an export says something else, in words; None if none does.

    Args:
        converted: The files of the conversion, by path.
        exported: The files of the export.
    """
    for path in sorted(converted.keys() | exported.keys()):
        ours, theirs = converted.get(path), exported.get(path)
        if theirs is None:
            return f"{path} is not in the export"
        if ours is None:
            return f"{path} is in the export alone"
        compare = _between_json if path.endswith(".json") else _between_xml
        where = None if ours == theirs else compare(ours, theirs)
        if where is not None:
            return f"{path}: {where}"
    return None


def _between_xml(ours: bytes, theirs: bytes) -> str | None:
    lines = zip_longest(
        comparable_xml(ours).split(b"\n"), comparable_xml(theirs).split(b"\n"), fillvalue=b""
    )
    for number, (here, there) in enumerate(lines, start=1):
        if here != there:
            return f"line {number}: {_in_line(_text(here), _text(there))}"
    return None


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")


def _in_line(here: str, there: str) -> str:
    """Name the attribute that differs, or else the whole line."""
    element = _ELEMENT.search(there)
    ours, theirs = dict(_ATTRIBUTE.findall(here)), dict(_ATTRIBUTE.findall(there))
    names = [name for name in {**theirs, **ours} if ours.get(name) != theirs.get(name)]
    if element is None or not names or element[0] not in here:
        return _said(there.strip(), here.strip())
    name = names[0]
    return f"{name!r} of <{element[1]}>: {_said(theirs.get(name), ours.get(name))}"


def _said(there: object, here: object) -> str:
    return f"{_short(there)} in the export, {_short(here)} here"


def _short(value: object) -> str:
    text = "nothing" if value is None or value == "" else str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def _between_json(ours: bytes, theirs: bytes) -> str | None:
    try:
        return _between(msgspec.json.decode(ours), msgspec.json.decode(theirs), "")
    except UNREADABLE:
        return "the export is no JSON"


def _between(here: Any, there: Any, path: str) -> str | None:
    if isinstance(here, dict) and isinstance(there, dict):
        keys = [*there, *(key for key in here if key not in there)]
        return _first((here.get(key), there.get(key), f"{path}.{key}") for key in keys)
    if isinstance(here, list) and isinstance(there, list):
        pairs = enumerate(zip_longest(here, there))
        return _first((ours, theirs, f"{path}[{at}]") for at, (ours, theirs) in pairs)
    return None if here == there else f"{path.lstrip('.')}: {_said(there, here)}"


def _first(pairs: Any) -> str | None:
    return next((found for pair in pairs if (found := _between(*pair)) is not None), None)
