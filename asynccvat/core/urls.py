"""The server's address and the origin rule: which URLs belong to the configured server.

Absolute links in CVAT's answers are made from Host and X-Forwarded-* headers, so behind a proxy
their scheme or host can be wrong. `ServerUrl.rebase` keeps their path and query and puts them on
the configured origin; nothing is ever asked of another one. Connecting is left to `http`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from asynccvat.errors import ConfigError, ProtocolError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "give the server's address, like https://cvat.example.com"
# What a request line cannot hold; everything else is sent as the server wrote it.
_UNSAFE = re.compile(r"[\x00-\x20\x7f]")


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A CVAT server's address: scheme, host and port.

    Attributes:
        origin: Canonical: lower case, no default port, no trailing slash.
        host: The host alone, IPv6 addresses without brackets.
    """

    origin: str
    host: str

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Read what a user configured.

        A trailing `/` or `/api` is dropped. CVAT serves from the root of its host, so any
        other path is a link into its user interface rather than the server's address.

        Raises:
            ConfigError: It is not an http or https URL of a server. The message does not
                repeat a user name or password that the URL holds.
        """
        stripped = text.strip()
        if not stripped:
            raise ConfigError(f"no server URL: {_EXAMPLE}")
        try:
            parts = urlsplit(stripped)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"the server URL cannot be read ({error}): {_EXAMPLE}") from None
        if "@" in parts.netloc:
            raise ConfigError(
                "the server URL must not hold a user or password: give them as username and "
                "password, or as a token"
            )
        if parts.scheme not in _DEFAULT_PORTS:
            raise ConfigError(
                f"the server URL {stripped!r} does not start with http:// or https://: {_EXAMPLE}"
            )
        if not host or _UNSAFE.search(parts.netloc):
            raise ConfigError(f"the server URL {stripped!r} names no host: {_EXAMPLE}")
        whole_path = parts.path.rstrip("/") in ("", "/api")
        if not whole_path or parts.query or parts.fragment:
            # What follows may hold a secret, and is not repeated.
            first = ("the '?'" if parts.query else "the '#'") if whole_path else repr(parts.path)
            more = " and what follows" if parts.query or parts.fragment else ""
            raise ConfigError(f"the server URL has more than a host: leave {first}{more} away")
        shown = f"[{host}]" if ":" in host else host
        if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
            shown += f":{port}"
        return cls(f"{parts.scheme}://{shown}", host)

    def rebase(self, link: str) -> str:
        """Put a link of an answer onto this origin: its path and query, nothing else of it.

        Raises:
            ProtocolError: The link has no absolute path.
        """
        try:
            parts = urlsplit(link)
        except ValueError:
            parts = urlsplit("")
        if not parts.path.startswith("/") or _UNSAFE.search(link):
            raise ProtocolError(f"the server sent a link that cannot be followed: {link[:200]!r}")
        # Quoting repairs non-ASCII characters and leaves what is quoted already as it is.
        path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="%:@!$&'()*+,;=~-._/?")
        return f"{self.origin}{path}" + (f"?{query}" if query else "")

    def redirect_target(self, base: str, location: str) -> str | None:
        """Where a redirect leads if it stays on this origin, None if it leaves it."""
        target = urljoin(base, location)
        if origin_of(target) != self.origin:
            return None
        return self.rebase(target)


def origin_of(url: str) -> str | None:
    """The canonical origin of any absolute http or https URL, None for anything else."""
    try:
        parts = urlsplit(url)
        return ServerUrl.parse(f"{parts.scheme}://{parts.netloc}").origin
    except (ConfigError, ValueError):
        return None
