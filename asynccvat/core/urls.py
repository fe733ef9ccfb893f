"""Read the server's address, and keep every URL on its origin.

CVAT builds absolute links from Host and X-Forwarded-* headers, so behind a proxy their scheme or
host can be wrong. `ServerUrl.rebase` puts their path and query on the configured origin. No request
goes to another origin. `http` connects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from asynccvat.errors import ConfigError, ProtocolError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "Give the server's address, like https://cvat.example.com."
# Characters that a request line cannot hold. All others are sent as the server wrote them.
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
        """Read the address that a user configured.

        A trailing `/` or `/api` is dropped. CVAT serves from the root of its host, so a URL with
        another path is a link into its user interface.

        Raises:
            ConfigError: It is not an http or https URL of a server. The message repeats no user
                name or password of the URL.
        """
        stripped = text.strip()
        if not stripped:
            raise ConfigError(f"the server URL is empty. {_EXAMPLE}")
        try:
            parts = urlsplit(stripped)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"the server URL cannot be read: {error}. {_EXAMPLE}") from None
        if "@" in parts.netloc:
            raise ConfigError(
                "the server URL must not hold a user or password. Give them as username and "
                "password, or as a token."
            )
        if parts.scheme not in _DEFAULT_PORTS:
            raise ConfigError(
                f"the server URL {stripped!r} does not start with http:// or https://. {_EXAMPLE}"
            )
        if not host or _UNSAFE.search(parts.netloc):
            raise ConfigError(f"the server URL {stripped!r} has no host. {_EXAMPLE}")
        whole_path = parts.path.rstrip("/") in ("", "/api")
        if not whole_path or parts.query or parts.fragment:
            # The rest may hold a secret, so the message does not repeat it.
            first = ("the '?'" if parts.query else "the '#'") if whole_path else repr(parts.path)
            more = " and what follows" if parts.query or parts.fragment else ""
            raise ConfigError(f"the server URL has more than a host. Remove {first}{more}.")
        shown = f"[{host}]" if ":" in host else host
        if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
            shown += f":{port}"
        return cls(f"{parts.scheme}://{shown}", host)

    def rebase(self, link: str) -> str:
        """Put the path and query of a link in an answer on this origin.

        Raises:
            ProtocolError: The link has no absolute path.
        """
        try:
            parts = urlsplit(link)
        except ValueError:
            parts = urlsplit("")
        if not parts.path.startswith("/") or _UNSAFE.search(link):
            raise ProtocolError(
                f"cannot follow a link of the server: {link[:200]!r} has no usable path. Check "
                "whether a proxy changes links."
            )
        # Quoting repairs non-ASCII characters, and leaves quoted ones unchanged.
        path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
        query = quote(parts.query, safe="%:@!$&'()*+,;=~-._/?")
        return f"{self.origin}{path}" + (f"?{query}" if query else "")

    def redirect_target(self, base: str, location: str) -> str | None:
        """Return the target of a redirect, None if it is on another origin."""
        target = urljoin(base, location)
        if origin_of(target) != self.origin:
            return None
        return self.rebase(target)


def origin_of(url: str) -> str | None:
    """Return the canonical origin of an absolute http or https URL, None for other texts."""
    try:
        parts = urlsplit(url)
        return ServerUrl.parse(f"{parts.scheme}://{parts.netloc}").origin
    except (ConfigError, ValueError):
        return None
