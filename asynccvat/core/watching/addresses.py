"""Read the addresses that a watch listens on, and tell who may see its pages."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from asynccvat.errors import ConfigError

_FORWARDED = re.compile(
    r"forwarded|via|x-forwarded-.*|x-real-ip|x-client-ip|x-original-.*|true-client-ip|cf-.*",
    re.IGNORECASE,
)
"""Headers that proxies add to what they forward."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, option: str) -> Address:
        """Read an address like `127.0.0.1:9000` or `[::1]:9000`.

        Args:
            text: The text.
            option: The option that it was given to, for the message.

        Raises:
            ConfigError: It is no address with a port.
        """
        found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\s/\[\]]+)):(\d{1,5})", text.strip())
        if found is None or int(found[3]) > 65_535:
            raise ConfigError(
                f"{option} {text!r} is no address to listen on. Write host and port, like "
                "127.0.0.1:9000."
            )
        return cls(found[1] or found[2], int(found[3]))


def is_local(peer: str | None, header_names: Iterable[str], host: str) -> bool:
    """Whether a request came from this machine, and from no proxy that says so.

    A browser here may be led to this machine by a name of a foreign page: the name gives it away.

    Args:
        peer: The address at the other end of the connection.
        header_names: The names of the request's headers.
        host: The Host header.
    """
    if peer is None or any(map(_FORWARDED.fullmatch, header_names)):
        return False
    name = re.sub(r":\d*$", "", host.lower()).strip("[]")
    names_here = name == "localhost" or name.endswith(".localhost") or _is_loopback(name)
    return names_here and _is_loopback(peer)


def _is_loopback(text: str) -> bool:
    """Whether a text is an address of this machine alone."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
