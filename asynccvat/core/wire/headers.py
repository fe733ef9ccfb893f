"""Check the headers that a user adds to every call, and read them from texts.

Their values are secrets: messages name the header alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from asynccvat.errors import ConfigError

# RFC 9110, 5.6.2: a token.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_VALUES = re.compile(r"[^\t\x20-\x7e]")
_OWN = frozenset(
    {"accept", "accept-encoding", "authorization", "connection", "content-encoding"}
    | {"content-length", "content-type", "expect", "host", "if-range", "proxy-authorization"}
    | {"range", "te", "trailer", "transfer-encoding", "upgrade", "x-organization"}
)
"""Headers that the client sets itself, in lower case."""

_SHORTEST_SECRET = 6
"""Characters from which a value is kept out of messages: shorter ones are words like `true`."""

_BETTER = {
    "authorization": "Give the token as --token or token=.",
    "proxy-authorization": "Give user and password in the proxy's address.",
    "x-organization": "Give the organization as --org or organization=.",
}


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers for every call, without blanks around their values.

    Raises:
        ConfigError: A name or value cannot be sent, or the client sets the header itself.
        TypeError: They are no mapping of texts.
    """
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers must map names to values, not {type(headers).__name__}")
    checked: dict[str, str] = {}
    for name, value in headers.items():
        if not all(isinstance(text, str) for text in (name, value)):
            raise TypeError("headers must map names to values, both of them strings")
        if not _NAME.fullmatch(name):
            raise ConfigError(
                "a header has a name that HTTP does not allow. Write headers like 'X-Api-Key: "
                "value'."
            )
        folded = name.lower()
        if folded in _OWN:
            what = _BETTER.get(folded, "Remove it.")
            raise ConfigError(f"the header {name!r} is set by asynccvat itself. {what}")
        if folded in (other.lower() for other in checked):
            raise ConfigError(f"the header {name!r} is given twice. Remove one of them.")
        stripped = value.strip()
        if not stripped or _NOT_IN_VALUES.search(stripped):
            raise ConfigError(
                f"the header {name!r} has no value, or one that HTTP does not allow. Give "
                "printable ASCII characters. Is a variable of the shell not set?"
            )
        checked[name] = stripped
    return checked


def parse_headers(lines: Iterable[str], place: str) -> dict[str, str]:
    """Read headers from lines like `Name: value`.

    Args:
        lines: The lines.
        place: The option, variable or file that they come from, for messages.

    Raises:
        ConfigError: A line is no header, or cannot be used.
    """
    found: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            # The line may be the secret alone, so the message does not repeat it.
            raise ConfigError(f"{place}: this is not a header. Write it like 'X-Api-Key: value'.")
        if name.strip() in found:
            raise ConfigError(f"{place}: the header {name.strip()!r} is given twice. Remove one.")
        found[name.strip()] = value
    try:
        return checked_headers(found)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def secrets_of(headers: Mapping[str, str]) -> tuple[str, ...]:
    """Return the texts of headers that must never be shown: values, and long parts of them."""
    found: dict[str, None] = {}
    for value in headers.values():
        for part in (value, *re.split(r"[\s;=,]+", value)):
            if len(part) >= _SHORTEST_SECRET:
                found[part] = None
    return tuple(sorted(found, key=len, reverse=True))
